"""Progress of a download or a long prompt on stderr: a line on a terminal, nothing with `-q`; of a download a few plain
lines elsewhere."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from gptcli.models.progress import Report
from gptcli.terminal import Terminal, escape_controls
from gptcli.types import Prefill, Started

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_LONG_PROMPT = 2.0
"""Seconds that a prompt must take for its progress to be shown."""
SECONDS_BETWEEN_LINES = 10.0
"""Without a terminal: the pause between two lines while less than a tenth of the work is done."""


def bytes_text(count: float) -> str:
    """`count` bytes for people, in powers of 1000 as on the hub's pages: `98.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB" if abs(count) < 999.5 else f"{count:.0f} TB"


def has_bar(terminal: Terminal) -> bool:
    """Whether stderr can show a bar."""
    return terminal.stderr_tty and terminal.environment.get("TERM") != "dumb"


def rich_bar(terminal: Terminal, *columns: ProgressColumn) -> Progress:
    """rich's progress bar on stderr, not started yet."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=terminal.stderr, force_terminal=True, no_color=not terminal.color, width=terminal.width)
    return Progress(*columns, console=console, expand=True)


class PromptProgress:
    """A line on a terminal's stderr while a prompt is computed that takes more than two seconds."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._began: float | None = None
        self._reused = 0
        self._shown = False

    def show(self, event: Started | Prefill) -> None:
        """Show how many tokens are computed, and how long the rest will take at the rate so far."""
        if isinstance(event, Started):
            self._began, self._reused = time.monotonic(), event.reused_tokens
            return
        computed, left = event.computed - self._reused, event.total - event.computed
        if self._began is None or computed <= 0 or not has_bar(self._terminal) or self._terminal.quiet:
            return
        elapsed = time.monotonic() - self._began
        seconds = elapsed / computed * left
        if elapsed + seconds > _LONG_PROMPT:
            self._write(f"\rreading {event.computed:,} of {event.total:,} tokens, {seconds:.0f} s left\x1b[K")
            self._shown = True

    def end(self) -> None:
        """Remove the line."""
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = False

    def _write(self, text: str) -> None:
        self._terminal.stderr.write(text)
        self._terminal.stderr.flush()


class DownloadBar(Report):
    """A report on a terminal's stderr."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._lock = threading.Lock()
        self._work: _Bar | _Lines | None = None

    def note(self, text: str) -> None:
        """Print one line, above a bar if there is one."""
        if self._terminal.quiet:
            return
        with self._lock:
            (self._work or self._terminal).report(text)

    def start(self, label: str, total: int | None) -> None:
        """Start showing some work of `total` bytes; ends the work before it."""
        self.finish()
        if self._terminal.quiet:
            return
        with self._lock:
            kind = _Bar if has_bar(self._terminal) else _Lines
            self._work = kind(self._terminal, escape_controls(label), total)

    def advance(self, count: int) -> None:
        with self._lock:
            if self._work is not None:
                self._work.advance(count)

    def finish(self) -> None:
        """Leave the last state on the screen, and the terminal as it was."""
        with self._lock:
            work, self._work = self._work, None
            if work is not None:
                work.finish()


class _Bar:
    """Bytes, rate and time left."""

    def __init__(self, terminal: Terminal, label: str, total: int | None) -> None:
        from rich import progress

        label_and_bar = progress.TextColumn("{task.description}", markup=False), progress.BarColumn(bar_width=None)
        rates = progress.DownloadColumn(), progress.TransferSpeedColumn(), progress.TimeRemainingColumn(compact=True)
        self._progress = rich_bar(terminal, *label_and_bar, *rates)
        self._task = self._progress.add_task(label, total=total)
        self._progress.start()

    def report(self, text: str) -> None:
        self._progress.console.print(escape_controls(text), markup=False, highlight=False)

    def advance(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def finish(self) -> None:
        self._progress.stop()


class _Lines:
    """Plain lines: one at the start, one every tenth or every ten seconds, one at the end."""

    def __init__(self, terminal: Terminal, label: str, total: int | None) -> None:
        self.report = terminal.report
        self._label, self._total = label, total
        self._done = self._reported = 0
        self._start = self._last = time.monotonic()
        terminal.report(label if total is None else f"{label} ({bytes_text(total)})")

    def advance(self, count: int) -> None:
        self._done += count
        if self._done == self._total:
            return
        now = time.monotonic()
        tenth = self._total is not None and (self._done - self._reported) * 10 >= self._total
        if tenth or now - self._last >= SECONDS_BETWEEN_LINES:
            self._reported, self._last = self._done, now
            self.report(f"{self._label}: {self._amount()}")

    def finish(self) -> None:
        seconds = time.monotonic() - self._start
        rate = f" in {seconds:.1f} s" if self._done else ""
        self.report(f"{self._label}: {self._amount()}{rate}")

    def _amount(self) -> str:
        if not self._total:
            return bytes_text(self._done)
        return f"{bytes_text(self._done)} of {bytes_text(self._total)} ({self._done * 100 // self._total} %)"
