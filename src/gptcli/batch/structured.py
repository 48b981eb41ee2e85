"""Rows with named fields: JSON lines, comma or tab separated values (RFC 4180), and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, NoReturn
from zlib import crc32

from gptcli.batch.row import Code, Row, RowError
from gptcli.batch.source import LIMIT, Record
from gptcli.batch.text import decode_record, records
from gptcli.errors import GptcliError, UsageError


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_decode_json = json.JSONDecoder(parse_constant=_no_constant).decode


def read_jsonl(stream: BinaryIO) -> Iterator[Row | RowError]:
    """A row for each line that is not blank. A line that is not a JSON object becomes an error."""
    for number, record in enumerate(records(stream)):
        yield _json_row(number, record._replace(data=record.data.strip()))


def _json_row(number: int, record: Record) -> Row | RowError:
    text = decode_record(number, record)
    if isinstance(text, RowError):
        return text
    line, digest, code = record.line, crc32(record.data), Code.INVALID_JSON
    try:
        fields = _decode_json(text)
    except RecursionError:
        message = "The JSON is nested too deeply."
    except json.JSONDecodeError as problem:
        message = f"Invalid JSON: {problem.msg} at character {problem.pos + 1}."
    except ValueError as problem:  # a constant such as NaN, or more digits than Python takes for an integer
        message = f"Invalid JSON: {problem}."
    else:
        if isinstance(fields, dict):
            return Row(number, line, digest, fields, _row_id(fields))
        code, message = Code.INVALID_REQUEST, f"A row must be a JSON object, not a {type(fields).__name__}."
    return RowError(number, line, digest, code, message)


def _row_id(fields: dict[str, object]) -> str | None:
    """The row's own id: `custom_id`, else `id`, as text or as a whole number."""
    for name in ("custom_id", "id"):
        value = fields.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
            return str(value)
    return None


class Table:
    """An open table; only its header has been read."""

    def __init__(self, stream: BinaryIO, delimiter: str) -> None:
        """Read the header. Raises UsageError if there is none, or if two columns have the same name."""
        csv.field_size_limit(LIMIT)
        self.delimiter = delimiter
        # surrogateescape: a bad byte spoils its own row, not the file; newline="": line ends inside quotes stay.
        self._text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        self._first = ""
        self._cells = csv.reader(self._lines(), delimiter=delimiter)
        self.header = self._read_header()
        self.newline = "\r\n" if self._first.endswith("\r\n") else "\n"

    def rows(self) -> Iterator[Row | RowError]:
        """A row for each line of cells; empty lines are skipped."""
        for number, (line, cells) in enumerate(self.records()):
            if isinstance(cells, csv.Error):
                yield RowError(number, line, 0, Code.INVALID_CSV, f"Invalid row of a table: {cells}.")
            else:
                yield self._row(number, line, cells)

    def records(self) -> Iterator[tuple[int, list[str] | csv.Error]]:
        """The line on which each row starts, and its cells or what is wrong with them."""
        while True:
            line = self._cells.line_num + 1
            try:
                if cells := next(self._cells):
                    yield line, cells
            except StopIteration:
                return
            except csv.Error as problem:
                yield line, problem

    def _row(self, number: int, line: int, cells: list[str]) -> Row | RowError:
        joined = "\x1f".join(cells)
        digest = crc32(joined.encode("utf-8", "surrogateescape"))
        if len(cells) != len(self.header):
            message = f"The row has {len(cells)} cells, the header {len(self.header)} columns."
            return RowError(number, line, digest, Code.INVALID_CSV, message, cells=cells)
        if not joined.isascii() and any("\ud800" <= character <= "\udfff" for character in joined):
            message = "The row holds bytes that are invalid in the input's encoding."
            return RowError(number, line, digest, Code.INVALID_ENCODING, message, cells=cells)
        fields: dict[str, object] = dict(zip(self.header, cells, strict=True))
        return Row(number, line, digest, fields, _row_id(fields), cells)

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(LIMIT):
            self._first = self._first or line
            yield line

    def _read_header(self) -> list[str]:
        try:
            header = next(self._cells, [])
        except csv.Error as problem:
            raise UsageError(
                f"The table's header cannot be read: {problem}.", "Its first line must name the columns."
            ) from None
        if twice := sorted({name for name in header if header.count(name) > 1}):
            raise UsageError(f"Two columns of the table are named {twice[0]!r}.", "Give every column its own name.")
        return header


def read_parquet(path: str) -> Iterator[Row]:
    """A row for each row of the file. Raises GptcliError without pyarrow, and if the file is not Parquet."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise GptcliError(
            f"Reading {path} requires the package 'pyarrow'.", "Install it, or convert the file to JSONL."
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            rows = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(batch_size=4096))
            for number, fields in enumerate(rows):
                digest = crc32(json.dumps(fields, default=str).encode())
                yield Row(number, number + 1, digest, fields, _row_id(fields))
    except pyarrow.ArrowException as problem:
        raise GptcliError(f"{path} cannot be read as Parquet: {problem}.", "Check the file.") from problem
