"""The slots of the KV cache and the tokens they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.engine.slots import Slots, common_prefix

tokens = st.lists(st.integers(0, 2), max_size=40)


@given(shared=tokens, left=tokens, right=tokens)
def test_common_prefix_is_what_a_loop_would_count(shared: list[int], left: list[int], right: list[int]) -> None:
    left, right = shared + left, shared + right
    expected = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        expected += 1
    assert common_prefix(left, right) == expected


def cached(*held: list[int]) -> Slots:
    slots = Slots()
    slots.grow(len(held))
    for number, part in enumerate(held):
        slots.allocate(slots[number])
        slots.free(number, part)
    return slots


@given(held=st.lists(tokens, min_size=1, max_size=6), wanted=tokens.filter(bool))
def test_longest_prefix_is_the_longest_cached_one(held: list[list[int]], wanted: list[int]) -> None:
    slot, length = cached(*held).longest_prefix(wanted)
    assert length == max(common_prefix(part, wanted) for part in held)
    assert (slot is None) == (length == 0)
    if slot is not None:
        assert common_prefix(slot.tokens, wanted) == length


@given(held=st.lists(tokens, min_size=1, max_size=6), wanted=tokens.filter(bool))
def test_whole_finds_only_slots_that_can_be_continued(held: list[list[int]], wanted: list[int]) -> None:
    slot, length = cached(*held).longest_prefix(wanted, whole=True)
    usable = [len(part) for part in held if part and len(part) < len(wanted) and wanted[: len(part)] == part]
    assert length == max(usable, default=0)
    assert slot is None or (slot.tokens == wanted[:length])


def test_a_busy_slot_is_neither_found_nor_allocated() -> None:
    slots = cached([1, 2, 3], [1, 2])
    slots.allocate(slots[0])
    assert slots.longest_prefix([1, 2, 3]) == (slots[1], 2)
    assert slots.allocate().number == 1
    with pytest.raises(ValueError, match="empty"):
        slots.allocate()


def test_empty_slots_are_allocated_first_and_then_the_least_recently_used() -> None:
    slots = cached([1], [2], [], [3])
    assert slots.empty == 1
    assert [slots.allocate().number for _ in range(4)] == [2, 0, 1, 3]
    assert (slots.idle, slots.empty) == (0, 0)


def test_cached_slots_are_ordered_by_their_last_use() -> None:
    slots = cached([1], [2], [3])
    slots.allocate(slots[0])
    slots.free(0, [1, 1])
    assert [slot.number for slot in slots.cached()] == [1, 2, 0]
    slots.allocate(slots[2])
    assert [slot.number for slot in slots.cached()] == [1, 0]
    assert cached([], []).cached() == []


def test_growing_keeps_cached_tokens_and_never_shrinks() -> None:
    slots = cached([1], [2])
    slots.grow(4)
    slots.grow(1)
    assert (len(slots), slots.idle, slots.empty) == (4, 4, 2)
    assert slots[1].tokens == [2]
