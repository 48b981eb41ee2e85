"""An answer that was cut and is gone on with, token by token: the two parts are the whole, on every channel."""

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

SAID = (
    "<think> é — 日本</think>\n\nIt is <b>42</b>.",
    "\n\n<thinking aloud> é<",
    "<|channel|>analysis<|message|>hm <<|end|><|start|>assistant<|channel|>final<|message|>It is é.",
)
PROMPT = (Message("user", "What?"),)


def engine(backend: FakeBackend | None = None) -> LocalEngine:
    model = script(*(text.encode() for text in SAID))
    return LocalEngine(backend or FakeBackend(model), template=ChatTemplate("{{ messages[0].content }}\0"))


def ask(
    engine: LocalEngine, prompt: ChatPrompt, which: int, most: int | None = None
) -> tuple[dict[Channel, str], Finished]:
    """What is said on each channel, and how it ended."""
    said: dict[Channel, str] = defaultdict(str)
    for event in engine.stream([Request("0", prompt, Sampling(seed=which), max_tokens=most)]):
        if isinstance(event, Delta):
            said[event.channel] += event.text
        elif isinstance(event, Finished):
            return said, event
    raise AssertionError("no end")


@pytest.mark.parametrize("which", range(len(SAID)))
def test_the_parts_are_the_whole_wherever_it_is_cut(which: int) -> None:
    whole, ended = ask(engine(), ChatPrompt(PROMPT), which)
    assert bytes(ended.tokens) == SAID[which].encode()
    # at the cut, the beginning of a marker comes out as text, for no more was to come then
    excess = {"<think>"[:size] for size in range(1, 7)} | {"</think>"[:size] for size in range(1, 8)}
    excess |= {"<|channel|>"[:size] for size in range(1, 11)} | {"<|end|>"[:size] for size in range(1, 7)}
    for cut in range(1, len(ended.tokens)):
        first, paused = ask(engine(), ChatPrompt(PROMPT), which, cut)
        rest, _ = ask(engine(), ChatPrompt(PROMPT, begun=paused.tokens), which)
        for channel in Channel:
            found = first[channel] + rest[channel]
            known = first[channel]
            assert found == whole[channel] or any(
                known.endswith(marker) and known.removesuffix(marker) + rest[channel] == whole[channel]
                for marker in excess
            ), (cut, first, rest)


@given(cuts=st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_it_can_be_cut_again_and_again(cuts: list[int]) -> None:
    whole, _ = ask(engine(), ChatPrompt(PROMPT), 1)
    begun: tuple[int, ...] = ()
    said = ""
    for cut in [*cuts, None]:
        part, ended = ask(engine(), ChatPrompt(PROMPT, begun=begun), 1, cut)
        said += part[Channel.ANSWER]
        begun += ended.tokens
    assert said == whole[Channel.ANSWER]


def test_what_was_computed_is_not_computed_again() -> None:
    backend = FakeBackend(script(SAID[0].encode()))
    talking = engine(backend)
    _, paused = ask(talking, ChatPrompt(PROMPT), 0, 12)
    before = backend.computed
    events = list(talking.stream([Request("1", ChatPrompt(PROMPT, begun=paused.tokens), max_tokens=1)]))
    (started,) = [event for event in events if isinstance(event, Started)]
    assert started.prompt_tokens - started.reused_tokens == 1
    assert backend.computed - before == 1
