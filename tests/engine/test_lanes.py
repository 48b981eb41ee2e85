"""Several KV caches on one model, each computed in a thread of its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from answers import collect, expected

from gptcli.engine.backend import Decoded
from gptcli.engine.engine import LocalEngine
from gptcli.engine.fake import FakeBackend
from gptcli.errors import EngineError
from gptcli.params import Sampling
from gptcli.types import Request, TextPrompt

WAIT = 20.0
"""Seconds after which a test that waits for a thread has failed."""


def asked(count: int, **more: object) -> list[Request]:
    fields: dict[str, object] = {"sampling": Sampling(seed=1), "max_tokens": 6, "ignore_eos": True, **more}
    return [Request(str(n), TextPrompt(f"row {n} of many".encode()), **fields) for n in range(count)]  # type: ignore[arg-type]


@dataclass
class Meeting(FakeBackend):
    """Computes its first step only when as many others are computing theirs."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))
    shares: list[tuple[int, int]] = field(default_factory=list)

    def decode(self) -> Decoded:
        if not self.decodes:
            self.barrier.wait(WAIT)
        return super().decode()

    def share_threads(self, rank: int, count: int) -> None:
        self.shares.append((rank, count))


def meeting(count: int) -> list[Meeting]:
    barrier = threading.Barrier(count)
    return [Meeting(barrier=barrier) for _ in range(count)]


def test_lanes_compute_at_the_same_time() -> None:
    first, *others = meeting(3)
    requests = asked(9)
    answers = collect(LocalEngine(first, replicas=others, parallel=9).stream(requests))
    assert [answers.samples[one.id, 0].text for one in requests] == [expected(one, 0, 4096)[0] for one in requests]


@pytest.mark.parametrize(("rows", "dealt"), [(2, [1, 1, 0]), (5, [2, 2, 1]), (9, [3, 3, 3])])
def test_few_requests_are_dealt_out_among_all_lanes(rows: int, dealt: list[int]) -> None:
    backends = [FakeBackend() for _ in range(3)]
    collect(LocalEngine(backends[0], replicas=backends[1:], parallel=48).stream(asked(rows)))
    assert [len(one.samplers) for one in backends] == dealt


def test_threads_of_lanes_that_have_nothing_to_do_go_to_the_others() -> None:
    first, second = meeting(2)
    long = asked(1, max_tokens=200)[0]
    short = asked(2, max_tokens=2)[1]
    collect(LocalEngine(first, replicas=[second], parallel=2).stream([long, short]))
    assert first.shares[1] == (0, 2)
    assert first.shares[-1] == (0, 1)
    assert set(second.shares) == {(1, 2)}


def test_no_more_lanes_than_texts_at_once() -> None:
    first, second = FakeBackend(), FakeBackend()
    collect(LocalEngine(first, replicas=[second], parallel=1).stream(asked(3)))
    assert len(first.samplers) == 3
    assert not second.samplers


def test_one_bad_step_fails_the_rows_of_its_lane_and_no_others() -> None:
    first, second = FakeBackend(), FakeBackend(fail_at=frozenset([2]))
    answers = collect(LocalEngine(first, replicas=[second], parallel=8).stream(asked(8)))
    assert set(answers.failed) == {"4", "5", "6", "7"}
    assert {number for (number, _), answer in answers.samples.items() if answer.finished} == {"0", "1", "2", "3"}


def test_two_bad_steps_in_a_lane_end_the_stream_and_leave_nothing_open() -> None:
    first, second = FakeBackend(), FakeBackend(fail_at=frozenset([2, 3]))
    with pytest.raises(EngineError):
        collect(LocalEngine(first, replicas=[second], parallel=8).stream(asked(32)))
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
        assert not self.inside, "the cache is changed while a step is computed in it"
        return super().remove(sequence, start)


def test_who_stops_listening_waits_for_the_steps_that_are_being_computed() -> None:
    first, second = FakeBackend(), Gated()
    stream = LocalEngine(first, replicas=[second], parallel=2).stream(asked(2))
    for _ in range(3):  # both have started, and something came of the first
        next(stream)
    threading.Timer(0.05, second.gate.set).start()
    stream.close()
    assert not second.inside
    assert all(sampler.closed for one in (first, second) for sampler in one.samplers)


class Broken(FakeBackend):
    def decode(self) -> Decoded:
        raise RuntimeError("a bug")


def test_a_bug_in_a_thread_is_raised_to_who_listens() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        collect(LocalEngine(FakeBackend(), replicas=[Broken()], parallel=2).stream(asked(2)))
