"""Bars with intervals, for the results of `gptcli eval` on a terminal."""

from __future__ import annotations

import math

_BAR, _INTERVAL, _BLANK = "█", "░", " "


def bar(value: float, low: float, high: float, width: int, most: float = 1.0) -> str:
    """A bar as long as `value` of `most`; its interval from `low` to `high` is shaded.

    Empty for a value that is no number."""
    if math.isnan(value) or most <= 0:
        return ""
    start, end, top = (min(width, max(0, round(one / most * width))) for one in (low, value, high))
    cells = [_BAR] * end + [_BLANK] * (width - end)
    for place in range(start, top):
        cells[place] = _INTERVAL if place >= end else "▓"
    return "".join(cells).rstrip()
