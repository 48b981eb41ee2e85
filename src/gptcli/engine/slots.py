"""The slots of the KV cache: sequence ids, and the tokens that each one holds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence as Many
from dataclasses import dataclass

MIN_PREFIX = 64
"""Tokens below which a prefix is computed faster than restored from disk."""


@dataclass(slots=True)
class Slot:
    """A sequence id of the KV cache. While it is idle, `tokens` are those it holds, in order of position."""

    number: int
    tokens: list[int]
    busy: bool = False
    last_use: int = 0


def common_prefix(left: Many[int], right: Many[int]) -> int:
    """Length of the longest common prefix of two lists of token ids (bisection over slices, compared in C)."""
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
    """All slots. An idle one keeps its tokens cached until it is needed."""

    def __init__(self) -> None:
        self._slots: list[Slot] = []
        self._clock = itertools.count(1)

    def grow(self, count: int) -> None:
        """Have at least `count` slots."""
        self._slots += [Slot(number, []) for number in range(len(self._slots), count)]

    def __len__(self) -> int:
        return len(self._slots)

    def __getitem__(self, number: int) -> Slot:
        return self._slots[number]

    @property
    def idle(self) -> int:
        """How many slots are idle."""
        return sum(not slot.busy for slot in self._slots)

    @property
    def empty(self) -> int:
        """How many slots are idle and hold nothing."""
        return sum(not slot.busy and not slot.tokens for slot in self._slots)

    @property
    def cached_tokens(self) -> int:
        """Tokens that all idle slots hold together."""
        return sum(len(slot.tokens) for slot in self._slots if not slot.busy)

    def longest_prefix(self, tokens: list[int], *, whole: bool = False) -> tuple[Slot | None, int]:
        """The idle slot that holds the longest prefix of `tokens`, and the length of that.

        `whole`: only slots whose tokens are all part of the prefix, and not all of `tokens`."""
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

    def next_free(self) -> Slot:
        """An idle slot: an empty one, or the least recently used."""
        return min((s for s in self._slots if not s.busy), key=lambda s: (bool(s.tokens), s.last_use))

    def allocate(self, slot: Slot | None = None) -> Slot:
        """Make a slot busy: this one, or the next free one."""
        slot = slot or self.next_free()
        slot.busy = True
        slot.last_use = next(self._clock)
        return slot

    def touch(self, slot: Slot) -> None:
        """Note that a slot's tokens were used, so that others are evicted before them."""
        slot.last_use = next(self._clock)

    def free(self, number: int, tokens: list[int]) -> None:
        """Make a slot idle, with `tokens` cached in it."""
        slot = self._slots[number]
        slot.busy = False
        slot.tokens = tokens
        slot.last_use = next(self._clock)

    def cached(self) -> list[Slot]:
        """The idle slots that hold tokens, the least recently used first."""
        return sorted((s for s in self._slots if s.tokens and not s.busy), key=lambda slot: slot.last_use)
