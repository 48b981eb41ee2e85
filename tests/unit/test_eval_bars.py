"""Bars of `gptcli eval`: as long as the value, with the interval shaded."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gptcli.render.evaluation import bar


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted), st.integers(1, 40))
def test_a_bar_ends_at_its_value_and_its_shade_at_the_upper_bound(bounds: list[float], width: int) -> None:
    low, value, high = bounds
    drawn = bar(value, low, high, width)
    assert len(drawn) == round(high * width)
    assert len(drawn.rstrip("░")) == round(value * width)
    assert len(drawn.rstrip("░▓")) == round(low * width)


def test_what_is_no_number_has_no_bar() -> None:
    assert bar(math.nan, 0, 1, 10) == ""
    assert bar(0.5, 0.5, 0.5, 10, most=0) == ""
