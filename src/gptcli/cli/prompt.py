"""Reads a prompt from files, standard input and arguments, and never waits for input that is not coming."""

from __future__ import annotations

import io
import os
import select
import stat
from collections.abc import Sequence

from gptcli.errors import GptcliError, UsageError
from gptcli.terminal import Terminal

GRACE_SECONDS = 0.25
"""How long to wait for an open, empty pipe when there is a prompt already: `git diff |` needs some 20 ms."""


def check_prompt(arguments: Sequence[str], files: Sequence[str], terminal: Terminal, *, use_stdin: bool) -> None:
    """Raises what `read_prompt` would, as far as that can be known without reading, and before a model is loaded."""
    for name in files:
        if name != "-" and not os.path.exists(name):
            raise GptcliError(f"{name} cannot be read: No such file or directory.", "Check the path.")
    if not arguments and not files and (terminal.stdin_tty or not use_stdin):
        raise UsageError("there is no prompt.", "Give it as an argument, with -f FILE, or on standard input.")


def read_prompt(arguments: Sequence[str], files: Sequence[str], terminal: Terminal, *, use_stdin: bool) -> list[bytes]:
    """The parts in order: files, standard input, arguments (joined by spaces). One newline at the end of a file or of
    standard input is dropped. The file `-` is standard input, read to its end.

    Raises UsageError where there is nothing at all, GptcliError for a file that cannot be read."""
    parts = [_without_newline(_read(name, terminal)) for name in files]
    argument = " ".join(arguments).encode("utf-8", "surrogateescape")
    if use_stdin and "-" not in files and not terminal.stdin_tty and _has_input(terminal, bool(parts or argument)):
        data = _read("-", terminal)
        if not (data or parts or arguments):
            hint = 'Give a prompt; the argument "" starts from an empty text.'
            raise UsageError("there is no prompt: standard input is empty.", hint)
        parts.append(_without_newline(data))
    if argument:
        parts.append(argument)
    return parts


def _read(name: str, terminal: Terminal) -> bytes:
    if name == "-":
        return terminal.stdin.read()
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise GptcliError(f"{name} cannot be read: {error.strerror}.", "Check the path.") from error


def _has_input(terminal: Terminal, has_prompt: bool) -> bool:
    """Whether to read standard input; an open, silent pipe is ignored if there is a prompt without it."""
    if not has_prompt:
        return True
    try:
        descriptor = terminal.stdin.fileno()
    except (OSError, io.UnsupportedOperation):
        return True
    if os.name == "nt" or stat.S_ISREG(os.fstat(descriptor).st_mode):
        return True
    if select.select([descriptor], [], [], GRACE_SECONDS)[0]:
        return True
    if not terminal.quiet:
        terminal.report(
            "gptcli: standard input is open but has no data; ignoring it (`-f -` waits for it, --no-stdin skips it)."
        )
    return False


def _without_newline(data: bytes) -> bytes:
    return data[:-2] if data.endswith(b"\r\n") else data.removesuffix(b"\n")
