"""Chooses how many threads decode, by the durations of the steps: fewer while other programs want the cores.

The threads of a step wait for each other at some 500 barriers in it, so one that has to share its core with another
program holds up all of them. Two threads beside two busy programs decode half as fast as one thread."""

from __future__ import annotations

from dataclasses import dataclass, field

_WINDOW = 0.05
"""Seconds of decoding whose steps are compared by their mean duration: long enough to tell a factor, and short enough
to cost little where one step beside other programs takes ten times as long as alone."""
_STARVED = 0.8
"""Share of their time that threads must get on a core; with less, fewer threads are tried."""
_GAIN = 0.95
"""A number of threads is better if a step takes no more than this part of the time."""
_LONGEST_TRIAL = 0.5
"""Seconds of decoding after which a trial is given up: steps of that many tokens may not come again."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 16.0
"""Seconds until another number is tried; each trial in vain doubles them."""


@dataclass(slots=True)
class _Window:
    """Steps of the same number of tokens."""

    steps: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def add(self, seconds: float, cpu_seconds: float) -> None:
        self.steps += 1
        self.seconds += seconds
        self.cpu_seconds += cpu_seconds


@dataclass(slots=True)
class DecodeThreads:
    """The number of threads; `observe` each step that decodes a few tokens."""

    most: int
    """Threads on a quiet machine."""
    adaptive: bool = True
    """Whether the number may change; if not, only `waited` is measured."""
    count: int = 0
    """Threads of the next step."""
    waited: float = 0.0
    """Seconds that threads have waited for a core, all of them together."""
    _windows: dict[int, _Window] = field(default_factory=dict)
    """By the tokens of their steps: with drafts, or with the clients of a server, their number changes."""
    _before: tuple[int, int, float] | None = None
    """While another number is tried: the number before, the tokens of a step, and its seconds with it."""
    _pause: float = _FIRST_PAUSE
    _since: float = _LONGEST_PAUSE
    """Seconds of decoding since the last trial began or ended."""

    def __post_init__(self) -> None:
        self.count = self.count or self.most

    def observe(self, seconds: float, cpu_seconds: float, tokens: int = 1) -> None:
        """A step of so many `tokens` took `seconds`, in which this process had `cpu_seconds` on all cores together."""
        self._since += seconds
        self.waited += max(0.0, seconds * self.count - cpu_seconds)
        if not self.adaptive:
            return
        window = self._windows.setdefault(tokens, _Window())
        window.add(seconds, cpu_seconds)
        if window.seconds < _WINDOW:
            return
        del self._windows[tokens]
        step, cores = window.seconds / window.steps, window.cpu_seconds / window.seconds
        if self._before is None and self._since >= self._pause:
            self._begin_trial(tokens, step, cores)
        elif self._before is not None and self._before[1] == tokens:
            self._end_trial(step)
        elif self._before is not None and self._since > _LONGEST_TRIAL:
            self.count, self._before, self._since = self._before[0], None, 0.0
            self._windows.clear()

    def _begin_trial(self, tokens: int, step: float, cores: float) -> None:
        """Try as many threads as there were cores for, or all of them again."""
        fewer = max(1, int(cores + 0.25))
        other = fewer if cores < _STARVED * self.count else self.most
        if other != self.count:
            self._before = self.count, tokens, step
            self.count, self._since = other, 0.0
            self._windows.clear()

    def _end_trial(self, step: float) -> None:
        assert self._before is not None
        count, _, step_before = self._before
        self._before, self._since = None, 0.0
        self._windows.clear()
        if step <= _GAIN * step_before:
            self._pause = _FIRST_PAUSE
        else:
            self.count = count
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
