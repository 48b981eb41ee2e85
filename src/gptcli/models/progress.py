"""How downloads and imports report what they do; render/progress.py has the report for a terminal."""

from __future__ import annotations


class Report:
    """The progress of a long task; every method may be called from any thread."""

    def note(self, text: str) -> None:
        """Print one line now."""

    def start(self, label: str, total: int | None) -> None:
        """Start a task of `total` bytes (None: unknown); it ends with `finish`."""

    def advance(self, count: int) -> None:
        """`count` more bytes are done; a negative count takes some back."""

    def finish(self) -> None:
        """The task has ended, successfully or not."""


class Silent(Report):
    """Discards everything: the methods above do nothing."""
