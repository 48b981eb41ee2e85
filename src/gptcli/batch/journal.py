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
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from gptcli.batch.formats import Result
from gptcli.batch.targets import open_file, write_all
from gptcli.errors import GptcliError

SETTINGS, WRITTEN, HELD = 1, 2, 3
HEADER_ROW = (1 << 64) - 1
"""The row number of what is before the first row."""

_HEAD = struct.Struct("<IBI")
_WRITTEN = struct.Struct("<QIBQQII")
_HELD = struct.Struct("<QIBI")


Settings = dict[str, object]
"""What identifies a job: names and JSON values."""


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
        head = _HEAD.pack(0, kind, len(payload))[4:]
        self._file.seek(start)
        write_all(self._file, crc32(payload, crc32(head)).to_bytes(4, "little") + head + payload)
        self.end += _HEAD.size + len(payload)
        return start

    def start(self, settings: Settings, created: int) -> None:
        """Begin anew, with the settings of a job."""
        self._cut()
        self.append(SETTINGS, json.dumps({"settings": settings, "created": created}).encode())
        self.sync()
        assert self.path is not None
        _sync_folder(self.path.parent)

    def read_settings(self) -> tuple[Settings, int] | None:
        """The job's settings and when it was created; None if the journal does not begin with them."""
        _, kind, payload = next(self.records(), (0, 0, b""))
        if kind != SETTINGS:
            return None
        value = json.loads(payload)
        return value["settings"], value["created"]

    def add_written(self, *fields: int) -> None:
        """Count a row as written; the fields are those that `parse_written` returns."""
        self.append(WRITTEN, _WRITTEN.pack(*fields))

    def add_held(self, row: int, digest: int, failed: int, result: Result) -> int:
        """Keep a row's result until its turn; returns its place, for `read_held`."""
        return self.append(HELD, _HELD.pack(row, digest, failed, len(result.out)) + result.out + result.error)

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
        new._cut()
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
            _sync_folder(self.path.parent)
            self._file = _open(self.path)
        self.end = new.end
        return places

    def _cut(self) -> None:
        self._file.truncate(0)
        self.end = 0

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class RowSet:
    """Numbers of rows with the CRC-32 of each row.

    It needs memory for the gaps between them, not for the rows: a prefix without gaps is one checksum."""

    def __init__(self) -> None:
        self.next = 0
        """The smallest number that is not in the set."""
        self.count = self._chain = self._seen = self._seen_chain = 0
        self._rest: dict[int, int] = {}

    def add(self, number: int, digest: int) -> None:
        self.count += 1
        self._rest[number] = digest
        while (first := self._rest.pop(self.next, None)) is not None:
            self._chain = _link(self._chain, first)
            self.next += 1

    def has(self, number: int, digest: int) -> bool:
        """Whether the row is in the set; call it in the order of the rows. Raises ValueError if it is another row.

        A difference in the prefix is found at its last row, and so before any new row."""
        if number >= self.next and number not in self._rest:
            return False
        self._seen += 1
        if number < self.next:
            self._seen_chain = _link(self._seen_chain, digest)
            if number == self.next - 1 and self._seen_chain != self._chain:
                raise ValueError(f"the first {self.next:,} rows")
        elif self._rest[number] != digest:
            raise ValueError(f"row {number + 1:,}")
        return True

    @property
    def unseen(self) -> int:
        """Rows of the set for which `has` was not called."""
        return self.count - self._seen


def parse_written(payload: bytes) -> tuple[int, int, int, int, int, int, int]:
    """Row, digest, failed, ends of the output and the file of errors, and the CRC-32 of both."""
    return _WRITTEN.unpack(payload)


def parse_held(payload: bytes) -> Held:
    row, digest, failed, size = _HELD.unpack_from(payload)
    middle = _HELD.size + size
    return Held(row, digest, failed, Result(payload[_HELD.size : middle], payload[middle:]))


def _sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut, on systems that can do it."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path | None) -> BinaryIO:
    return tempfile.TemporaryFile(buffering=0) if path is None else open_file(path)


def _read(file: BinaryIO) -> tuple[int, bytes] | None:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    crc, kind, size = _HEAD.unpack(head)
    payload = file.read(size)
    if len(payload) < size or crc32(payload, crc32(head[4:])) != crc:
        return None
    return kind, payload


def _link(chain: int, digest: int) -> int:
    return crc32(digest.to_bytes(4, "little"), chain)
