"""Rows of plain text: a line, a paragraph, whatever is between separators, or a file."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from gptcli.batch.row import Code, Row, RowError
from gptcli.batch.source import (
    BOM,
    LIMIT,
    Record,
    lines,
    open_source,
    paragraphs,
    reading,
    separated,
    uncompressed_name,
)
from gptcli.errors import GptcliError, UsageError

JOURNAL, ERRORS = ".gptcli-journal", ".errors.jsonl"
"""What the names of a batch's journal, and of the errors of a folder, end with, after the name of the output."""


def read_text(stream: BinaryIO, split: str | None = None) -> Iterator[Row | RowError]:
    """A row with the field `text` for each record that is not blank.

    `split`: None for lines, `blank`, `NUL`, or a separator. Raises UsageError for an empty separator."""
    return itertools.starmap(_text_row, enumerate(_records(stream, split)))


def find_files(inputs: Sequence[str]) -> tuple[list[Path], int]:
    """The files of `inputs`, in their order, those of a folder sorted; and how many are left out.

    Left out of folders and patterns are hidden files, and what an earlier batch wrote: its journal and its output."""
    every = list(_paths(inputs))
    found = [path for path, root in every if root is None or not (_is_hidden(path) or _written_by_batch(path, root))]
    return found, len(every) - len(found)


def read_files(inputs: Sequence[str], files: Iterable[Path], encoding: str = "utf-8") -> Iterator[Row | RowError]:
    """A row for each file, with the fields `text` and `file` (`name`, `path`, `stem`, `suffix`).

    Its id is its path below the folder that all inputs have in common."""
    root = _root(inputs)
    return (_file_row(number, path, root, encoding) for number, path in enumerate(files))


def decode_record(number: int, record: Record) -> str | RowError:
    """The text of a record, or why there is none."""
    if not record.whole:
        message = f"The row is longer than {LIMIT >> 20} MiB."
        return RowError(number, record.line, crc32(record.data), Code.LINE_TOO_LONG, message)
    try:
        return record.data.decode()
    except UnicodeDecodeError as problem:
        message = bad_byte("the row", record.data, problem.start)
        return RowError(number, record.line, crc32(record.data), Code.INVALID_ENCODING, message)


def bad_byte(where: str, data: bytes, start: int) -> str:
    """The message for a byte that is invalid in the input's encoding."""
    byte = f"Byte {start + 1} of {where}, 0x{data[start]:02x},"
    return f"{byte} is invalid in the input's encoding, which --encoding sets."


def _text_row(number: int, record: Record) -> Row | RowError:
    text = decode_record(number, record)
    return text if isinstance(text, RowError) else Row(number, record.line, crc32(record.data), {"text": text})


def _records(stream: BinaryIO, split: str | None) -> Iterator[Record]:
    if split == "blank":
        found = paragraphs(stream)
    elif split == "NUL":
        found = separated(stream, b"\0")
    elif split == "":
        raise UsageError("An empty --split separates nothing.", "Use blank, NUL or the separator's text.")
    elif split is not None:
        found = separated(stream, split.encode("utf-8", "surrogateescape"))
    else:
        found = (Record(r.line, r.data.removesuffix(b"\n").removesuffix(b"\r"), r.whole) for r in lines(stream))
    return (record for record in found if record.data.strip())


def _file_row(number: int, path: Path, root: Path, encoding: str) -> Row | RowError:
    name = uncompressed_name(Path(os.path.relpath(path, root)).as_posix())
    try:
        source = open_source(str(path), BytesIO(), encoding)
        with source.stream, reading(str(path)):
            data = source.stream.read(LIMIT + 1)
    except GptcliError as problem:
        return RowError(number, number + 1, crc32(os.fsencode(name)), Code.INVALID_ENCODING, problem.message, name)
    text = data.removeprefix(BOM).removesuffix(b"\n").removesuffix(b"\r")
    row = _text_row(number, Record(number + 1, text, len(data) <= LIMIT))
    row.id = name
    row.digest = crc32(os.fsencode(name), row.digest)
    if isinstance(row, Row):
        plain = Path(name)
        row.fields["file"] = {"name": plain.name, "path": str(path), "stem": plain.stem, "suffix": plain.suffix}
    return row


def _paths(inputs: Sequence[str]) -> Iterator[tuple[Path, Path | None]]:
    """Files, and the folder that each was found in; None for one that was named itself."""
    for given in inputs:
        if os.path.isdir(given):
            yield from ((path, Path(given)) for path in _walk(given))
        elif os.path.exists(given):
            yield Path(given), None
        elif found := sorted(path for path in glob.glob(given, recursive=True) if os.path.isfile(path)):
            yield from ((Path(path), Path(path).parent) for path in found)
        else:
            raise UsageError(f"There is no file or folder {given}, and no file matches it.", "Check the name.")


def _walk(folder: str) -> Iterator[Path]:
    with reading(folder):
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_file():
            yield Path(entry.path)
        elif entry.is_dir() and not entry.name.startswith("."):
            yield from _walk(entry.path)


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _written_by_batch(path: Path, root: Path) -> bool:
    """Whether a file is a journal of a batch, or an output, below `root`, that has one beside it."""
    places = itertools.takewhile(lambda place: place != root, (path, *path.parents))
    journals = (place.with_name(place.name.removesuffix(ERRORS) + JOURNAL) for place in places)
    return path.name.endswith((JOURNAL, f"{JOURNAL}-new")) or any(journal.exists() for journal in journals)


def _root(inputs: Sequence[str]) -> Path:
    """The folder that all inputs have in common."""
    roots = []
    for given in inputs:
        if os.path.isdir(given):
            roots.append(given)
            continue
        while glob.has_magic(given):
            given = os.path.dirname(given)
        roots.append(given if os.path.isdir(given) else os.path.dirname(given))
    try:
        return Path(os.path.commonpath([os.path.abspath(root) for root in roots]))
    except ValueError:  # two drives
        raise UsageError("The inputs are on different drives.", "Run one batch for each drive.") from None
