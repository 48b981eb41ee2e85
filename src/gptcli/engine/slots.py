"""Sequence ids of the KV cache and the tokens that each still holds, in use or resting.

It knows token ids and positions; what copying or cutting costs, and whether a memory can, is the engine's affair.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass


@dataclass(slots=True)
class Slot:
    """A sequence id of the KV cache; `tokens` are what it holds, in order of position."""

    number: int
    tokens: list[int]
    busy: bool = False
    last_use: int = 0


def common_prefix(left: Many[int], right: Many[int]) -> int:
    """Length of the longest common beginning of two lists of token ids (bisection over slices, compared in C)."""
    low, high = 0, min(len(left), len(right))
    if left[:high] == right[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


class Slots:
    """All sequence ids; a resting one keeps its tokens until its place is needed."""

    def __init__(self) -> None:
        self._slots: list[Slot] = []
        self._clock = 0

    def grow(self, count: int) -> None:
        """Have at least `count` ids."""
        self._slots += [Slot(number, []) for number in range(len(self._slots), count)]

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def free(self) -> int:
        """Ids that nobody is using."""
        return sum(not slot.busy for slot in self._slots)

    @property
    def empty(self) -> int:
        """Ids that nobody is using and that hold nothing."""
        return sum(not slot.busy and not slot.tokens for slot in self._slots)

    def best(self, tokens: list[int], *, whole: bool = False) -> tuple[Slot | None, int]:
        """The resting id that holds the longest prefix of `tokens`, and how long that is.

        `whole`: only one that can be gone on from as it is, holding nothing else and not all of `tokens`."""
        best: Slot | None = None
        longest = 0
        for slot in self._slots:
            if slot.busy or not slot.tokens or slot.tokens[0] != tokens[0]:
                continue
            length = common_prefix(slot.tokens, tokens)
            if whole and not length == len(slot.tokens) < len(tokens):
                continue
            if length > longest:
                best, longest = slot, length
        return best, longest

    def claim(self, slot: Slot | None = None) -> Slot:
        """Take an id into use: this one, an empty one, or the one that rested longest."""
        if slot is None:
            slot = min((s for s in self._slots if not s.busy), key=lambda s: (bool(s.tokens), s.last_use))
        slot.busy = True
        slot.last_use = self._tick()
        return slot

    def rest(self, number: int, tokens: list[int]) -> None:
        """The id is no longer in use and holds `tokens`."""
        slot = self._slots[number]
        slot.busy = False
        slot.tokens = tokens
        slot.last_use = self._tick()

    @property
    def resting_tokens(self) -> int:
        """Tokens that rest, all ids together."""
        return sum(len(slot.tokens) for slot in self._slots if not slot.busy)

    def newest_resting(self) -> Slot | None:
        """The resting id with tokens that was used last."""
        resting = [slot for slot in self._slots if slot.tokens and not slot.busy]
        return max(resting, key=lambda slot: slot.last_use, default=None)

    def oldest_resting(self) -> Slot | None:
        """The resting id with tokens that was used longest ago."""
        resting = [slot for slot in self._slots if slot.tokens and not slot.busy]
        return min(resting, key=lambda slot: slot.last_use, default=None)

    def __getitem__(self, number: int) -> Slot:
        return self._slots[number]

    def _tick(self) -> int:
        self._clock += 1
        return self._clock
