"""gptcli on a pseudo-terminal, and the screen that a user would see."""

from __future__ import annotations

import re
import sys
import time

import pexpect
import pyte
from shell import Shell

PATIENCE_SECONDS = 20
PASTE = "\x1b[200~{}\x1b[201~"
ENTER, ALT_ENTER, TAB, UP = "\r", "\x1b\r", "\t", "\x1b[A"
CTRL_C, CTRL_D, CTRL_G, CTRL_J, CTRL_R = "\x03", "\x04", "\x07", "\n", "\x12"


class Screen:
    """A terminal that is tall enough for nothing to scroll away."""

    def __init__(self, shell: Shell, *arguments: object, columns: int = 80, lines: int = 60) -> None:
        self.screen = _CursorReports(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.process = pexpect.spawn(
            sys.executable,
            ["-m", "gptcli", *map(str, arguments)],
            env=shell.environment,
            dimensions=(lines, columns),
            timeout=PATIENCE_SECONDS,
        )
        self.process.delaybeforesend = None
        self.screen.process = self.process

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close(force=True)

    @property
    def text(self) -> str:
        """The text on the screen, without trailing blanks and repeated empty lines."""
        lines = "\n".join(line.rstrip() for line in self.screen.display).rstrip()
        return re.sub(r"\n{3,}", "\n\n", lines)

    def send(self, keys: str) -> None:
        self.process.send(keys)

    def until(self, pattern: str) -> re.Match[str]:
        """Read output until the screen matches."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (match := re.search(pattern, self.text, re.MULTILINE)):
            assert time.monotonic() < deadline, f"{pattern!r} never came:\n{self.text}"
            self._read()
        return match

    def ready(self) -> str:
        """Read output until the prompt is at the end of the screen; returns the screen."""
        self.until(r">>>( Send a message \(/\? for help\))?(\n+\S.* tokens( · .*)?)?\Z")
        return self.text

    def ask(self, line: str) -> str:
        """Type a line; returns the screen from that line to the next prompt."""
        self.ready()
        before = self.text.count("\n>>> " + line.split("\n")[0])
        self.send(line.replace("\n", CTRL_J) + ENTER)
        self.until(rf"(?s)(>>> {re.escape(line[:20])}.*){{{before + 1}}}")
        said = self.ready()
        return said[said.rindex(">>> " + line[:20]) :].rsplit("\n>>>", 1)[0]

    def finish(self) -> int:
        """Read to the end; returns the exit code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
        self.process.close()
        return self.process.exitstatus

    def _read(self) -> bool:
        try:
            data = self.process.read_nonblocking(65536, timeout=PATIENCE_SECONDS)
        except pexpect.EOF:
            return False
        except pexpect.TIMEOUT:
            raise AssertionError(f"nothing more came:\n{self.text}") from None
        self.raw += data
        self.stream.feed(data)
        return True


class _CursorReports(pyte.Screen):
    """Answers a query for the cursor position, as terminals do."""

    process: pexpect.spawn

    def write_process_input(self, data: str) -> None:
        self.process.send(data)
