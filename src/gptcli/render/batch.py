"""Progress and plan of a batch, for people: a bar on a terminal, plain lines every 15 seconds elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from gptcli.render.progress import bytes_text, has_bar, rich_bar
from gptcli.terminal import Terminal

SECONDS_BETWEEN_LINES = 15.0


@dataclass(slots=True)
class BatchStatus:
    """How far a batch is."""

    total: int | None = None
    """Rows of the whole input, where that is known."""
    done: int = 0
    """Rows that this run has finished, with the failed ones."""
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Error codes of the rows that failed in this run."""
    failed_ever: int = 0
    """Failed rows in the output, with those of earlier runs."""
    resumed: int = 0
    """Rows that earlier runs have finished."""
    active: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    tokens: int = 0
    """Generated tokens."""
    seconds: float = 0.0
    share: float | None = None
    """The share of all rows that is done, from 0 to 1."""
    began: float = field(default_factory=time.monotonic)

    @property
    def finished(self) -> int:
        """Rows that this run and earlier ones have finished."""
        return self.done + self.resumed

    @property
    def rate(self) -> float:
        """Generated tokens a second."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the rows of this run; None before there is one."""
        if not self.share or not self.done or self.share > 1:
            return None
        return self.seconds / self.done * (self.finished / self.share - self.finished)

    def facts(self) -> dict[str, object]:
        """The statistics, for a program."""
        names = ("done", "failed", "failed_ever", "resumed", "prompt_tokens", "reused_tokens", "tokens")
        facts: dict[str, object] = {name: getattr(self, name) for name in names}
        return facts | {"seconds": round(self.seconds, 3), "tokens_per_second": round(self.rate, 1)}


class BatchProgress:
    """Shows nothing; the base of those that do."""

    def update(self, status: BatchStatus) -> None:
        """Show a changed status; called at most some ten times a second."""

    def finish(self, status: BatchStatus) -> None:
        """Show the last status, whether the run succeeded or not."""


def batch_progress(terminal: Terminal) -> BatchProgress:
    """A bar on a terminal, lines elsewhere, nothing with `-q`."""
    if terminal.quiet:
        return BatchProgress()
    return _Bar(terminal) if has_bar(terminal) else _Lines(terminal)


class _Bar(BatchProgress):
    def __init__(self, terminal: Terminal) -> None:
        from rich.progress import BarColumn, TextColumn

        text = TextColumn("{task.description}", markup=False)
        self._progress = rich_bar(terminal, BarColumn(bar_width=None), text)
        self._task = self._progress.add_task("reading", total=None)
        self._progress.start()

    def update(self, status: BatchStatus) -> None:
        total = None if status.share is None else 1.0
        self._progress.update(self._task, description=_text(status), total=total, completed=status.share or 0.0)

    def finish(self, status: BatchStatus) -> None:
        self._progress.update(self._task, description=_text(status, ended=True), completed=status.share or 0.0)
        self._progress.stop()


class _Lines(BatchProgress):
    def __init__(self, terminal: Terminal) -> None:
        self._terminal, self._last = terminal, time.monotonic()

    def update(self, status: BatchStatus) -> None:
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            self._terminal.report(_text(status))

    def finish(self, status: BatchStatus) -> None:
        self._terminal.report(_text(status, ended=True))


def _text(status: BatchStatus, *, ended: bool = False) -> str:
    of = "" if status.total is None else f" of {status.total:,}"
    parts = [f"{status.finished:,}{of} rows"]
    if status.failed_ever:
        parts.append(f"{status.failed_ever:,} failed")
    if status.active and not ended:
        parts.append(f"{status.active} at once")
    rows_only = status.prompt_tokens and not status.tokens and status.seconds > 0
    parts.append(f"{status.done / status.seconds:,.0f} rows/s" if rows_only else f"{status.rate:,.0f} tokens/s")
    left = status.seconds_left if status.active else None
    if ended:
        return f"{', '.join(parts)}, in {duration(status.seconds)}"
    parts.append(f"{duration(status.seconds)} so far" if left is None else f"{duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """`seconds` for people: `0.4 s`, `12 s`, `3:05 min`, `2:10 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = int(seconds) // 60
    return f"{minutes}:{int(seconds) % 60:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


@dataclass(slots=True)
class Plan:
    """What a batch would take: counts of all rows, and measurements of a short trial."""

    rows: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    """Rows that cannot be answered, by error code."""
    prompt_tokens: int = 0
    longest_prompt: int = 0
    most_tokens: int | None = 0
    """Tokens generated if every row reaches its limit; None if a row has no limit."""
    trial_rows: int = 0
    trial_prompt_tokens: int = 0
    trial_tokens: int = 0
    trial_ended: int = 0
    trial_seconds: float = 0.0

    @property
    def seconds(self) -> float | None:
        """Estimate for the whole run, if its rows are like those of the trial; None if no trial row has ended."""
        if not self.trial_ended or not self.trial_seconds:
            return None
        work = self.trial_prompt_tokens + self.trial_tokens
        good = self.rows - sum(self.bad.values())
        return self.trial_seconds / work * (self.prompt_tokens + good * self.trial_tokens / self.trial_rows)


def plan_lines(plan: Plan, parallel: int, cells: int, memory: int) -> Iterator[str]:
    """One fact a line; `cells` is the size of the KV cache in the trial, in tokens; `memory` is in bytes."""
    bad = sum(plan.bad.values())
    reasons = ", ".join(f"{count:,} {code}" for code, count in plan.bad.most_common())
    yield f"rows:       {plan.rows:,}" + (f", {bad:,} of them bad ({reasons})" if bad else "")
    mean = plan.prompt_tokens / max(1, plan.rows - bad)
    yield f"prompts:    {plan.prompt_tokens:,} tokens, {mean:,.0f} a row, {plan.longest_prompt:,} at most"
    yield "generated:  " + ("no limit" if plan.most_tokens is None else f"{plan.most_tokens:,} tokens at most")
    yield f"memory:     {bytes_text(memory)} with a context of {cells:,} tokens"
    if plan.trial_seconds:
        rate = plan.trial_tokens / plan.trial_seconds
        yield f"trial:      {plan.trial_rows:,} rows, {parallel} at once, {rate:,.0f} tokens/s"
    yield "time:       " + ("unknown" if plan.seconds is None else f"about {duration(plan.seconds)}")
