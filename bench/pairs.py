"""Runs two programs in turn (A B A B …) and compares them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""getrusage(2) gives ru_maxrss in bytes on macOS and in KiB elsewhere."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program, from start to end: seconds, and peak resident memory in bytes."""

    seconds: float
    first: float
    """Seconds until its first byte of output."""
    streaming: float
    """Seconds from the first piece of output to the last."""
    peak: int
    output: bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same figure for gptcli and a peer, pair by pair. `bound`: the highest median ratio allowed or, where more is
    better, the lowest."""

    name: str
    peer: str
    unit: str
    ours: list[float]
    theirs: list[float]
    bound: float | None = None
    more_is_better: bool = False

    @property
    def ratios(self) -> list[float]:
        """Ours divided by theirs, for each pair."""
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the median is within the bound; None without one."""
        if self.bound is None:
            return None
        return self.ratio >= self.bound if self.more_is_better else self.ratio <= self.bound


def run(command: list[str]) -> Run:
    """Run a program without standard input. Raises SystemExit with the end of its stderr if it fails.

    On Linux a program's peak memory includes that of the process that started it (exec keeps the high-water mark), so
    the caller must stay smaller than what it measures: it loads no model.
    """
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        pieces, times = [], []
        while piece := os.read(process.stdout.fileno(), 65536):
            pieces.append(piece)
            times.append(time.perf_counter())
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if process.returncode != 0:
            errors.seek(0)
            tail = errors.read()[-2000:].decode(errors="replace")
            raise SystemExit(f"{' '.join(command)}\nended with {process.returncode}:\n{tail}")
    first, last = (times[0], times[-1]) if times else (started, started)
    return Run(seconds, first - started, last - first, usage.ru_maxrss * _RSS_UNIT, b"".join(pieces))


def alternate(ours: Callable[[], T], theirs: Callable[[], T], pairs: int) -> list[tuple[T, T]]:
    """Both in turn, after a run of each to warm the disk cache; nothing is pinned and no pair is dropped."""
    ours()
    theirs()
    return [(ours(), theirs()) for _ in range(pairs)]
