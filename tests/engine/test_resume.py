"""Resuming an interrupted answer token by token: the two parts are the whole answer, on every channel."""

from __future__ import annotations

from collections import defaultdict

import pytest
from answers import script
from hypothesis import given
from hypothesis import strategies as st

from gptcli.engine.engine import LocalEngine
from gptcli.engine.fake import FakeBackend
from gptcli.params import Sampling
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Channel, ChatPrompt, Delta, Finished, Message, Request, Started

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
    engine: LocalEngine, prompt: ChatPrompt, which: int, most: int | None = None
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
        rest, _ = ask(engine(), ChatPrompt(PROMPT, begun=paused.tokens), which)
        for channel in Channel:
            known = first[channel]
            assert known + rest[channel] == whole[channel] or any(
                known.endswith(marker) and known.removesuffix(marker) + rest[channel] == whole[channel]
                for marker in excess
            ), (cut, first, rest)


@given(cuts=st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_an_answer_can_be_resumed_repeatedly(cuts: list[int]) -> None:
    whole, _ = ask(engine(), ChatPrompt(PROMPT), 1)
    begun: tuple[int, ...] = ()
    text = ""
    for cut in [*cuts, None]:
        part, ended = ask(engine(), ChatPrompt(PROMPT, begun=begun), 1, cut)
        text += part[Channel.ANSWER]
        begun += ended.tokens
    assert text == whole[Channel.ANSWER]


def test_computed_tokens_are_not_computed_again() -> None:
    backend = FakeBackend(script(ANSWERS[0].encode()))
    running = engine(backend)
    _, paused = ask(running, ChatPrompt(PROMPT), 0, 12)
    before = backend.computed
    events = list(running.stream([Request("1", ChatPrompt(PROMPT, begun=paused.tokens), max_tokens=1)]))
    (started,) = [event for event in events if isinstance(event, Started)]
    assert started.prompt_tokens - started.reused_tokens == 1
    assert backend.computed - before == 1
