"""A file that is still arriving: its bytes on disk, and a record of which of its blocks are there.

It knows blocks and two paths, and no network; whoever fills it says which bytes arrived, in whatever order.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 20
"""Bytes that are on record as one; a kill costs at most one of them per connection. The record of a 20 GB
file at 1 MiB is 20 kB, and a megabyte is a tenth of a second at the speed that people download with."""

_MISSING, _THERE = ord("."), ord("#")


@dataclass(slots=True, eq=False)
class Run:
    """Bytes [position, stop) that one connection was given to fetch; `position` moves as they arrive."""

    position: int
    stop: int


class PartFile:
    """`path` grows to `size` bytes beside `path`.blocks, which holds one JSON line and then a `#` or `.` per block.

    A block's mark is written after its last byte. A killed process loses nothing that it has written (the
    kernel has it), so a mark never speaks of bytes that are not there. After a power cut it may; the digest
    of the whole file finds that. All methods may be called from any thread.
    """

    def __init__(self, path: Path, size: int, name: str) -> None:
        """Open what an earlier process left at `path`, or begin. `name` is noted for `abandoned` to find."""
        self.path = path
        self.size = size
        self._lock = threading.Lock()
        self._runs: list[Run] = []
        self._head = json.dumps({"part": 1, "size": size, "block": BLOCK, "name": name}).encode() + b"\n"
        self._marks = self._kept() or self._begin()
        self.kept = self._bytes_there()
        """Bytes that were there when it was opened."""
        self._record = open(_record(path), "r+b", buffering=0)  # noqa: SIM115 - closed by close()

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; what arrived stays on disk."""
        self._record.close()

    def discard(self) -> None:
        """Close it and delete what arrived."""
        self.close()
        delete(self.path)

    def forget(self) -> None:
        """Delete the record. Only after the file got its right name: without its record a part is worthless."""
        self.close()
        _record(self.path).unlink(missing_ok=True)

    @property
    def blocks(self) -> int:
        return len(self._marks)

    def has(self, block: int) -> bool:
        return self._marks[block] == _THERE

    def claim(self, longest: int) -> Run | None:
        """The first missing bytes that nobody is fetching yet, at most `longest`; None if there are none."""
        with self._lock:
            for start, stop in self._gaps():
                run = Run(start, min(stop, start + longest))
                self._runs.append(run)
                return run
        return None

    def extend(self, run: Run) -> None:
        """Let `run` go on to the next byte that is there or being fetched (for a sender that ignores ranges)."""
        with self._lock:
            for start, stop in self._gaps():
                if start == run.stop:
                    run.stop = stop

    def release(self, run: Run) -> int:
        """Nobody fetches `run` any more: what is missing of it can be claimed, from the start of a block.

        Returns how many bytes arrived in vain, for their block is not whole.
        """
        with self._lock:
            self._runs.remove(run)
            return 0 if run.position in {run.stop, self.size} else run.position % BLOCK

    def writer(self, run: Run) -> BinaryIO:
        """The part's file, unbuffered, at `run`'s position."""
        file = open(self.path, "r+b", buffering=0)  # noqa: SIM115 - the caller's
        file.seek(run.position)
        return file

    def arrived(self, run: Run, count: int) -> bool:
        """`count` more bytes of `run` were written. Returns whether a block became whole."""
        with self._lock:
            first = run.position // BLOCK
            run.position += count
            last = len(self._marks) if run.position == self.size else run.position // BLOCK
            if last <= first:
                return False
            self._marks[first:last] = bytes([_THERE]) * (last - first)
            self._record.seek(len(self._head) + first)
            self._record.write(self._marks[first:last])
            return True

    def _gaps(self) -> list[tuple[int, int]]:
        """Byte ranges that are neither there nor claimed."""
        marks = self._marks.copy()
        for run in self._runs:
            first, last = run.position // BLOCK, -(-run.stop // BLOCK)
            marks[first:last] = bytes([_THERE]) * (last - first)
        gaps, start = [], marks.find(_MISSING)
        while start >= 0:
            stop = marks.find(_THERE, start)
            stop = len(marks) if stop < 0 else stop
            gaps.append((start * BLOCK, min(stop * BLOCK, self.size)))
            start = marks.find(_MISSING, stop)
        return gaps

    def _bytes_there(self) -> int:
        count = self._marks.count(_THERE) * BLOCK
        if self._marks and self._marks[-1] == _THERE:
            count -= len(self._marks) * BLOCK - self.size
        return count

    def _kept(self) -> bytearray | None:
        """The marks an earlier process left, if they and the data fit this size."""
        try:
            record = _record(self.path).read_bytes()
            whole = self.path.stat().st_size == self.size
        except OSError:
            return None
        marks = bytearray(record[len(self._head) :])
        if not whole or not record.startswith(self._head) or len(marks) != -(-self.size // BLOCK):
            return None
        return marks if marks.count(_THERE) + marks.count(_MISSING) == len(marks) else None

    def _begin(self) -> bytearray:
        delete(self.path)
        marks = bytearray([_MISSING]) * -(-self.size // BLOCK)
        with open(self.path, "xb") as file:
            file.truncate(self.size)  # sparse: it takes no room before the bytes arrive
        _record(self.path).write_bytes(self._head + marks)  # at its full length, so that marking needs no room later
        return marks


def abandoned(folder: Path, suffix: str, name: str, wanted: Path) -> list[Path]:
    """Parts in `folder` of a file called `name` that are not `wanted`: what is left of an older version of it."""
    found = []
    for record in folder.glob(f"*{suffix}.blocks"):
        part = record.with_suffix("")
        try:
            with record.open("rb") as file:
                noted = json.loads(file.readline(1 << 16)).get("name")
        except (OSError, ValueError, AttributeError):
            continue
        if noted == name and part != wanted:
            found.append(part)
    return found


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".blocks")


def delete(path: Path) -> None:
    """Remove a part and its record, if they are there."""
    path.unlink(missing_ok=True)
    _record(path).unlink(missing_ok=True)
