"""A partly downloaded file: its bytes on disk, in any order, and a record of its complete blocks."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 20
"""Bytes per block; a kill costs at most one block per connection. The record of a 20 GB file is 20 kB."""
_MISSING, _COMPLETE = ord("."), ord("#")


@dataclass(slots=True, eq=False)
class Range:
    """Bytes [position, stop) claimed by one connection; `position` advances with the download."""

    position: int
    stop: int


class PartFile:
    """`path` grows to `size` bytes beside `path`.blocks, which holds one JSON line and then a `#` or `.` per block.

    A block's mark is written after its last byte. A kill loses nothing that was written, so marked blocks are on disk;
    after a power cut they may not be, which the digest of the whole file detects. Thread-safe."""

    def __init__(self, path: Path, size: int, name: str) -> None:
        """Open the part at `path`, or start one. `name` is recorded for `older_versions`."""
        self.path, self.size, self.blocks = path, size, -(-size // BLOCK)
        self._lock = threading.Lock()
        self._claimed: list[Range] = []
        self._head = json.dumps({"part": 1, "size": size, "block": BLOCK, "name": name}).encode() + b"\n"
        self._marks = self._read_marks() or self._create()
        last = min(BLOCK, self.size - BLOCK * (self.blocks - 1))
        self.kept = BLOCK * self._marks.count(_COMPLETE) - (BLOCK - last if self._marks.endswith(b"#") else 0)
        """Bytes that an earlier process downloaded."""
        self._record = open(_record_path(path), "r+b", buffering=0)  # noqa: SIM115 - closed by close()

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._record.close()

    def discard(self) -> None:
        self.close()
        delete(self.path)

    def delete_record(self) -> None:
        """Close it and delete its record, after the file was published: without its record a part is useless."""
        self.close()
        _record_path(self.path).unlink(missing_ok=True)

    def has(self, block: int) -> bool:
        return self._marks[block] == _COMPLETE

    def claim(self, limit: int) -> Range | None:
        """Claim the first missing bytes that no one has claimed, at most `limit`; None if there are none."""
        with self._lock:
            for start, stop in self._gaps():
                claimed = Range(start, min(stop, start + limit))
                self._claimed.append(claimed)
                return claimed
        return None

    def extend(self, claimed: Range) -> None:
        """Extend `claimed` to the next present or claimed byte, for a server that ignores ranges."""
        with self._lock:
            for start, stop in self._gaps():
                if start == claimed.stop:
                    claimed.stop = stop

    def release(self, claimed: Range) -> int:
        """Give `claimed` up, so that its incomplete blocks can be claimed again; return the number of bytes lost."""
        with self._lock:
            self._claimed.remove(claimed)
            return 0 if claimed.position in {claimed.stop, self.size} else claimed.position % BLOCK

    def writer(self, claimed: Range) -> BinaryIO:
        """The part's file, unbuffered, at the position of `claimed`."""
        file = open(self.path, "r+b", buffering=0)  # noqa: SIM115 - the caller's
        file.seek(claimed.position)
        return file

    def advance(self, claimed: Range, count: int) -> bool:
        """Record that `count` more bytes of `claimed` were written; return whether a block was completed."""
        with self._lock:
            first = claimed.position // BLOCK
            claimed.position += count
            last = self.blocks if claimed.position == self.size else claimed.position // BLOCK
            if last <= first:
                return False
            self._marks[first:last] = bytes([_COMPLETE]) * (last - first)
            self._record.seek(len(self._head) + first)
            self._record.write(self._marks[first:last])
            return True

    def _gaps(self) -> list[tuple[int, int]]:
        """Byte ranges that are neither present nor claimed."""
        marks = self._marks.copy()
        for claimed in self._claimed:
            first, last = claimed.position // BLOCK, -(-claimed.stop // BLOCK)
            marks[first:last] = bytes([_COMPLETE]) * (last - first)
        return [(gap.start() * BLOCK, min(gap.end() * BLOCK, self.size)) for gap in re.finditer(rb"\.+", marks)]

    def _read_marks(self) -> bytearray | None:
        """The marks of an earlier process, if they and the data match this file."""
        try:
            record = _record_path(self.path).read_bytes()
            same_size = self.path.stat().st_size == self.size
        except OSError:
            return None
        marks = bytearray(record[len(self._head) :])
        valid = record.startswith(self._head) and len(marks) == self.blocks and set(marks) <= {_MISSING, _COMPLETE}
        return marks if valid and same_size else None

    def _create(self) -> bytearray:
        delete(self.path)
        marks = bytearray([_MISSING]) * self.blocks
        with open(self.path, "xb") as file:
            file.truncate(self.size)  # sparse: missing bytes take no space
        _record_path(self.path).write_bytes(self._head + marks)  # in full, so that marking needs no space later
        return marks


def older_versions(folder: Path, suffix: str, name: str, current: Path) -> list[Path]:
    """Parts in `folder` of the file `name` other than `current`."""
    found = []
    for record in folder.glob(f"*{suffix}.blocks"):
        with contextlib.suppress(OSError, ValueError, AttributeError), record.open("rb") as file:
            if json.loads(file.readline(1 << 16)).get("name") == name:
                found.append(record.with_suffix(""))
    return [part for part in found if part != current]


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".blocks")


def delete(path: Path) -> None:
    """Delete a part and its record, if they exist."""
    path.unlink(missing_ok=True)
    _record_path(path).unlink(missing_ok=True)
