"""The scheduling rule, as a pure function of sequences and a budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gptcli.engine.output import OutputProcessor
from gptcli.engine.scheduler import LONG, plan
from gptcli.engine.sequence import Sequence
from gptcli.types import Request, TextPrompt


def waiting_for(pending: int) -> Sequence:
    request = Request("r", TextPrompt(b""))
    speech = OutputProcessor(request, 0, is_chat=False, thinking=False)
    return Sequence(request, 0, [1] * (pending + 2), prompt_tokens=1, seed=0, speech=speech, computed=2)


sequences = st.lists(st.integers(0, 60).map(waiting_for), max_size=12)


@given(running=sequences, budget=st.integers(1, 64))
def test_never_more_than_the_budget_and_never_less_than_there_is_to_do(running: list[Sequence], budget: int) -> None:
    steps = plan(running, budget)
    assert sum(count for _, count in steps) == min(budget, sum(sequence.pending for sequence in running))
    assert all(1 <= count <= sequence.pending for sequence, count in steps)
    assert len({id(sequence) for sequence, _ in steps}) == len(steps)


@given(running=sequences, budget=st.integers(1, 64))
def test_streams_come_before_prompts_and_old_prompts_before_young_ones(running: list[Sequence], budget: int) -> None:
    steps = plan(running, budget)
    streams = [sequence for sequence in running if sequence.pending == 1]
    prompts = [sequence for sequence in running if sequence.pending > 1]
    chosen = [sequence for sequence, _ in steps]
    assert chosen == (streams + prompts)[: len(chosen)]
    # Only the last one may be left with something to do, so that the oldest prompt is whole first.
    assert all(count == sequence.pending for sequence, count in steps[:-1])


def placed(pending: int, slot: int) -> Sequence:
    sequence = waiting_for(pending)
    sequence.slot = slot
    return sequence


def test_steps_in_partitions_go_by_sequence_id() -> None:
    running = [placed(1, 3), placed(1, 0), placed(20, 2), placed(1, 1), placed(30, 4)]
    steps = plan(running, 512, parted=True)
    assert [(sequence.slot, count) for sequence, count in steps] == [(0, 1), (1, 1), (2, 20), (3, 1), (4, 20)]


def test_short_prompts_in_partitions_go_on_evenly() -> None:
    def counts(*pending: int) -> list[int]:
        return [count for _, count in plan([placed(n, slot) for slot, n in enumerate(pending)], 512, parted=True)]

    assert counts(12, 17, 15) == [12, 12, 12]
    assert counts(1, 5, 3) == [1, 1, 1]  # their rest, beside a text that is being written
    assert counts(5, 3) == [3, 3]  # nothing is being written
    assert counts(1, 5, 20, 30) == [1, 1, 20, 20]


def test_a_long_prompt_has_a_step_in_partitions_for_itself_and_short_ones_go_together() -> None:
    long, short, other = placed(LONG, 0), placed(5, 1), placed(LONG + 1, 2)
    assert plan([long, short, other], 512, parted=True) == [(long, LONG)]
    assert plan([short, long, other], 512, parted=True) == [(short, 5)]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=12), st.integers(1, 64))
def test_a_step_in_partitions_always_gets_on(pending: list[int], budget: int) -> None:
    steps = plan([placed(count, slot) for slot, count in enumerate(pending)], budget, parted=True)
    assert 1 <= sum(count for _, count in steps) <= budget
