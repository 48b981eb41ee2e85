"""Several engine cores on one model, each with its own KV cache and thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from answers import collect, expected
from fake_backend import FakeBackend

from gptcli.engine.backend import Decoded
from gptcli.engine.engine import LocalEngine
from gptcli.errors import EngineError
from gptcli.params import Sampling
from gptcli.types import Request, TextPrompt

WAIT = 20.0
"""Seconds after which a test gives up waiting for a thread."""


def make_requests(count: int, **more: object) -> list[Request]:
    fields: dict[str, object] = {"sampling": Sampling(seed=1), "max_tokens": 6, "ignore_eos": True, **more}
    return [Request(str(n), TextPrompt(f"row {n} of many".encode()), **fields) for n in range(count)]  # type: ignore[arg-type]


@dataclass
class Meeting(FakeBackend):
    """Computes its first step only while all others compute theirs."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))
    shares: list[tuple[int, int]] = field(default_factory=list)

    def decode(self) -> Decoded:
        if not self.decodes:
            self.barrier.wait(WAIT)
        return super().decode()

    def share_threads(self, rank: int, count: int) -> None:
        self.shares.append((rank, count))


def meetings(count: int) -> list[Meeting]:
    barrier = threading.Barrier(count)
    return [Meeting(barrier=barrier) for _ in range(count)]


def test_cores_compute_at_the_same_time() -> None:
    first, *others = meetings(3)
    requests = make_requests(9)
    answers = collect(LocalEngine(first, replicas=others, parallel=9).stream(requests))
    assert [answers.samples[one.id, 0].text for one in requests] == [expected(one, 0, 4096)[0] for one in requests]


@pytest.mark.parametrize(("count", "shares"), [(2, [1, 1, 0]), (5, [2, 2, 1]), (9, [3, 3, 3])])
def test_few_requests_are_spread_over_all_cores(count: int, shares: list[int]) -> None:
    backends = [FakeBackend() for _ in range(3)]
    collect(LocalEngine(backends[0], replicas=backends[1:], parallel=48).stream(make_requests(count)))
    assert [len(one.samplers) for one in backends] == shares


def test_threads_of_idle_cores_go_to_the_others() -> None:
    first, second = meetings(2)
    long = make_requests(1, max_tokens=200)[0]
    short = make_requests(2, max_tokens=2)[1]
    collect(LocalEngine(first, replicas=[second], parallel=2).stream([long, short]))
    assert first.shares[1] == (0, 2)
    assert first.shares[-1] == (0, 1)
    assert set(second.shares) == {(1, 2)}


def test_no_more_cores_than_parallel_requests() -> None:
    first, second = FakeBackend(), FakeBackend()
    collect(LocalEngine(first, replicas=[second], parallel=1).stream(make_requests(3)))
    assert len(first.samplers) == 3
    assert not second.samplers


def test_a_failed_step_fails_the_requests_of_its_core_and_no_others() -> None:
    first, second = FakeBackend(), FakeBackend(fail_at=frozenset([2]))
    answers = collect(LocalEngine(first, replicas=[second], parallel=8).stream(make_requests(8)))
    assert set(answers.failed) == {"1", "3", "5", "7"}
    assert {number for (number, _), answer in answers.samples.items() if answer.finished} == {"0", "2", "4", "6"}


def test_two_failed_steps_on_a_core_end_the_stream_and_close_all_samplers() -> None:
    first, second = FakeBackend(), FakeBackend(fail_at=frozenset([2, 3]))
    with pytest.raises(EngineError):
        collect(LocalEngine(first, replicas=[second], parallel=8).stream(make_requests(32)))
    assert all(sampler.closed for one in (first, second) for sampler in one.samplers)


@dataclass
class Gated(FakeBackend):
    gate: threading.Event = field(default_factory=threading.Event)
    inside: bool = False

    def decode(self) -> Decoded:
        self.inside = True
        assert self.gate.wait(WAIT)
        outcome = super().decode()
        self.inside = False
        return outcome

    def remove(self, sequence: int, start: int) -> bool:
        assert not self.inside, "the cache is changed while a step is computed"
        return super().remove(sequence, start)


def test_closing_the_stream_waits_for_the_running_steps() -> None:
    first, second = FakeBackend(), Gated()
    stream = LocalEngine(first, replicas=[second], parallel=2).stream(make_requests(2))
    for _ in range(3):  # both have started, and the first has ended a step
        next(stream)
    threading.Timer(0.05, second.gate.set).start()
    stream.close()
    assert not second.inside
    assert all(sampler.closed for one in (first, second) for sampler in one.samplers)


class Broken(FakeBackend):
    def decode(self) -> Decoded:
        raise RuntimeError("a bug")


def test_an_exception_in_a_thread_is_raised_to_the_caller() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        collect(LocalEngine(FakeBackend(), replicas=[Broken()], parallel=2).stream(make_requests(2)))


def test_rows_that_begin_alike_go_to_the_same_core() -> None:
    backends = [FakeBackend(step_tokens=128) for _ in range(2)]
    groups = [b"summarize this article for a child of ten years: ", b"find every name of a place in this sentence: "]
    prompts = [groups[number % 2] + b"%d" % number for number in range(8)]
    requests = [Request(str(n), TextPrompt(data), Sampling(seed=1), max_tokens=2) for n, data in enumerate(prompts)]
    answers = collect(LocalEngine(backends[0], replicas=backends[1:], parallel=8).stream(requests))
    assert sum(started.reused_tokens < 40 for started in answers.started.values()) == 2
