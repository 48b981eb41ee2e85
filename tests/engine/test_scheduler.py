"""The scheduling rule, as a pure function of sequences and a budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gptcli.engine.output import OutputProcessor
from gptcli.engine.scheduler import LONG, plan, prompts_fill_step
from gptcli.engine.sequence import Sequence
from gptcli.types import Request, TextPrompt


def waiting_for(pending: int) -> Sequence:
    request = Request("r", TextPrompt(b""))
    output = OutputProcessor(request, 0, is_chat=False, thinking=False)
    return Sequence(request, 0, [1] * (pending + 2), prompt_tokens=1, seed=0, output=output, computed=2)


sequences = st.lists(st.integers(0, 60).map(waiting_for), max_size=12)


@given(running=sequences, budget=st.integers(1, 64))
def test_a_step_uses_the_whole_budget_if_there_is_enough_to_compute(running: list[Sequence], budget: int) -> None:
    steps = plan(running, budget)
    assert sum(count for _, count in steps) == min(budget, sum(sequence.pending for sequence in running))
    assert all(1 <= count <= sequence.pending for sequence, count in steps)
    assert len({id(sequence) for sequence, _ in steps}) == len(steps)


@given(running=sequences, budget=st.integers(1, 64))
def test_decoding_comes_before_prompts_and_old_prompts_before_new_ones(running: list[Sequence], budget: int) -> None:
    steps = plan(running, budget)
    streams = [sequence for sequence in running if sequence.pending == 1]
    prompts = [sequence for sequence in running if sequence.pending > 1]
    chosen = [sequence for sequence, _ in steps]
    assert chosen == (streams + prompts)[: len(chosen)]
    # Only the last one may have tokens left, so that the oldest prompt is complete first.
    assert all(count == sequence.pending for sequence, count in steps[:-1])


def placed(pending: int, slot: int) -> Sequence:
    sequence = waiting_for(pending)
    sequence.slot = slot
    return sequence


def test_steps_in_partitions_are_sorted_by_slot() -> None:
    running = [placed(1, 3), placed(1, 0), placed(20, 2), placed(1, 1), placed(30, 4)]
    steps = plan(running, 512, partitioned=True)
    assert [(sequence.slot, count) for sequence, count in steps] == [(0, 1), (1, 1), (2, 20), (3, 1), (4, 20)]


def test_short_prompts_in_partitions_advance_evenly() -> None:
    def counts(*pending: int) -> list[int]:
        return [count for _, count in plan([placed(n, slot) for slot, n in enumerate(pending)], 512, partitioned=True)]

    assert counts(12, 17, 15) == [12, 12, 12]
    assert counts(1, 5, 3) == [1, 1, 1]  # the rest is computed beside the one that decodes
    assert counts(5, 3) == [3, 3]  # none decodes
    assert counts(1, 5, 20, 30) == [1, 1, 20, 20]


def test_a_long_prompt_in_a_partition_gets_a_step_to_itself() -> None:
    long, short, other = placed(LONG, 0), placed(5, 1), placed(LONG + 1, 2)
    assert plan([long, short, other], 512, partitioned=True) == [(long, LONG)]
    assert plan([short, long, other], 512, partitioned=True) == [(short, 5)]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=12), st.integers(1, 64))
def test_a_step_in_partitions_always_computes_something(pending: list[int], budget: int) -> None:
    steps = plan([placed(count, slot) for slot, count in enumerate(pending)], budget, partitioned=True)
    assert 1 <= sum(count for _, count in steps) <= budget


def test_prompts_fill_a_step_of_partitions_if_one_is_long_else_if_they_are_as_many_as_the_budget() -> None:
    short, decoding = [waiting_for(LONG - 1)] * 3, [waiting_for(1)] * 300
    assert not prompts_fill_step([*short, *decoding], 512, partitioned=True)
    assert prompts_fill_step([*short, waiting_for(LONG)], 512, partitioned=True)
    assert not prompts_fill_step([*short, *decoding], 3 * LONG)
    assert prompts_fill_step([*short, waiting_for(4)], 3 * LONG)
    assert not prompts_fill_step([], 512)
