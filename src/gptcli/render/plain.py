"""Answers as text on stdout, as they come.

It knows deltas and ends, and neither JSON nor Markdown; the first sample streams, the others follow whole.
"""

from __future__ import annotations

from gptcli.terminal import Terminal
from gptcli.types import Delta, Event, Finished


class PlainText:
    """Writes sample 0 at once and the others, each after an empty line, when all have ended."""

    def __init__(self, terminal: Terminal, before: str = "") -> None:
        """`before`: text that stands before each sample (the prompt, with --echo)."""
        self._terminal = terminal
        self._before = before
        self._others: dict[int, list[str]] = {}
        self._last = ""
        self._begun = False

    def show(self, event: Event) -> None:
        if not self._begun:  # and no sooner, for what fails has no answer
            self._begun = True
            self._write(self._before)
        if isinstance(event, Delta):
            if event.index == 0:
                self._write(event.text)
            else:
                self._others.setdefault(event.index, []).append(event.text)
        elif isinstance(event, Finished) and event.index > 0:
            self._others.setdefault(event.index, [])

    def close(self) -> None:
        """Write the other samples, and on a terminal end the line."""
        for _, pieces in sorted(self._others.items()):
            self._write("\n\n" + self._before + "".join(pieces))
        if self._terminal.stdout_tty and not self._last.endswith("\n"):
            self._terminal.write("\n")

    def _write(self, text: str) -> None:
        if text:
            self._terminal.write(text)
            self._last = text
