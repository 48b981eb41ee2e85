"""What a chat template may spend: one account of characters made and steps taken, and a clock.

It knows Python values and their weights, and nothing of jinja2; `sandbox.py` says what is charged when.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from time import monotonic, thread_time
from typing import Any, TypeVar

T = TypeVar("T")

STEP = 16
"""What one loop turn, call, filter or comparison costs, in characters: its time is worth that much copying."""
REFERENCE = 2
"""What one place in a list costs, in characters: a pointer is as large as two wide characters."""
OBJECT = 20
"""What a new small object in a list costs: 80 bytes."""
MAX_INTEGER_BITS = 4096

_WEIGHED = (list, tuple, dict)


class BudgetExceeded(Exception):
    """The template wants more room or time than any honest one needs; the text says what of."""


class Budget:
    """An account of `room` characters (at most 4 bytes each) and `seconds`; whoever overdraws it gets `BudgetExceeded`.

    The clock is this thread's own CPU time, so that a laptop that slept does not condemn a template. It is asked
    only when the cheaper wall clock says that it could have run out.
    """

    def __init__(self, room: int, seconds: float) -> None:
        self._known: dict[int, tuple[object, int]] = {}
        self.reset(room, seconds)

    def reset(self, room: int, seconds: float) -> None:
        """Begin a new account."""
        self._room = self._left = room
        self._seconds = seconds
        self._began, self._deadline = thread_time(), monotonic() + seconds
        self._known.clear()

    def spend(self, characters: int) -> None:
        """Charge for what has been made or done."""
        self._left -= characters
        if self._left < 0:
            raise BudgetExceeded(f"does more work than making {self._room:,} characters takes")
        if monotonic() > self._deadline:
            remaining = self._seconds - (thread_time() - self._began)
            if remaining <= 0:
                raise BudgetExceeded(f"computes for more than {self._seconds:.1f} seconds")
            self._deadline = monotonic() + remaining

    def afford(self, characters: int) -> None:
        """Refuse what would be made, before it is."""
        if characters > self._left:
            raise BudgetExceeded(f"does more work than making {self._room:,} characters takes")

    def steps(self, items: Iterable[T]) -> Iterator[T]:
        """`items`, each charged as it comes."""
        for item in items:
            self.spend(STEP)
            yield item

    def weight(self, value: object) -> int:
        """Characters that `value` would have as text, with what it holds counted as often as it is held.

        A list that holds one list twice, which holds one twice, and so on forty times, is small in memory and endless
        to print, compare or copy. Containers are weighed once each, when they are made, so that stays visible.
        """
        if isinstance(value, str):
            return len(value)
        if not isinstance(value, _WEIGHED):
            return 1
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        total = sum(map(self.weight, value))
        if isinstance(value, dict):
            total += sum(map(self.weight, value.values()))
        return self.note(value, total + len(value))

    def note(self, value: object, weight: int) -> int:
        """Remember the weight of a container, and the container itself, so that its id stays its own."""
        if weight > self._room:
            raise BudgetExceeded("nests lists beyond all measure")
        self._known[id(value)] = (value, weight)
        self._left -= OBJECT  # for the container and for this very note
        return weight

    def made(self, value: T, place: int = REFERENCE) -> T:
        """Charge for a value that a step has just brought into being; `place` for each element, if it has any."""
        price = STEP
        if isinstance(value, str):
            price += len(value)
        elif isinstance(value, _WEIGHED):
            self.weight(value)
            price += place * len(value)
        elif isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
            raise BudgetExceeded(f"computes with integers of more than {MAX_INTEGER_BITS:,} bits")
        self.spend(price)
        return value


def scale(meter: Budget, arguments: Iterable[Any]) -> int:
    """How far arguments can blow up what they are applied to: a text by its length, a number by its size."""
    total = 1
    for argument in arguments:
        if isinstance(argument, int):
            total += abs(argument)
        elif isinstance(argument, tuple):
            total += scale(meter, argument)
        elif isinstance(argument, Mapping):
            total += meter.weight(argument) + scale(meter, argument.values())
        else:
            total += meter.weight(argument)
    return total


def widest(pattern: str) -> int:
    """The largest number in a format string: `%99d` and `{:99}` pad to it. Raises BudgetExceeded for computed ones."""
    if re.search(r"\{[^{}]*\{", pattern):
        raise BudgetExceeded("formats with a computed width")
    return max([1, *(int(digits) if len(digits) < 10 else 10**10 for digits in re.findall("[0-9]+", pattern))])
