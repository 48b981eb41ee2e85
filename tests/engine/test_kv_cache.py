"""What is computed again and what is reused, counted by the fake backend, for each kind of memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from answers import Answers, collect, expected
from fake_backend import FakeBackend
from hypothesis import given
from hypothesis import strategies as st

from gptcli.engine.backend import MemoryKind
from gptcli.engine.engine import LocalEngine
from gptcli.params import Sampling
from gptcli.types import Request, TextPrompt

LIMIT = 4096


class Turns:
    """An engine and its backend, for one request after the other."""

    def __init__(self, memory: MemoryKind = MemoryKind.ATTENTION, *, window: int = 0, parallel: int = 1) -> None:
        self.backend = FakeBackend(memory=memory, window=window)
        self.engine = LocalEngine(self.backend, parallel=parallel)

    def ask(self, prompt: str, *, tokens: int = 10, n: int = 1) -> tuple[str, int]:
        """The first sample's answer, checked, and how many prompt tokens were computed for it."""
        request = Request("r", TextPrompt(prompt.encode()), Sampling(seed=1), max_tokens=tokens, ignore_eos=True, n=n)
        before = self.backend.computed
        answers = collect(self.engine.stream([request]))
        for index in range(n):
            assert answers.samples["r", index].text == expected(request, index, LIMIT)[0]
        computed = self.backend.computed - before
        finished = answers.samples["r", 0].finished
        assert finished is not None
        assert computed == finished.prompt_tokens - finished.reused_tokens + n * (tokens - 1)
        return answers.samples["r", 0].text, finished.prompt_tokens - finished.reused_tokens


@pytest.mark.parametrize("memory", MemoryKind)
def test_a_second_turn_computes_only_its_new_tokens(memory: MemoryKind) -> None:
    turns = Turns(memory, window=16)
    first = "You are a king. " * 10
    answer, computed = turns.ask(first)
    assert computed == len(first)
    # The last sampled token is in the text, but was never computed.
    _, computed = turns.ask(first + answer + "And then?")
    assert computed == len("And then?") + 1


@pytest.mark.parametrize(
    ("memory", "computed_again"),
    [(MemoryKind.ATTENTION, 1), (MemoryKind.WINDOW, 1), (MemoryKind.RECURRENT, 160)],
)
def test_a_retry_computes_one_token_where_memory_can_be_cut(memory: MemoryKind, computed_again: int) -> None:
    turns = Turns(memory, window=100)
    first = "You are a king. " * 10
    turns.ask(first)
    # (the window has moved on by the ten tokens of the answer, and no longer holds what the cut would attend to)
    _, computed = turns.ask(first)
    assert computed == (160 if memory is MemoryKind.WINDOW else computed_again)


def test_a_window_that_still_holds_everything_is_cut() -> None:
    turns = Turns(MemoryKind.WINDOW, window=500)
    first = "You are a king. " * 10
    turns.ask(first)
    assert turns.ask(first)[1] == 1


@pytest.mark.parametrize(
    ("memory", "computed_again"),
    [(MemoryKind.ATTENTION, len("QUEEN") + 100), (MemoryKind.RECURRENT, 50 + len("QUEEN") + 100)],
)
def test_an_edit_computes_from_where_the_text_differs(memory: MemoryKind, computed_again: int) -> None:
    turns = Turns(memory)
    turns.ask("a" * 50 + "king" + "b" * 100)
    assert turns.ask("a" * 50 + "QUEEN" + "b" * 100)[1] == computed_again


def test_a_recurrent_memory_continues_a_state_that_fits_rather_than_one_that_shares_most() -> None:
    turns = Turns(MemoryKind.RECURRENT, parallel=2)
    requests = [
        Request(text, TextPrompt(text.encode()), Sampling(seed=1), max_tokens=1, ignore_eos=True)
        for text in ("a" * 60, "a" * 80 + "b" * 40)
    ]
    collect(turns.engine.stream(requests))
    assert turns.ask("a" * 80 + "c")[1] == 21


def test_the_next_turn_continues_any_sample() -> None:
    turns = Turns()
    first = "You are a king. " * 10
    request = Request("r", TextPrompt(first.encode()), Sampling(seed=1), max_tokens=40, ignore_eos=True, n=4)
    answers = collect(turns.engine.stream([request]))
    for index in range(4):
        answer = answers.samples["r", index].text.replace("<end>", "")
        computed = turns.ask(first + answer + "?")[1]
        # An ignored end token has no text, so what follows it differs.
        assert computed == 2 if len(answer) == 40 else computed < 60


def together(requests: int, shared: str, own: Callable[[int], str], parallel: int) -> tuple[Answers, FakeBackend]:
    backend = FakeBackend()
    made = [
        Request(
            str(number), TextPrompt((shared + own(number)).encode()), Sampling(seed=1), max_tokens=5, ignore_eos=True
        )
        for number in range(requests)
    ]
    answers = collect(LocalEngine(backend, parallel=parallel).stream(made))
    for request in made:
        assert answers.samples[request.id, 0].text == expected(request, 0, LIMIT)[0]
    return answers, backend


@pytest.mark.parametrize("parallel", [1, 2, 5])
def test_a_shared_prefix_is_computed_once(parallel: int) -> None:
    shared = "Say whether this is friendly: " * 10
    _, backend = together(12, shared, lambda number: f"{chr(ord('A') + number)} row", parallel)
    # Requests that wait for it start when fewer than 32 tokens are left, and compute these again.
    least = len(shared) + 12 * (len("A row") + 4)
    assert least <= backend.computed <= least + 31 * (parallel - 1)


@given(
    parts=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 120), st.integers(0, 3)), min_size=2, max_size=8),
    parallel=st.integers(1, 6),
)
def test_waiting_for_a_prefix_that_is_being_computed_never_blocks_forever(
    parts: list[tuple[int, int, int]], parallel: int
) -> None:
    answers, _ = together(
        len(parts),
        "",
        lambda number: "{}".format("abcd"[parts[number][0]] * parts[number][1] + f"-{parts[number][2]}"),
        parallel,
    )
    assert len(answers.samples) == len(parts)


def test_a_cached_prefix_is_not_waited_for() -> None:
    turns = Turns(parallel=3)
    shared = "p" * 200
    turns.ask(shared)
    requests = [
        Request(str(n), TextPrompt(f"{shared}{n}".encode()), Sampling(seed=1), max_tokens=3, ignore_eos=True)
        for n in range(3)
    ]
    started = []
    for event in turns.engine.stream(requests):
        if type(event).__name__ == "Started":
            started.append(event)
        else:
            break
    assert [event.reused_tokens for event in started] == [200, 200, 200]


def test_a_prefix_that_is_being_computed_is_waited_for() -> None:
    backend = FakeBackend(step_tokens=16)
    requests = [
        Request(str(n), TextPrompt(f"{'p' * 200}{n}".encode()), Sampling(seed=1), max_tokens=3, ignore_eos=True)
        for n in range(3)
    ]
    answers = collect(LocalEngine(backend, parallel=3).stream(requests))
    assert [answers.started[request.id].reused_tokens > 150 for request in requests] == [False, True, True]


def test_cached_tokens_are_evicted_when_their_cells_are_needed() -> None:
    backend = FakeBackend(trained_context=256, capacity=256)
    engine = LocalEngine(backend, parallel=2)
    for word in "abcdef":
        request = Request(word, TextPrompt(word.encode() * 100), Sampling(seed=1), max_tokens=50, ignore_eos=True)
        answer = collect(engine.stream([request])).samples[word, 0]
        assert answer.text == expected(request, 0, 256)[0]


def test_growing_keeps_cached_tokens() -> None:
    turns = Turns(parallel=2)
    turns.ask("a" * 50)
    cells = turns.backend.config.cells
    turns.ask("b" * 2000)
    assert turns.backend.config.cells > cells
    assert turns.ask("a" * 50 + "?")[1] <= 2
