"""Resuming an interrupted answer token by token: the two parts are the whole answer, on every channel."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from answers import script
from fake_backend import FakeBackend
from hypothesis import given
from hypothesis import strategies as st

from gptcli.engine.engine import LocalEngine
from gptcli.params import Sampling
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Channel, ChatPrompt, Delta, Finished, Message, Prompt, Request, Started, TokenPrompt

ANSWERS = (
    "<think> é — 日本</think>\n\nIt is <b>42</b>.",
    "\n\n<thinking aloud> é<",
    "<|channel|>analysis<|message|>hm <<|end|><|start|>assistant<|channel|>final<|message|>It is é.",
)
PROMPT = (Message("user", "What?"),)


def engine(backend: FakeBackend | None = None) -> LocalEngine:
    model = script(*(text.encode() for text in ANSWERS))
    return LocalEngine(backend or FakeBackend(model), template=ChatTemplate("{{ messages[0].content }}\0"))


def ask(
    engine: LocalEngine, prompt: Prompt, which: int, most: int | None = None
) -> tuple[dict[Channel, str], Finished]:
    """The text of each channel, and how the answer ended."""
    texts: dict[Channel, str] = defaultdict(str)
    for event in engine.stream([Request("0", prompt, Sampling(seed=which), max_tokens=most)]):
        if isinstance(event, Delta):
            texts[event.channel] += event.text
        elif isinstance(event, Finished):
            return texts, event
    raise AssertionError("no end")


@pytest.mark.parametrize("which", range(len(ANSWERS)))
def test_the_parts_are_the_whole_wherever_it_is_cut(which: int) -> None:
    whole, ended = ask(engine(), ChatPrompt(PROMPT), which)
    assert bytes(ended.tokens) == ANSWERS[which].encode()
    # at the cut, the start of a marker is delivered as text, because the answer ended there
    excess = {"<think>"[:size] for size in range(1, 7)} | {"</think>"[:size] for size in range(1, 8)}
    excess |= {"<|channel|>"[:size] for size in range(1, 11)} | {"<|end|>"[:size] for size in range(1, 7)}
    for cut in range(1, len(ended.tokens)):
        first, paused = ask(engine(), ChatPrompt(PROMPT), which, cut)
        rest, _ = ask(engine(), ChatPrompt(PROMPT, answer_tokens=paused.tokens), which)
        for channel in Channel:
            known = first[channel]
            assert known + rest[channel] == whole[channel] or any(
                known.endswith(marker) and known.removesuffix(marker) + rest[channel] == whole[channel]
                for marker in excess
            ), (cut, first, rest)


@given(cuts=st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_an_answer_can_be_resumed_repeatedly(cuts: list[int]) -> None:
    whole, _ = ask(engine(), ChatPrompt(PROMPT), 1)
    answer: tuple[int, ...] = ()
    text = ""
    for cut in [*cuts, None]:
        part, ended = ask(engine(), ChatPrompt(PROMPT, answer_tokens=answer), 1, cut)
        text += part[Channel.ANSWER]
        answer += ended.tokens
    assert text == whole[Channel.ANSWER]


def test_computed_tokens_are_not_computed_again() -> None:
    backend = FakeBackend(script(ANSWERS[0].encode()))
    running = engine(backend)
    _, paused = ask(running, ChatPrompt(PROMPT), 0, 12)
    before = backend.computed
    events = list(running.stream([Request("1", ChatPrompt(PROMPT, answer_tokens=paused.tokens), max_tokens=1)]))
    (started,) = [event for event in events if isinstance(event, Started)]
    assert started.prompt_tokens - started.reused_tokens == 1
    assert backend.computed - before == 1


@pytest.mark.parametrize("which", range(len(ANSWERS)))
def test_an_encoded_prompt_behaves_as_the_original(which: int) -> None:
    running = engine()
    encoded = running.encode(ChatPrompt(PROMPT))
    assert encoded == TokenPrompt(tuple(b"What?\0"), is_chat=True)
    whole, ended = ask(engine(), ChatPrompt(PROMPT), which)
    assert ask(running, encoded, which)[0] == whole
    for cut in range(1, len(ended.tokens)):
        resumed = ChatPrompt(PROMPT, answer_tokens=ended.tokens[:cut])
        encoded = running.encode(resumed)
        assert encoded == TokenPrompt((*b"What?\0", *ended.tokens[:cut]), is_chat=True, answer_length=cut)
        assert running.encode(encoded) is encoded
        texts, end = ask(running, encoded, which)
        expected, expected_end = ask(engine(), resumed, which)
        assert (texts, end.tokens, end.prompt_tokens) == (expected, expected_end.tokens, expected_end.prompt_tokens)


def test_an_encoded_prompt_that_ends_inside_reasoning_continues_there() -> None:
    backend = FakeBackend(lambda tokens, seed: b"hm</think>42."[len(tokens) - len("What?<think>")])
    running = LocalEngine(backend, template=ChatTemplate("{{ messages[0].content }}<think>"))
    prompt = ChatPrompt(PROMPT)
    encoded = running.encode(prompt)
    assert encoded.thinking
    texts, _ = ask(running, encoded, 0, 13)
    assert texts == {Channel.REASONING: "hm", Channel.ANSWER: "42."}
    assert ask(running, prompt, 0, 13)[0] == texts


def test_an_encoded_prompt_is_not_rendered_again() -> None:
    rendered = []

    class Counting(ChatTemplate):
        def render(self, *arguments: Any, **options: Any) -> Any:
            rendered.append(arguments)
            return super().render(*arguments, **options)

    running = LocalEngine(FakeBackend(script(b"Yes.")), template=Counting("{{ messages[0].content }}\0"))
    texts, _ = ask(running, running.encode(ChatPrompt(PROMPT)), 0)
    assert texts == {Channel.ANSWER: "Yes."}
    assert len(rendered) == 1
