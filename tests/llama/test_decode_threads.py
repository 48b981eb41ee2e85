"""The number of decode threads: all on a quiet machine, fewer beside other programs, all again once they end."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gptcli.llama.threads import DecodeThreads


@dataclass
class Machine:
    """Steps whose threads wait for each other, the longer the more of them share their core with another program."""

    cores: int
    others: int = 0
    work: float = 0.01
    """Seconds that a step of one token takes one thread."""

    def step(self, threads: DecodeThreads, tokens: int = 1) -> float:
        """The seconds of a step."""
        share = min(1.0, self.cores / (threads.count + self.others))
        waits = 1.0 + 1.5 * (threads.count - 1) * (share < 1.0)
        seconds = self.work * (1 + tokens) / 2 / threads.count / share * waits
        threads.observe(seconds, seconds * threads.count * share, tokens)
        return seconds


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_a_quiet_machine_decodes_with_all_threads(cores: int) -> None:
    threads, machine = DecodeThreads(cores), Machine(cores)
    for _ in range(500):
        machine.step(threads)
        assert threads.count == cores
    assert threads.waited == pytest.approx(0.0)


@pytest.mark.parametrize("cores", [2, 4, 8])
def test_beside_other_programs_fewer_threads_decode_in_less_time(cores: int) -> None:
    threads, machine = DecodeThreads(cores), Machine(cores, others=cores)
    seconds = sum(machine.step(threads) for _ in range(300))
    fixed = DecodeThreads(cores, adaptive=False)
    assert seconds < 0.7 * sum(machine.step(fixed) for _ in range(300))
    assert threads.count < cores
    assert fixed.count == cores
    assert 0 < threads.waited < fixed.waited


@pytest.mark.parametrize("others", [0, 2])
def test_steps_with_drafts_are_compared_with_their_like(others: int) -> None:
    threads, machine = DecodeThreads(2), Machine(2, others)
    counts = []
    for _ in range(100):
        for tokens in (1, 4, 1, 1, 8):
            machine.step(threads, tokens)
            counts.append(threads.count)
    assert threads.count == (1 if others else 2)
    assert others or set(counts) == {2}


def test_a_trial_ends_where_steps_of_its_size_do_not_come_again() -> None:
    threads = DecodeThreads(2)
    threads.observe(0.06, 0.06, tokens=2)  # two clients, beside another program
    assert threads.count == 1
    for _ in range(60):  # one of them is left, and the program has ended
        threads.observe(0.02 / threads.count, 0.02)
    assert threads.count == 2


def test_threads_come_back_when_the_other_programs_end() -> None:
    threads, machine = DecodeThreads(4), Machine(4, others=4)
    for _ in range(100):
        machine.step(threads)
    assert threads.count < 4
    machine.others = 0
    waited, seconds = threads.waited, 0.0
    while threads.count < 4:
        seconds += machine.step(threads)
    assert seconds < 2.5
    assert threads.waited - waited < 1.0


def test_fewer_threads_that_are_slower_are_tried_ever_more_rarely() -> None:
    threads = DecodeThreads(2)
    tries = []
    for step in range(4000):
        threads.observe(0.02 if threads.count == 1 else 0.01, 0.01)  # starved, but two are faster all the same
        if threads.count == 1:
            tries.append(step)
    assert threads.count == 2
    assert 0 < len(tries) < 40


def test_one_step_is_enough_where_it_takes_ten_times_as_long_as_alone() -> None:
    threads = DecodeThreads(2)
    threads.observe(0.15, 0.15)
    assert threads.count == 1
    while threads.count == 1:
        threads.observe(0.03, 0.03)
    threads.observe(0.15, 0.15)  # both again, in vain
    assert threads.count == 1
