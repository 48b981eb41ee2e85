"""The standard streams of a command: stdout carries results, stderr everything else."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from dataclasses import dataclass, field
from typing import BinaryIO, TextIO

from gptcli.errors import GptcliError

_CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n\r"}
_CONTROL_PICTURES |= {ord("\r"): "", 0x7F: "\u2421"}
_C1, _SURROGATES = range(0x80, 0xA0), range(0xD800, 0xE000)
_BIDIRECTIONAL, _INVISIBLE = range(0x202A, 0x202F), range(0x2060, 0x2070)  # the latter with isolates, U+2066 to U+2069
_ANNOTATIONS, _MUSICAL, _TAGS = range(0xFFF9, 0xFFFC), range(0x1D173, 0x1D17B), range(0xE0000, 0xE0080)
_BLANKS = (0xAD, 0x180E, 0x200B, 0xFEFF)  # soft hyphen, vowel separator, zero-width spaces
for _codes in (_C1, _SURROGATES, _BIDIRECTIONAL, _INVISIBLE, _ANNOTATIONS, _MUSICAL, _TAGS, _BLANKS):
    _CONTROL_PICTURES |= dict.fromkeys(_codes, "\ufffd")


def escape_controls(text: str) -> str:
    """`text` without control characters: they become their pictures (U+2400…).

    Invalid bytes and C1 controls become U+FFFD: some terminals read U+009B as the start of an escape sequence. So do
    bidirectional overrides, which make text read as another, and invisible format characters, which hide in it; those
    that languages and emoji are written with stay (ZWJ, ZWNJ, directional marks, variation selectors). Newline and tab
    stay. Carriage returns are dropped, since they could overwrite earlier text."""
    return text.translate(_CONTROL_PICTURES)


@dataclass(slots=True)
class Terminal:
    """The standard streams and their properties; tests make one from buffers."""

    stdin: BinaryIO
    stdout: BinaryIO
    stderr: TextIO
    stdin_tty: bool = False
    stdout_tty: bool = False
    stderr_tty: bool = False
    quiet: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_process(cls) -> Terminal:
        """The streams of this process. A closed stdin reads as empty, a closed stderr discards what is written, and
        writing to a closed stdout fails."""
        return cls(
            # A closed stream is None in Python.
            stdin=sys.stdin.buffer if sys.stdin else open(os.devnull, "rb"),
            stdout=sys.stdout.buffer if sys.stdout else os.fdopen(os.open(os.devnull, os.O_RDONLY), "wb"),
            stderr=sys.stderr or open(os.devnull, "w"),
            stdin_tty=sys.stdin is not None and sys.stdin.isatty(),
            stdout_tty=sys.stdout is not None and sys.stdout.isatty(),
            stderr_tty=sys.stderr is not None and sys.stderr.isatty(),
            environment=dict(os.environ),
        )

    @property
    def width(self) -> int:
        """Columns of the terminal; 80 without one."""
        return shutil.get_terminal_size((80, 24)).columns

    @property
    def color(self) -> bool:
        """Whether stderr may be styled (a terminal, not a dumb one, and no `NO_COLOR`)."""
        return self.stderr_tty and self._styled

    @property
    def stdout_color(self) -> bool:
        """Whether stdout may be styled."""
        return self.stdout_tty and self._styled

    @property
    def _styled(self) -> bool:
        return not self.environment.get("NO_COLOR") and self.environment.get("TERM") != "dumb"

    def write(self, text: str) -> None:
        """Write text to stdout and flush: with controls escaped on a terminal, as exact bytes elsewhere.

        Raises BrokenPipeError when the reader is gone, GptcliError when the disk is full or the like."""
        if self.stdout_tty:
            self.write_styled(escape_controls(text))
        else:
            self._write(text.encode("utf-8", "surrogateescape"))

    def write_styled(self, styled: str) -> None:
        """Write text with our own escape sequences to a terminal; the model's text in it is escaped already."""
        self._write(styled.encode("utf-8", "replace"))

    def _write(self, data: bytes) -> None:
        try:
            self.stdout.write(data)
            self.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            closed = error.errno == errno.EBADF
            hint = "Open it, or redirect it to a file." if closed else "Free some space, or redirect it elsewhere."
            why = "it is closed" if closed else error.strerror
            raise GptcliError(f"standard output cannot be written: {why}.", hint) from error

    def notice(self, text: str) -> None:
        """Print a remark on stderr; silent with `-q` and where stderr is not a terminal."""
        if self.stderr_tty and not self.quiet:
            self.report(text, dim=True)

    def report(self, text: str, *, dim: bool = False) -> None:
        """Print a line on stderr that was asked for or must be seen; `dim`: in a faint style."""
        safe = escape_controls(text)
        self.stderr.write(f"\x1b[2m{safe}\x1b[0m\n" if dim and self.color else safe + "\n")
        self.stderr.flush()
