"""What may follow a prompt, scored: the exact log-probability of each continuation, many prompts at once."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass

from gptcli.errors import Cancelled
from gptcli.scoring.texts import NotScored
from gptcli.types import (
    ChatPrompt,
    ContinuationLogprobs,
    Engine,
    Failed,
    Finished,
    FinishReason,
    Message,
    Prompt,
    Request,
    TextPrompt,
    TokenInfo,
    TokenPrompt,
)


@dataclass(frozen=True, slots=True)
class Choices:
    """A prompt and the continuations to score after it, as token ids; `make_choices` makes them of text."""

    id: str
    """Unique among those that are scored at the same time."""
    prompt: TokenPrompt
    continuations: tuple[tuple[int, ...], ...]


@dataclass(slots=True)
class Score:
    """The tokens of one continuation with their natural log-probabilities, each given all before it."""

    tokens: list[TokenInfo]

    @property
    def logprob(self) -> float:
        """Log-likelihood of the whole continuation, in nats; 0 if it is empty."""
        return math.fsum(token.logprob for token in self.tokens)

    @property
    def per_token(self) -> float:
        """Its mean over the tokens; 0 if it is empty."""
        return self.logprob / max(1, len(self.tokens))

    @property
    def is_greedy(self) -> bool:
        """Whether no other token was likelier anywhere, as lm-eval defines it; needs `top` of at least 1."""
        return all(token.logprob == max(other.logprob for other in token.top) for token in self.tokens)


@dataclass(slots=True)
class Scored:
    """The scores of one `Choices`, in the order of its continuations."""

    id: str
    scores: list[Score]
    prompt_tokens: int = 0
    reused_tokens: int = 0


def make_choices(engine: Engine, id: str, prompt: Prompt, continuations: Iterable[str]) -> Choices:
    """Tokenize a prompt and the texts that may follow it. Raises RequestError, LoadError.

    The prompt's tokens are the same for all continuations. One whose first characters would have merged with the
    prompt's last token is tokenized by itself, so that every continuation is scored in full."""
    encoded = engine.encode(prompt)
    return Choices(id, encoded, tuple(_tokens_after(engine, prompt, encoded, text) for text in continuations))


def score_choices(
    engine: Engine, choices: Iterable[Choices | None], *, top: int = 0
) -> Generator[Scored | NotScored, None, None]:
    """Score many, in the order in which they end; exactly one result for each. `top`: alternatives of each token.

    An iterable may give None while others run: nothing has come yet (`Engine.stream`). Closing the generator cancels
    the rest."""
    running = _Running(engine, top)
    with closing(engine.stream(running.requests(choices))) as events:
        for event in events:
            if isinstance(event, ContinuationLogprobs):
                running.take(event)
            elif isinstance(event, Finished | Failed):
                yield from running.end(event)


@dataclass(slots=True)
class _Part:
    """Some of the continuations of one `Choices`, in one request."""

    result: Scored
    indices: list[int]
    left: list[int]
    """How many parts have not ended; shared by all of them. Empty once one has failed."""


class _Running:
    """What is being scored, by the ids of the requests."""

    def __init__(self, engine: Engine, top: int) -> None:
        self._most = max(
            1, engine.capabilities.max_samples // 2
        )  # so many have fewer branches than there are sequences
        self._top = top
        self._parts: dict[str, _Part] = {}
        self._count = 0

    def requests(self, choices: Iterable[Choices | None]) -> Generator[Request | None, None, None]:
        """A request for each, or several where there are too many continuations for one."""
        for one in choices:
            if one is None:
                yield None
                continue
            following = one.continuations
            order = sorted(range(len(following)), key=following.__getitem__)  # neighbours begin alike
            parts = [order[at : at + self._most] for at in range(0, len(order), self._most)] or [[]]
            result, left = Scored(one.id, [Score([]) for _ in following]), [len(parts)]
            for indices in parts:
                key = str(self._count)
                self._count += 1
                self._parts[key] = _Part(result, indices, left)
                some = tuple(following[index] for index in indices)
                yield Request(key, one.prompt, max_tokens=0, logprobs=self._top, continuations=some, stream=False)

    def take(self, event: ContinuationLogprobs) -> None:
        """Keep the scores of a continuation."""
        part = self._parts[event.id]
        part.result.scores[part.indices[event.index]].tokens = event.tokens

    def end(self, event: Finished | Failed) -> Generator[Scored | NotScored, None, None]:
        """The result, if it is complete with the end of this request."""
        part = self._parts.pop(event.id)
        if not part.left:
            return
        error = event.error if isinstance(event, Failed) else None
        if isinstance(event, Finished):
            part.result.prompt_tokens, part.result.reused_tokens = event.prompt_tokens, event.reused_tokens
            if event.reason is FinishReason.CANCELLED:
                error = Cancelled("Cancelled.")
        if error is not None:
            part.left.clear()
            yield NotScored(part.result.id, error)
            return
        part.left[0] -= 1
        if not part.left[0]:
            yield part.result


def score(engine: Engine, prompt: Prompt, continuations: Iterable[str], *, top: int = 0) -> list[Score]:
    """The scores of these continuations of one prompt. Raises the request's error."""
    for result in score_choices(engine, [make_choices(engine, "0", prompt, continuations)], top=top):
        if isinstance(result, NotScored):
            raise result.error
        return result.scores
    raise Cancelled("Cancelled.")


def _tokens_after(engine: Engine, prompt: Prompt, encoded: TokenPrompt, text: str) -> tuple[int, ...]:
    """The tokens of `text` where they follow the prompt."""
    whole: TokenPrompt | None = None
    data = text.encode("utf-8", "surrogateescape")
    if isinstance(prompt, TextPrompt) and prompt.suffix is None:
        whole = engine.encode(TextPrompt(prompt.data + data))
    elif isinstance(prompt, ChatPrompt) and not prompt.continue_final and not prompt.answer_tokens:
        messages = (*prompt.messages, Message("assistant", text))
        whole = engine.encode(ChatPrompt(messages, continue_final=True, template_options=prompt.template_options))
    length = len(encoded.tokens)
    if whole is not None and whole.tokens[:length] == encoded.tokens:
        after = whole.tokens[length:]
        if "".join(map(engine.token_text, after)).encode("utf-8", "surrogateescape") == data:  # a template may trim
            return after
    return engine.tokenize(data)
