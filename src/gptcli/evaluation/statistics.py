"""How certain a figure is: bootstrap intervals, and the significance of a difference on the same items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gptcli.evaluation.metrics import Metric, Record

RESAMPLES = 2000
_AT_ONCE = 200
"""Resamples whose counts are in memory at the same time."""

Sums = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float
    items: int


def item_numbers(metric: Metric, records: Sequence[Record]) -> Sums:
    """A row for each item with its share of the metric's sums."""
    return np.array([metric.numbers(record) for record in records], dtype=np.float64)


def estimate(metric: Metric, numbers: Sums, *, seed: int) -> Estimate:
    """The metric and its percentile bootstrap interval (Efron 1979), from `RESAMPLES` resamples of the items."""
    count = len(numbers)
    if not count:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    random = np.random.default_rng(seed)
    values: list[float] = []
    while len(values) < RESAMPLES:
        drawn = random.multinomial(count, np.full(count, 1 / count), size=_AT_ONCE)
        values += [metric.value(row) for row in drawn @ numbers]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Estimate(metric.value(numbers.sum(axis=0)), float(low), float(high), count)


def significance(metric: Metric, ours: Sums, theirs: Sums, *, seed: int) -> float:
    """The probability p of a difference at least as large between two models on the same items, if both were equally
    good: approximate randomization, two-sided (Noreen 1989). The rows of both are of the same items in the same order.

    In each trial, the results of every item are swapped with probability 1/2."""
    observed = abs(metric.value(ours.sum(axis=0)) - metric.value(theirs.sum(axis=0)))
    random = np.random.default_rng(seed)
    both, difference = ours.sum(axis=0) + theirs.sum(axis=0), theirs - ours
    as_large = trials = 0
    while trials < RESAMPLES:
        swapped = ours.sum(axis=0) + random.integers(0, 2, size=(_AT_ONCE, len(ours))) @ difference
        for row in swapped:
            as_large += abs(metric.value(row) - metric.value(both - row)) >= observed - 1e-12
        trials += _AT_ONCE
    return (as_large + 1) / (trials + 1)
