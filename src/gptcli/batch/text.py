"""Rows of plain text: a prompt a line, a paragraph or whatever is between separators, or a prompt a file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from gptcli.batch import source
from gptcli.batch.row import Code, Row, RowError
from gptcli.batch.source import BOM, LIMIT, Record, reading
from gptcli.errors import GptcliError, UsageError


def read_text(stream: BinaryIO, split: str | None = None) -> Iterator[Row | RowError]:
    """A row with the field `text` for each of the `records`."""
    for number, record in enumerate(records(stream, split)):
        yield _text_row(number, record)


def read_files(inputs: Sequence[str], encoding: str = "utf-8") -> Iterator[Row | RowError]:
    """A row for each file, in the order of the inputs; those of a folder are sorted, and hidden ones skipped.

    A row has the fields `text` and `file`. Its id is its path below the folder that all inputs have in common."""
    root = _root(inputs)
    for number, path in enumerate(file_paths(inputs)):
        yield _file_row(number, path, root, encoding)


def decode_record(number: int, record: Record) -> str | RowError:
    """The text of a record, or why there is none."""
    if not record.whole:
        message = f"The row is longer than {LIMIT >> 20} MiB."
        return RowError(number, record.line, crc32(record.data), Code.LINE_TOO_LONG, message)
    try:
        return record.data.decode()
    except UnicodeDecodeError as problem:
        byte = f"Byte {problem.start + 1} of the row, 0x{problem.object[problem.start]:02x},"
        message = f"{byte} is invalid in the input's encoding."
        return RowError(number, record.line, crc32(record.data), Code.INVALID_ENCODING, message)


def _text_row(number: int, record: Record) -> Row | RowError:
    text = decode_record(number, record)
    return text if isinstance(text, RowError) else Row(number, record.line, crc32(record.data), {"text": text})


def records(stream: BinaryIO, split: str | None = None) -> Iterator[Record]:
    """The records that are not blank. `split`: None for lines, `blank`, `NUL`, or a separator.

    Raises UsageError for an empty separator."""
    if split == "blank":
        found = source.paragraphs(stream)
    elif split == "NUL":
        found = source.separated(stream, b"\0")
    elif split == "":
        raise UsageError("An empty --split separates nothing.", "Use blank, NUL or the separator's text.")
    elif split is not None:
        found = source.separated(stream, split.encode("utf-8", "surrogateescape"))
    else:
        found = (Record(r.line, r.data.removesuffix(b"\n").removesuffix(b"\r"), r.whole) for r in source.lines(stream))
    return (record for record in found if record.data.strip())


def _file_row(number: int, path: Path, root: Path, encoding: str) -> Row | RowError:
    name = source.uncompressed_name(Path(os.path.relpath(path, root)).as_posix())
    try:
        stream = source.open_source(str(path), BytesIO(), encoding).stream
        with stream, reading(str(path)):
            data = stream.read(LIMIT + 1)
    except GptcliError as problem:
        return RowError(number, number + 1, crc32(os.fsencode(name)), Code.INVALID_ENCODING, problem.message, name)
    text = data.removeprefix(BOM).removesuffix(b"\n").removesuffix(b"\r")
    row = _text_row(number, Record(number + 1, text, len(data) <= LIMIT))
    row.id, row.digest = name, crc32(os.fsencode(name), row.digest)
    if isinstance(row, Row):
        plain = Path(name)
        row.fields["file"] = {"name": plain.name, "path": str(path), "stem": plain.stem, "suffix": plain.suffix}
    return row


def file_paths(inputs: Sequence[str]) -> Iterator[Path]:
    """The files of which `read_files` makes rows."""
    for given in inputs:
        if os.path.isdir(given):
            yield from _walk(given)
        elif os.path.exists(given):
            yield Path(given)
        elif found := sorted(path for path in glob.glob(given, recursive=True) if os.path.isfile(path)):
            yield from map(Path, found)
        else:
            raise UsageError(f"There is no file or folder {given}, and no file matches it.", "Check the name.")


def _walk(folder: str) -> Iterator[Path]:
    with reading(folder):
        visible = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    for entry in sorted(visible, key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry.path)
        elif entry.is_file():
            yield Path(entry.path)


def _root(inputs: Sequence[str]) -> Path:
    roots = []
    for given in inputs:
        if not os.path.isdir(given):
            while glob.has_magic(given):
                given = os.path.dirname(given)
        roots.append(given if os.path.isdir(given) else os.path.dirname(given))
    try:
        return Path(os.path.commonpath([os.path.abspath(root) for root in roots]))
    except ValueError:  # two drives
        raise UsageError("The inputs are on different drives.", "Run one batch for each drive.") from None
