"""The engine of a server: requests come one after the other, and the KV cache follows what they turn out to be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from fake_backend import END, FakeBackend
from fake_chat import endless

from gptcli.engine import cache_config
from gptcli.engine.engine import LocalEngine
from gptcli.params import Sampling
from gptcli.types import Event, Finished, Request, TextPrompt

INSTRUCTION = "Answer in one word. " * 10


def ask(text: str, tokens: int | None = 8) -> Request:
    return Request(text, TextPrompt(text.encode()), Sampling(seed=1), max_tokens=tokens)


def serve(backend: FakeBackend, requests: list[Request], *, at_once: int, parallel: int = 8) -> list[Event]:
    """All events; a request comes as soon as fewer than `at_once` are unfinished, and never before."""
    engine = LocalEngine(backend, parallel=parallel, serving=True)
    events: list[Event] = []
    waiting = requests[::-1]

    def incoming() -> Iterator[Request | None]:
        while waiting:
            unfinished = len(requests) - len(waiting) - sum(isinstance(event, Finished) for event in events)
            yield waiting.pop() if unfinished < at_once else None

    for event in engine.stream(incoming()):
        events.append(event)  # noqa: PERF402 - `incoming` looks at them
    return events


def texts(events: list[Event]) -> dict[str, tuple[int, ...]]:
    return {event.id: event.tokens for event in events if isinstance(event, Finished)}


def alone(requests: list[Request]) -> dict[str, tuple[int, ...]]:
    """What each request gets by itself."""
    return {one.id: texts([*LocalEngine(FakeBackend()).stream([one])])[one.id] for one in requests}


def test_a_shared_beginning_is_noticed_although_the_first_request_comes_alone() -> None:
    backend = FakeBackend()
    requests = [ask(f"{INSTRUCTION}{number}", 30) for number in range(24)]
    events = serve(backend, requests, at_once=6)
    assert backend.config.unified
    assert texts(events) == alone(requests)
    prompts = sum(len(one.prompt.data) for one in requests)
    assert backend.computed < prompts // 3 + 24 * 30


def test_after_a_long_first_prompt_its_beginning_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_config, "_LONG_PROMPT", len(INSTRUCTION))
    backend = FakeBackend()
    engine = LocalEngine(backend, parallel=8, serving=True)
    for number in range(4):
        [*engine.stream([ask(f"{INSTRUCTION}{number}", 1)])]
        assert backend.config.unified
    assert backend.computed < len(INSTRUCTION) + 4 * 10


def test_unrelated_requests_get_partitions_again() -> None:
    backend = FakeBackend()
    shared = [ask(f"{INSTRUCTION}{number}") for number in range(70)]
    unrelated = [ask(f"{number} is a number of its own kind") for number in range(90)]
    events = serve(backend, [*shared, *unrelated], at_once=6)
    assert not backend.config.unified
    assert texts(events) == alone([*shared, *unrelated])


def test_mixed_requests_do_not_change_it_back_and_forth() -> None:
    kinds = []

    class Recording(FakeBackend):
        def reserve(self, config) -> None:
            kinds.append(config.unified)
            super().reserve(config)

    backend = Recording()
    requests = [ask(f"{INSTRUCTION}{n}" if n // 6 % 2 else f"{n} is a number of its own kind") for n in range(128)]
    serve(backend, requests, at_once=6)
    changes = sum(before is not after for before, after in pairwise(kinds))
    assert changes <= 128 // 64 + 1


def test_one_long_request_does_not_reserve_as_much_for_all_others() -> None:
    backend = FakeBackend(trained_context=100_000, step_tokens=512)
    serve(backend, [ask("a" * 6000, 100)], at_once=1, parallel=32)
    assert backend.config.cells < 8192


def test_long_requests_still_run_at_once() -> None:
    backend = FakeBackend(endless, trained_context=100_000, step_tokens=512)
    running = most = 0
    for event in serve(backend, [ask(f"{n}" + "a" * 6000, 20) for n in range(6)], at_once=6, parallel=32):
        running += (type(event).__name__ == "Started") - isinstance(event, Finished)
        most = max(most, running)
    assert most >= 4


def test_an_answer_longer_than_a_partition_does_not_end_partitions_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_config, "_OPEN_END", 64)
    backend = FakeBackend(lambda tokens, seed: 97 if len(tokens) < 400 else END)
    requests = [ask(f"{n} is a number of its own kind", 20 if n else None) for n in range(250)]
    events = serve(backend, requests, at_once=6)
    assert len(texts(events)) == 250
    assert not backend.config.unified


def test_two_conversations_in_turn_keep_what_was_computed() -> None:
    backend = FakeBackend()
    talks = {"A": INSTRUCTION[:20] + "A" * 600, "B": INSTRUCTION[:20] + "B" * 600}
    requests = []
    for turn in range(4):
        for name in talks:
            talks[name] += f" turn {turn} of {name}"
            requests.append(ask(talks[name], 4))
    events = serve(backend, requests, at_once=1)
    reused = [event.reused_tokens for event in events if isinstance(event, Finished)]
    assert all(count > 600 for count in reused[2:])


def test_what_a_prompt_has_in_common_with_the_slot_that_is_evicted_is_not_computed_again() -> None:
    requests = [ask("Hm " + letter * 30) for letter in "abcdefgh"]  # three tokens are too few to be copied
    events = serve(FakeBackend(), requests, at_once=1)
    ends = [event for event in events if isinstance(event, Finished)]
    assert [end.reused_tokens for end in ends] == [0, 0, 0, 0, 3, 3, 3, 3]
    assert texts(events) == alone(requests)


def test_a_few_requests_do_not_reserve_room_for_many() -> None:
    backend = FakeBackend()
    requests = [ask(f"{number} is a number of its own kind") for number in range(60)]
    events = serve(backend, requests[:20], at_once=3, parallel=32)
    assert (backend.config.unified, backend.config.sequences) == (False, 4)
    events += serve(backend, requests[20:], at_once=20, parallel=32)
    assert backend.config.sequences == 32
    assert texts(events) == alone(requests)


def test_partitions_that_are_all_in_use_become_more() -> None:
    backend, answers = FakeBackend(endless), 0

    def arrivals() -> Iterator[Request | None]:
        """One request, and nine more while it is being answered."""
        yield ask("1 is a number of its own kind", 40)
        for _ in range(5):
            yield None
        for number in range(2, 11):
            yield ask(f"{number} is a number of its own kind", 40)
        while answers < 10:
            yield None

    running = most = 0
    for event in LocalEngine(backend, parallel=32, serving=True).stream(arrivals()):
        running += (type(event).__name__ == "Started") - isinstance(event, Finished)
        answers += isinstance(event, Finished)
        most = max(most, running)
    assert (most, backend.config.unified, backend.config.sequences) == (10, False, 16)
