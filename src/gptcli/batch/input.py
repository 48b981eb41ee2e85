"""The input of a batch: its format, its rows, and how many there are."""

from __future__ import annotations

import itertools
import os
import queue
import random
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import has_magic
from typing import BinaryIO, Generic, TypeVar

from gptcli.batch.row import Code, Row, RowError
from gptcli.batch.source import Source, open_source, reading, uncompressed_name
from gptcli.batch.structured import Table, read_jsonl, read_parquet
from gptcli.batch.text import find_files, read_files, read_text
from gptcli.errors import GptcliError, UsageError

T = TypeVar("T")

FORMATS = ("jsonl", "csv", "tsv", "text", "files", "parquet")
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}
_SUFFIXES |= {".txt": "text", ".parquet": "parquet"}

SMALL_BYTES = 4 << 20
"""Size of the largest file that is read at once; of a larger one, progress is measured in bytes."""
_HASH = (1 << 64) - 1
QUEUED_ROWS = 256
"""Rows of a pipe that are read before they are needed."""


@dataclass(slots=True)
class Input:
    """Where rows come from, and their format."""

    paths: tuple[str, ...]
    format: str
    stdin: BinaryIO
    encoding: str = "utf-8"
    split: str | None = None
    table: Table | None = field(default=None, init=False)
    """The open table, if rows are read from one."""
    files: int | None = field(default=None, init=False)
    """The number of files, if each is a row."""
    left_out: int = field(default=0, init=False)
    """Files of folders and patterns that are hidden or that gptcli wrote."""
    _source: Source | None = field(default=None, init=False)

    @property
    def small(self) -> bool:
        """Whether the input is so small that all rows may be held in memory."""
        return self._source is not None and self._source.size is not None and self._source.size <= SMALL_BYTES

    @property
    def live(self) -> bool:
        """Whether rows may arrive while others are answered."""
        return self._source is not None and self._source.live

    def open(self) -> Iterator[Row | RowError]:
        """Open the input; its rows are read as they are taken.

        Raises UsageError and GptcliError, while opening and while reading."""
        if self.format == "files":
            found, self.left_out = find_files(self.paths)
            self.files = len(found)
            return read_files(self.paths, found, self.encoding)
        if self.format == "parquet":
            return read_parquet(self.paths[0])
        source = self._source = open_source(self.paths[0], self.stdin, self.encoding)
        with reading(source.name):
            if self.format in ("csv", "tsv"):
                self.table = Table(source.stream, "\t" if self.format == "tsv" else ",")
                rows = self.table.rows()
            else:
                rows = read_jsonl(source.stream) if self.format == "jsonl" else read_text(source.stream, self.split)
        return guarded(rows, source.name)

    def close(self) -> None:
        """Close the file. Standard input stays open, for a thread may be waiting on it."""
        if self._source is not None and not self._source.live:
            self._source.stream.close()

    def share_read(self) -> float | None:
        """The part of the input that has been read, from 0 to 1, if its size is known."""
        return None if self._source is None else self._source.share_read


def choose_format(paths: Sequence[str], given: str | None = None) -> str:
    """The format of `paths`: the one `given`, else by suffix; folders, patterns and several paths are `files`.

    Raises UsageError if it is not known, or if it does not suit the paths."""
    if given is not None and given not in FORMATS:
        raise UsageError(f"There is no input format {given!r}.", f"The formats are {', '.join(FORMATS)}.")
    several = len(paths) != 1 or os.path.isdir(paths[0]) or (has_magic(paths[0]) and not os.path.exists(paths[0]))
    if several:
        found = {_format_by_suffix(path) for path in paths} - {None, "text"}
        if given not in (None, "files"):
            raise UsageError(
                f"--from {given} reads one file at a time, not {len(paths)} paths or a folder.",
                "Run one batch for each file.",
            )
        if given is None and found:
            raise UsageError(
                f"There are several inputs, some of them {', '.join(sorted(map(str, found)))}.",
                "Run one batch for each file, or add --from files to use every file as one prompt.",
            )
        return "files"
    chosen = given or _format_by_suffix(paths[0])
    if chosen == "parquet" and paths[0] == "-":
        raise UsageError("Parquet cannot be read from standard input.", "Name the file.")
    if chosen is None:
        raise UsageError(f"The format of {paths[0]} cannot be told from its name.", f"Add --from {'|'.join(FORMATS)}.")
    return chosen


def read_ahead(rows: Iterator[Row | RowError], count: int | None) -> tuple[Iterator[Row | RowError], int | None]:
    """Read the first `count` rows now, or all. Returns all rows, and their number if none are left to read.

    An input that breaks gives the rows before first. Raises UsageError at once."""
    first: list[Row | RowError] = []
    try:
        for row in itertools.islice(rows, count):
            first.append(row)  # noqa: PERF402 - what was read before an error counts
    except UsageError:
        raise
    except GptcliError as error:
        return itertools.chain(iter(first), _broken(error)), None
    return itertools.chain(iter(first), rows), len(first) if count is None or len(first) < count else None


def sample_rows(rows: Iterable[Row | RowError], count: int, seed: int) -> Iterator[Row | RowError]:
    """A random sample of `count` rows, in input order and numbered anew; the same one for the same seed.

    Holds `count` rows in memory (Vitter's algorithm R: "Random sampling with a reservoir", 1985)."""
    randrange = random.Random(seed).randrange
    kept: list[Row | RowError] = []
    for seen, row in enumerate(rows):
        if len(kept) < count:
            kept.append(row)
        elif (index := randrange(seen + 1)) < count:
            kept[index] = row
    kept.sort(key=lambda row: row.number)
    for number, row in enumerate(kept):
        row.number = number
        yield row


def unique_ids(rows: Iterable[Row | RowError]) -> Iterator[Row | RowError]:
    """The rows, in which one with the id of an earlier row is an error.

    Rows of a table may have the same id, for their answers stand beside them."""
    seen = _SeenIds()
    for row in rows:
        if isinstance(row, RowError) or row.id is None or row.cells is not None or seen.add(row.id):
            yield row
        else:
            message = f"An earlier row has the id {row.id[:80]!r}; add --allow-duplicates to answer both."
            yield RowError(row.number, row.line, row.digest, Code.DUPLICATE_ID, message, row.id)


class _SeenIds:
    """Hashes of ids, in an open-addressing table: 8 to 32 bytes each, where a set takes 80."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * 1024))
        self._count = 0

    def add(self, id: str) -> bool:
        """Whether the id is new."""
        if 2 * self._count >= len(self._table):
            old, self._table = self._table, array("Q", bytes(16 * len(self._table)))
            for key in filter(None, old):
                self._table[self._place(key)] = key
        key = hash(id) & _HASH or 1  # 0 is an empty place
        place = self._place(key)
        new = not self._table[place]
        self._table[place] = key
        self._count += new
        return new

    def _place(self, key: int) -> int:
        """Where the key is, or would be."""
        place = key % len(self._table)
        while self._table[place] not in (0, key):
            place = (place + 1) % len(self._table)
        return place


class LiveRows(Generic[T]):
    """Rows of a pipe, read by a thread, so that rows can be answered while others have not arrived."""

    def __init__(self, rows: Iterator[T]) -> None:
        self._queue: queue.Queue[T | GptcliError | None] = queue.Queue(QUEUED_ROWS)
        # A daemon: it may wait for a pipe that nobody closes when everything else has ended.
        threading.Thread(target=self._read, args=(rows,), daemon=True).start()

    def _read(self, rows: Iterator[T]) -> None:
        try:
            for row in rows:
                self._queue.put(row)
            self._queue.put(None)
        except GptcliError as error:
            self._queue.put(error)

    def take(self, wait: Callable[[], bool]) -> T | None:
        """The next row, or None if none has arrived. `wait` is called ten times a second: whether to wait for a row.

        Raises StopIteration at the end, and the errors of reading."""
        while True:
            try:
                row = self._queue.get(timeout=0.1) if wait() else self._queue.get_nowait()
            except queue.Empty:
                if wait():
                    continue
                return None
            if row is None:
                raise StopIteration
            if isinstance(row, GptcliError):
                raise row
            return row


def has_known_suffix(path: str) -> bool:
    """Whether the name of a file shows its format."""
    return _format_by_suffix(path) is not None


def _format_by_suffix(path: str) -> str | None:
    return "jsonl" if path == "-" else _SUFFIXES.get(os.path.splitext(uncompressed_name(path))[1].lower())


def guarded(rows: Iterator[T], name: str) -> Iterator[T]:
    """The same rows; any error of reading them becomes a GptcliError that has the name of the input."""
    with reading(name):
        yield from rows


def _broken(error: GptcliError) -> Iterator[Row | RowError]:
    raise error
    yield
