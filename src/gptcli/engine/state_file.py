"""Files of computed prefixes: which engine made one, its tokens, the state of the sequence, and checksums of it all."""

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
    """The start of a file. The description (JSON), the tokens (32-bit integers) and the state follow, and nothing else;
    integers have this machine's byte order, as those in the state do."""

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
    """The file is truncated, changed, or from another program or engine."""


@dataclass(slots=True)
class SavedPrefix:
    """A file without its state; `size` is in bytes, `used` the time of its last use (Unix time)."""

    path: Path
    tokens: list[int]
    model: str
    text: str
    size: int
    used: float


def write(path: Path, key: str, tokens: Sequence[int], model: str, text: str, state: memoryview) -> None:
    """Write the file, complete or not at all, readable by its owner only. Raises OSError.

    It is not flushed to the disk: what a power cut leaves of it fails the checksums."""
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
        with contextlib.suppress(OSError):  # it no longer exists, if all went well
            temporary.unlink()


def read(path: Path, key: str | None = None) -> SavedPrefix:
    """Read all but the state, which must be that engine's if a `key` is given. Raises Damaged, OSError."""
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
    """The state, checked and mapped into memory; writing there changes no file. Raises Damaged, OSError.

    46 MB (2,000 tokens of a model of 135M): 14 ms for the checksum, and 3 to 7 until llama.cpp has read it."""
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
        raise Damaged("no state, or an incomplete one")
    return header


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)
