"""Reads the texts to score: whole files, or lines as they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from gptcli.errors import GptcliError

_QUEUED = 1000
"""Lines that are read ahead of the model."""
_POLL_SECONDS = 0.1
"""How often to look whether to go on waiting for a line."""


@dataclass(frozen=True, slots=True)
class Input:
    """A text to score, and where it comes from."""

    id: str
    file: str
    line: int | None
    """Its number in the file, from 1; None for a whole file."""
    data: bytes
    is_only: bool = False
    """Whether there is no other."""

    @property
    def label(self) -> str:
        """What to call it in a message."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


def check_files(files: Sequence[str]) -> None:
    """Raises GptcliError for a file that cannot be read, before a model is loaded."""
    for name in files:
        if name == "-":
            continue
        try:
            with open(name, "rb") as file:
                file.read(1)
        except OSError as error:
            raise GptcliError(f"{name} cannot be read: {error.strerror}.", "Check the path.") from error


def read_files(files: Sequence[str], stdin: BinaryIO) -> Iterator[Input]:
    """The files, one after the other. Raises GptcliError for one that cannot be read."""
    for number, name in enumerate(files):
        with _open(name, stdin) as file:
            data = file.read()
        yield Input(str(number), name, None, data, is_only=len(files) == 1)


def read_lines(
    files: Sequence[str], stdin: BinaryIO, *, idle: Callable[[], bool], stopped: Callable[[], bool]
) -> Iterator[Input | None]:
    """The lines of the files without what ends them; None while the next one has not come, but something else is to be
    done. `idle`: whether nothing is; `stopped`: whether no more lines are wanted.

    Raises GptcliError for a file that cannot be read."""
    waiting: queue.Queue[Input | GptcliError | None] = queue.Queue(_QUEUED)

    def read() -> None:
        try:
            for one in _lines(files, stdin):
                waiting.put(one)
            waiting.put(None)
        except GptcliError as error:
            waiting.put(error)

    # A daemon: it may wait for a pipe that nobody closes when everything else has ended.
    threading.Thread(target=read, daemon=True).start()
    while not stopped():
        try:
            one = waiting.get(timeout=_POLL_SECONDS) if idle() else waiting.get_nowait()
        except queue.Empty:
            if not idle():
                yield None
            continue
        if one is None:
            return
        if isinstance(one, GptcliError):
            raise one
        yield one


def _lines(files: Sequence[str], stdin: BinaryIO) -> Iterator[Input]:
    count = 0
    for name in files:
        with _open(name, stdin) as file:
            for number, line in enumerate(file, 1):
                data = line.removesuffix(b"\n").removesuffix(b"\r")
                yield Input(str(count), name, number, data)
                count += 1


def _open(name: str, stdin: BinaryIO) -> AbstractContextManager[BinaryIO]:
    if name == "-":
        return nullcontext(stdin)
    try:
        return open(name, "rb")
    except OSError as error:
        raise GptcliError(f"{name} cannot be read: {error.strerror}.", "Check the path.") from error
