"""Rows from files that hold one prompt each: folders, glob patterns and plain paths.

It knows paths; a row has the fields `text` and `file` (`name`, `path`, `stem`, `suffix`), and its id is the path
below the folder that all inputs share.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from zlib import crc32

from gptcli.batch.records import LIMIT, Record
from gptcli.batch.row import Code, Row, RowError
from gptcli.batch.source import BOM, open_source, plain_name, reading
from gptcli.batch.text import text_row
from gptcli.errors import GptcliError, UsageError


def read_files(inputs: Sequence[str], encoding: str = "utf-8") -> Iterator[Row | RowError]:
    """A row a file, in the order of the inputs, each folder's files sorted; hidden ones are passed over."""
    root = _root(inputs)
    for number, path in enumerate(_paths(inputs)):
        yield _row(number, path, root, encoding)


def count_files(inputs: Sequence[str]) -> int:
    """How many rows `read_files` will give."""
    return sum(1 for _ in _paths(inputs))


def _row(number: int, path: Path, root: Path, encoding: str) -> Row | RowError:
    name = plain_name(Path(os.path.relpath(path, root)).as_posix())
    try:
        source = open_source(str(path), BytesIO(), encoding)
        with source.stream, reading(str(path)):
            data = source.stream.read(LIMIT + 1)
    except GptcliError as problem:
        return RowError(number, number + 1, crc32(os.fsencode(name)), Code.INVALID_ENCODING, problem.message, name)
    text = data.removeprefix(BOM).removesuffix(b"\n").removesuffix(b"\r")
    row = text_row(number, Record(number + 1, text, len(data) <= LIMIT))
    row.id = name
    row.digest = crc32(os.fsencode(name), row.digest)
    if isinstance(row, Row):
        plain = Path(name)
        row.fields["file"] = {"name": plain.name, "path": str(path), "stem": plain.stem, "suffix": plain.suffix}
    return row


def _paths(inputs: Sequence[str]) -> Iterator[Path]:
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
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry.path)
        elif entry.is_file():
            yield Path(entry.path)


def _root(inputs: Sequence[str]) -> Path:
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
        raise UsageError("The inputs lie on different drives.", "Run one batch a drive.") from None
