"""One computed prefix in a file: which engine made it, its tokens, the state of the sequence, and checksums of it all.

It knows bytes and their order; what a state means it does not know, nor which file is wanted.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class _Header(NamedTuple):
    """How a file begins. Then follow the description (JSON), the tokens (32-bit integers) and the state, and nothing
    else; integers are this machine's own, as those in the state are."""

    magic: bytes
    about: int
    """Bytes of the description."""
    tokens: int
    state: int
    """Bytes of the state."""
    head_sum: int
    """CRC-32 of description and tokens."""
    state_sum: int


_HEADER = struct.Struct("=8sIIQII")
_MAGIC = b"gptclikv"


class Damaged(Exception):
    """The file is not what it should be: cut, changed, of another program or of another engine."""


@dataclass(slots=True)
class SavedPrefix:
    """What a file says of itself; `size` is in bytes, `used` the time when it was last of use (Unix time)."""

    path: Path
    tokens: list[int]
    model: str
    text: str
    size: int
    used: float


def write(path: Path, key: str, tokens: Sequence[int], model: str, text: str, state: memoryview) -> None:
    """Make the file, whole or not at all, for nobody else to read. Raises OSError.

    It is not flushed to the disk: what a power cut leaves of it does not pass its checksums."""
    about = json.dumps({"key": key, "model": model, "text": text}).encode()
    head = about + array("i", tokens).tobytes()
    header = _Header(_MAGIC, len(about), len(tokens), len(state), zlib.crc32(head), zlib.crc32(state))
    temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "wb", opener=_private) as file:
            file.write(_HEADER.pack(*header) + head)
            file.write(state)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # it is gone, if all went well
            temporary.unlink()


def read(path: Path, key: str | None = None) -> SavedPrefix:
    """All but the state, which must be of that engine, if its `key` is given. Raises Damaged, OSError."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        header = _header(file.read(_HEADER.size), status.st_size)
        head = file.read(header.about + 4 * header.tokens)
    if zlib.crc32(head) != header.head_sum:
        raise Damaged(path)
    about = json.loads(head[: header.about])
    if key not in (None, about["key"]):
        raise Damaged(path)
    tokens = array("i", head[header.about :]).tolist()
    return SavedPrefix(path, tokens, about["model"], about["text"], status.st_size, status.st_mtime)


@contextlib.contextmanager
def open_state(path: Path) -> Iterator[memoryview]:
    """The state, checked; mapped into memory, and what is written there reaches no file. Raises Damaged, OSError.

    46 MB (2,000 tokens of a model of 135M): 14 ms for the checksum, and 3 to 7 until llama.cpp has it from there."""
    with open(path, "rb") as file:
        header = _header(file.read(_HEADER.size), os.fstat(file.fileno()).st_size)
        with (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped,
            memoryview(mapped) as whole,
            whole[-header.state :] as state,
        ):
            if zlib.crc32(state) != header.state_sum:
                raise Damaged(path)
            yield state


def _header(data: bytes, size: int) -> _Header:
    if len(data) < _HEADER.size:
        raise Damaged("too short")
    header = _Header(*_HEADER.unpack(data))
    expected = _HEADER.size + header.about + 4 * header.tokens + header.state
    if header.magic != _MAGIC or size != expected or not header.state:
        raise Damaged("no state, or a part of one")
    return header


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)
