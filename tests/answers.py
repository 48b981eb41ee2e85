"""What the fake backend's model says to a request, in a straightforward loop; and an engine's events, sorted."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fake_backend import END, alphabet

from gptcli.types import (
    ContinuationLogprobs,
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    Prefill,
    PromptLogprobs,
    Request,
    Started,
    TextPrompt,
    TokenInfo,
)

Model = Callable[[list[int], int], int]


@dataclass
class Answer:
    """One sample as a reader of the events gets it."""

    text: str = ""
    tokens: list[TokenInfo] = field(default_factory=list)
    finished: Finished | None = None


@dataclass
class Answers:
    """Everything that came, checked for the order in which it may come."""

    samples: dict[tuple[str, int], Answer] = field(default_factory=dict)
    started: dict[str, Started] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)
    prompts: dict[str, list[TokenInfo]] = field(default_factory=dict)
    """Scored tokens of prompts."""
    starts: dict[str, int] = field(default_factory=dict)
    """Positions of their first ones."""
    continuations: dict[tuple[str, int], list[TokenInfo]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def take(self, event: Event) -> None:
        self.events.append(event)
        assert event.id not in self.failed, "an event after Failed"
        if isinstance(event, Started):
            assert event.id not in self.started, "started twice"
            self.started[event.id] = event
        elif isinstance(event, Failed):
            self.failed[event.id] = event
        elif isinstance(event, Delta | Finished):
            answer = self.samples.setdefault((event.id, event.index), Answer())
            assert answer.finished is None, "an event after Finished"
            if isinstance(event, Finished):
                answer.finished = event
            else:
                assert event.id in self.started
                assert event.text or event.tokens, "an empty delta"
                answer.text += event.text
                answer.tokens += event.tokens
        elif isinstance(event, PromptLogprobs):
            assert event.id in self.started
            scored = self.prompts.setdefault(event.id, [])
            first = self.starts.setdefault(event.id, event.start)
            assert event.start == first + len(scored), "a gap, or tokens that were scored twice"
            assert event.tokens, "an empty event"
            scored += event.tokens
        elif isinstance(event, ContinuationLogprobs):
            assert event.id in self.started
            assert (event.id, 0) not in self.samples, "a continuation after Finished"
            assert (event.id, event.index) not in self.continuations, "scored twice"
            self.continuations[event.id, event.index] = event.tokens
        else:
            assert isinstance(event, Prefill)
            assert event.id in self.started
            assert 0 < event.computed < event.total


def collect(events: Iterable[Event]) -> Answers:
    answers = Answers()
    for event in events:
        answers.take(event)
    return answers


def expected(request: Request, index: int, limit: int, model: Model = alphabet) -> tuple[str, FinishReason, int]:
    """Text, reason and number of tokens of a sample, computed without any of the engine's machinery."""
    assert isinstance(request.prompt, TextPrompt)
    prompt = list(request.prompt.data)
    seed = (request.sampling.seed or 0) + index
    tokens = list(prompt)
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text = ""
    while True:
        if len(tokens) - len(prompt) == request.max_tokens:
            return text, FinishReason.LENGTH, len(tokens) - len(prompt)
        if len(tokens) > limit:
            return text, FinishReason.CONTEXT, len(tokens) - len(prompt)
        token = model(tokens, seed)
        if token == END and not request.ignore_eos:
            return text, FinishReason.STOP, len(tokens) - len(prompt)
        tokens.append(token)
        for character in decoder.decode(b"" if token == END else bytes([token])):
            text += character
            met = [stop for stop in request.stop if text.endswith(stop)]
            if met:
                return text[: -max(map(len, met))], FinishReason.STOP, len(tokens) - len(prompt)


def script(*answers: bytes, ends: bool = True) -> Model:
    """A model that says one of `answers`, chosen by the seed, to any prompt that ends with a zero byte."""

    def model(tokens: list[int], seed: int) -> int:
        said = len(tokens) - 1 - max(at for at, token in enumerate(tokens) if token == 0)
        answer = answers[seed % len(answers)]
        if ends and said >= len(answer):
            return END
        return answer[said % len(answer)]

    return model
