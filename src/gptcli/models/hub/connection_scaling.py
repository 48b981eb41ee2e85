"""How hard to pull: how many connections are worth having, and how long to wait for a sender that fails.

It knows numbers and seconds only; it opens no connection and does not sleep.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

MOST_CONNECTIONS = 8
_WINDOW = 1.5
"""Seconds over which a rate is measured before another connection is tried: TCP needs about one to find its speed."""
_WORTH = 0.5
"""A new connection must bring this share of what each of the others brought, to be worth having."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to wait for a sender that brings nothing new; progress starts it afresh."""

    tries: int = 9
    first: float = 0.25
    longest: float = 30.0
    """Seconds; with nine tries that is a minute without a network. A sender may ask for up to ten times as much."""

    def pause(self, failures: int, asked: float | None) -> float:
        """Seconds to wait after so many failures in a row: what was asked for, else doubling, up to a fifth more."""
        if asked is not None:
            return asked
        return min(self.longest, self.first * 2.0 ** (failures - 1)) * random.uniform(1.0, 1.2)


@dataclass(slots=True)
class Pace:
    """How many connections are worth having: one more as long as the last one made the whole clearly faster."""

    wanted: int = 1
    _settled: bool = False
    _rate: float = 0.0
    _since: float = 0.0
    _bytes: int = 0

    def observe(self, now: float, received: int, connections: int) -> None:
        """`received` bytes in all have come by the second `now`, over so many connections."""
        if self._settled or connections != self.wanted or not self._since:
            self._since, self._bytes = now, received
        elif now - self._since >= _WINDOW:
            rate = (received - self._bytes) / (now - self._since)
            self._since, self._bytes = 0.0, 0
            others = max(1, self.wanted - 1)
            helped = rate >= self._rate * (1 + _WORTH / others)
            self._rate = rate
            if helped and self.wanted < MOST_CONNECTIONS:
                self.wanted += 1
            else:
                self.settle(self.wanted if helped else self.wanted - 1)

    def settle(self, connections: int) -> None:
        """Stay at `connections` from now on."""
        self.wanted = max(1, min(self.wanted, connections))
        self._settled = True
