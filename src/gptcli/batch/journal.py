"""The journal of a batch, a file beside its output: what the job is, which rows are written and which are waiting.

Format, little endian: records of CRC-32 (4 bytes, of all that follows), kind (1), length (4), payload.
    settings  JSON {"settings": {...}, "created": seconds since 1970}; always the first
    written   row (8), digest (4), failed (1), then for the output and the file of errors: end (8, 8), CRC-32 (4, 4)
    held      row (8), digest (4), failed (1), length of the first part (4), both parts: a row that waits for its turn
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from gptcli.batch.formats import Result
from gptcli.batch.targets import write_all
from gptcli.errors import GptcliError

SETTINGS, WRITTEN, HELD = 1, 2, 3
HEADER_ROW = (1 << 64) - 1
"""The row number of what is before the first row."""

_HEAD = struct.Struct("<IBI")
_WRITTEN = struct.Struct("<QIBQQII")
_HELD = struct.Struct("<QIBI")


class Written(NamedTuple):
    row: int
    digest: int
    failed: int
    ends: tuple[int, int]
    crcs: tuple[int, int]


class Held(NamedTuple):
    row: int
    digest: int
    failed: int
    result: Result


class Journal:
    """An append-only file of records; it ends before the first damaged one."""

    def __init__(self, path: Path | None) -> None:
        """Open or create it; None: a temporary file, which the system removes."""
        self.path = path
        self.end = 0
        self._file = _open(path)

    def append(self, kind: int, payload: bytes) -> int:
        """Write a record; returns where it begins."""
        start = self.end
        head = _HEAD.pack(0, kind, len(payload))
        data = crc32(payload, crc32(head[4:])).to_bytes(4, "little") + head[4:] + payload
        self._file.seek(start)
        write_all(self._file, data)
        self.end += len(data)
        return start

    def start(self, settings: dict[str, object], created: int) -> None:
        """Drop everything and write the job's settings."""
        self._file.truncate(0)
        self.end = 0
        self.append(SETTINGS, json.dumps({"settings": settings, "created": created}).encode())
        self.sync()

    def settings(self) -> tuple[dict[str, object], int] | None:
        """The job's settings and when it was created; None if the file does not begin with them."""
        for _, kind, payload in self.records():
            if kind == SETTINGS:
                value = json.loads(payload)
                return value["settings"], value["created"]
            break
        return None

    def add_written(self, entry: Written) -> None:
        row, digest, failed, ends, crcs = entry
        self.append(WRITTEN, _WRITTEN.pack(row, digest, failed, *ends, *crcs))

    def add_held(self, entry: Held) -> int:
        """Keep a row's result until its turn; returns its place, for `read_held`."""
        row, digest, failed, result = entry
        head = _HELD.pack(row, digest, failed, len(result.out))
        return self.append(HELD, head + result.out + result.error)

    def read_held(self, place: int) -> Held:
        """The result that `add_held` put there. Raises GptcliError if the file has been changed since."""
        self._file.seek(place)
        record = _read(self._file)
        if record is None or record[0] != HELD:
            raise GptcliError(f"Another program changed the journal {self.path}.", "Run the same command again.")
        return parse_held(record[1])

    def records(self) -> Iterator[tuple[int, int, bytes]]:
        """Place, kind and payload of each record up to the first damaged one, where `end` is then."""
        place = 0
        self._file.seek(0)
        with open(self._file.fileno(), "rb", buffering=1 << 20, closefd=False) as reader:
            while (record := _read(reader)) is not None:
                yield place, *record
                place += _HEAD.size + len(record[1])
        self.end = place

    @property
    def torn(self) -> bool:
        """Whether anything follows the last intact record."""
        return os.fstat(self._file.fileno()).st_size > self.end

    def rewrite(self, written: int, held: dict[int, int]) -> dict[int, int]:
        """Keep the settings, the first `written` records of written rows and those of the rows in `held`.

        Returns the new places of the held ones. The new file replaces the old one atomically."""
        new = Journal(self.path and self.path.with_name(self.path.name + "-new"))
        new._file.truncate(0)
        places: dict[int, int] = {}
        for place, kind, payload in self.records():
            if kind == HELD:
                row = parse_held(payload).row
                if held.get(row) == place:
                    places[row] = new.append(kind, payload)
            elif kind == SETTINGS or written > 0:
                written -= kind == WRITTEN
                new.append(kind, payload)
        new.sync()
        self._file.close()
        if self.path is None or new.path is None:
            self._file = new._file
        else:
            new.close()
            os.replace(new.path, self.path)
            sync_folder(self.path.parent)
            self._file = _open(self.path)
        self.end = new.end
        return places

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class RowSet:
    """Numbers of rows with the CRC-32 of each: 4 bytes a row where there are no gaps between them."""

    def __init__(self) -> None:
        self._first = array("I")
        self._rest: dict[int, int] = {}
        self._seen = 0

    def add(self, number: int, digest: int) -> None:
        self._rest[number] = digest
        while (digest := self._rest.pop(len(self._first), -1)) >= 0:
            self._first.append(digest)

    def digest(self, number: int) -> int | None:
        """The row's CRC-32 if it is in the set; call it once for each row of the input."""
        known = self._first[number] if number < len(self._first) else self._rest.get(number)
        self._seen += known is not None
        return known

    @property
    def unseen(self) -> int:
        """Rows of the set for which `digest` was not called."""
        return len(self._first) + len(self._rest) - self._seen


def parse_written(payload: bytes) -> Written:
    row, digest, failed, end, error_end, crc, error_crc = _WRITTEN.unpack(payload)
    return Written(row, digest, failed, (end, error_end), (crc, error_crc))


def parse_held(payload: bytes) -> Held:
    row, digest, failed, size = _HELD.unpack_from(payload)
    middle = _HELD.size + size
    return Held(row, digest, failed, Result(payload[_HELD.size : middle], payload[middle:]))


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut, on systems that can do it."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path | None) -> BinaryIO:
    if path is None:
        return tempfile.TemporaryFile(buffering=0)
    return open(path, "r+b" if path.exists() else "w+b", buffering=0)


def _read(file: BinaryIO) -> tuple[int, bytes] | None:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    crc, kind, size = _HEAD.unpack(head)
    payload = file.read(size)
    if len(payload) < size or crc32(payload, crc32(head[4:])) != crc:
        return None
    return kind, payload
