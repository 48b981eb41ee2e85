"""Texts and choices scored on the fake backend, whose log-probabilities are known."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from fake_backend import FakeBackend, logprob
from hypothesis import given, settings
from hypothesis import strategies as st

from gptcli.engine.engine import LocalEngine
from gptcli.errors import Cancelled, ContextFull, LoadError
from gptcli.interrupt import Interrupt
from gptcli.scoring.choices import Choices, NotScored, Scored, make_choices, score, score_choices
from gptcli.scoring.texts import ScoredTokens, Text, TextScore, make_text, score_texts
from gptcli.scoring.windows import LlamaWindows, SlidingWindows
from gptcli.types import TextPrompt, TokenPrompt

ids = st.lists(st.integers(0, 3), max_size=90).map(tuple)


def engine(cores: int = 1, **fields: object) -> LocalEngine:
    backends = [FakeBackend(trained_context=64, **fields) for _ in range(cores)]  # type: ignore[arg-type]
    return LocalEngine(backends[0], replicas=backends[1:], parallel=4 * cores)


def sums(text: Text, windows: SlidingWindows) -> float:
    total = 0.0
    for window in windows.cut(len(text.tokens), text.start):
        for position in range(window.scored, window.end):
            total += logprob(text.tokens[window.begin : position], text.tokens[position])
    return total


@settings(max_examples=60, deadline=None)
@given(st.lists(ids, max_size=6), st.integers(2, 64), st.integers(1, 3), st.data())
def test_texts_are_scored_in_order_whatever_their_length(
    texts: list[tuple[int, ...]], size: int, cores: int, data: st.DataObject
) -> None:
    windows = SlidingWindows(size, data.draw(st.integers(1, size - 1)))
    given_texts = [Text(str(number), (9, *tokens)) for number, tokens in enumerate(texts)]

    def feed() -> Iterator[Text | None]:
        for text in given_texts:
            yield from [None] * data.draw(st.integers(0, 2))  # nothing has come yet
            yield text

    results = list(score_texts(engine(cores), feed(), windows))
    ended = [result for result in results if isinstance(result, TextScore)]
    assert [one.id for one in ended] == [text.id for text in given_texts]
    for text, one in zip(given_texts, ended, strict=True):
        assert one.tokens == len(text.tokens) - 1
        assert one.logprob == sums(text, windows)
        found = [part for part in results if isinstance(part, ScoredTokens) and part.id == text.id]
        assert [info.token for part in found for info in part.tokens] == list(text.tokens[1:])
        assert [part.position for part in found] == sorted(part.position for part in found)


def test_bos_begins_every_window() -> None:
    text = Text("a", (7, *range(100, 140)), bos=7)
    found = [part for part in score_texts(engine(), [text], SlidingWindows(16, 8)) if isinstance(part, ScoredTokens)]
    second = found[1].tokens[0]
    assert second.logprob == logprob((7, *text.tokens[9:16]), second.token)


def test_a_text_that_fails_is_named_and_the_others_go_on() -> None:
    bad, good = Text("bad", (1, 2, 99, 3) * 20), Text("good", (1, 2, 3))
    results = list(score_texts(engine(damaged=frozenset({99})), [bad, good], SlidingWindows(16, 8)))
    failed = [result for result in results if isinstance(result, NotScored)]
    assert [(one.id, type(one.error)) for one in failed] == [("bad", LoadError)]
    assert isinstance(results[-1], TextScore)
    assert (results[-1].id, results[-1].tokens) == ("good", 2)


def test_too_short_a_text_for_llama_windows_is_refused() -> None:
    short, long = Text("short", (1,) * 31), Text("long", (1,) * 40)
    first, *others = score_texts(engine(), [short, long], LlamaWindows(16))
    assert isinstance(first, NotScored)
    assert isinstance(others[-1], TextScore)
    assert others[-1].tokens == 2 * 7


def test_an_interrupt_ends_it() -> None:
    interrupt = Interrupt()
    one = LocalEngine(FakeBackend(), interrupt=interrupt)

    def texts() -> Iterator[Text]:
        yield Text("a", (1,) * 500)
        interrupt.request()
        yield Text("b", (1,) * 500)

    results = list(score_texts(one, texts(), SlidingWindows(64, 32)))
    assert all(isinstance(result, NotScored) and isinstance(result.error, Cancelled) for result in results[-1:])


def test_sums_of_a_text() -> None:
    assert TextScore("a").perplexity is TextScore("a").bits_per_byte is None
    one = TextScore("a", tokens=4, bytes=8, logprob=-4 * math.log(2))
    assert one.perplexity == pytest.approx(2)
    assert one.bits_per_byte == pytest.approx(0.5)
    assert TextScore("a", tokens=1, bytes=1, logprob=-1e9).perplexity == math.inf


def test_a_text_after_another_is_scored_without_it() -> None:
    text = make_text(engine(), "a", b"def", b"abc")
    assert (bytes(text.tokens), text.start) == (b"abcdef", 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), max_size=5).map(tuple), max_size=7).map(tuple), st.integers(1, 2))
def test_choices_are_scored_exactly(following: tuple[tuple[int, ...], ...], cores: int) -> None:
    prompts = [(5, 6, 7), (5, 6, 8), (4,)]
    asked = [Choices(str(number), TokenPrompt(prompt), following) for number, prompt in enumerate(prompts)]
    results = {result.id: result for result in score_choices(engine(cores), asked, top=1)}
    for one, prompt in zip(asked, prompts, strict=True):
        result = results[one.id]
        assert isinstance(result, Scored)
        assert len(result.scores) == len(following)
        for continuation, each in zip(following, result.scores, strict=True):
            expected = sum(logprob((*prompt, *continuation[:at]), token) for at, token in enumerate(continuation))
            assert each.logprob == expected
            assert each.is_greedy == all(info.top[0].token == info.token for info in each.tokens)


def test_texts_as_choices() -> None:
    found = score(engine(), TextPrompt(b"abc"), ["d", "de", "x", ""], top=1)
    assert [[info.text for info in one.tokens] for one in found] == [["d"], ["d", "e"], ["x"], []]
    assert found[3].logprob == 0.0
    with pytest.raises(ContextFull):
        score(engine(), TextPrompt(b"a" * 60), ["b" * 10])


def test_more_choices_than_sequences_are_scored_in_parts() -> None:
    one = engine(max_sequences=8)
    texts = [f"{number:03}." for number in range(60)]
    found = score(one, TextPrompt(b"abc"), texts)
    assert [bytes(info.token for info in each.tokens).decode() for each in found] == texts


def test_choices_of_text_have_the_prompts_tokens() -> None:
    made = make_choices(engine(), "a", TextPrompt(b"ab"), ["c", "cd"])
    assert made == Choices("a", TokenPrompt(tuple(b"ab")), (tuple(b"c"), tuple(b"cd")))
