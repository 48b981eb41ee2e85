"""Rows with named fields: JSON lines, comma or tab separated values (RFC 4180), and Parquet."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from typing import BinaryIO, NoReturn
from zlib import crc32

from gptcli.batch.row import Code, Row, RowError
from gptcli.batch.source import LIMIT, Record, lines
from gptcli.batch.text import bad_byte, decode_record
from gptcli.errors import GptcliError, UsageError


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_DELIMITERS = ",;\t|"
_decode_json = json.JSONDecoder(parse_constant=_no_constant).decode


def read_jsonl(stream: BinaryIO) -> Iterator[Row | RowError]:
    """A row for each line that is not blank. A line that is not a JSON object becomes an error."""
    records = (record._replace(data=data) for record in lines(stream) if (data := record.data.strip()))
    return itertools.starmap(_json_row, enumerate(records))


def _json_row(number: int, record: Record) -> Row | RowError:
    text = decode_record(number, record)
    if isinstance(text, RowError):
        return text
    line, digest = record.line, crc32(record.data)
    try:
        fields = _decode_json(text)
    except RecursionError:
        return RowError(number, line, digest, Code.INVALID_JSON, "The JSON is nested too deeply.")
    except json.JSONDecodeError as problem:
        message = f"Invalid JSON: {problem.msg} at character {problem.pos + 1}."
        return RowError(number, line, digest, Code.INVALID_JSON, message)
    except ValueError as problem:  # a constant such as NaN, or more digits than Python takes for an integer
        return RowError(number, line, digest, Code.INVALID_JSON, f"Invalid JSON: {problem}.")
    if not isinstance(fields, dict):
        message = f"A row must be a JSON object, not a {type(fields).__name__}."
        return RowError(number, line, digest, Code.INVALID_REQUEST, message)
    return Row(number, line, digest, fields, _row_id(fields))


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
        """Read the header. Raises UsageError if there is none, or if two columns have the same name.

        Where the header is one column with `delimiter`, another delimiter that is in it takes its place."""
        csv.field_size_limit(LIMIT)
        # surrogateescape: a bad byte spoils its own row, not the file; newline="": line ends inside quotes stay.
        self._text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        first = self._text.readline(LIMIT)
        self.delimiter = _delimiter(first, delimiter)
        self.newline = "\r\n" if first.endswith("\r\n") else "\n"
        self._ended = False
        self._cells = csv.reader(self._lines(first), delimiter=self.delimiter)
        self.header = self._read_header()

    def rows(self) -> Iterator[Row | RowError]:
        """A row for each line of cells; empty lines are skipped. Raises GptcliError for a quote that is not closed."""
        number = 0
        while True:
            line = self._cells.line_num + 1
            try:
                cells = next(self._cells)
            except StopIteration:
                return
            except csv.Error as problem:
                yield RowError(number, line, 0, Code.INVALID_CSV, f"Invalid row of a table: {problem}.")
            else:
                if not cells:
                    continue
                if self._ended:  # a row that is complete does not read on to the end of the file
                    raise GptcliError(
                        f"A quote that opens in the row on line {line:,} is never closed.",
                        "Close it and run the same command again; answered rows are kept.",
                    )
                yield self._row(number, line, cells)
            number += 1

    def _row(self, number: int, line: int, cells: list[str]) -> Row | RowError:
        joined = "\x1f".join(cells)
        digest = crc32(joined.encode("utf-8", "surrogateescape"))
        if len(cells) != len(self.header):
            message = f"The row has {len(cells)} cells, the header {len(self.header)} columns."
            return RowError(number, line, digest, Code.INVALID_CSV, message, cells=cells)
        if not joined.isascii() and (message := self._bad_byte(cells)):
            return RowError(number, line, digest, Code.INVALID_ENCODING, message, cells=cells)
        fields: dict[str, object] = dict(zip(self.header, cells, strict=True))
        return Row(number, line, digest, fields, _row_id(fields), cells)

    def _bad_byte(self, cells: list[str]) -> str:
        """Where the first byte is that is invalid in the input's encoding; empty if there is none."""
        for name, cell in zip(self.header, cells, strict=True):
            data = cell.encode("utf-8", "surrogateescape")
            try:
                data.decode()
            except UnicodeDecodeError as problem:
                return bad_byte(f"the column {name!r}", data, problem.start)
        return ""

    def _lines(self, first: str) -> Iterator[str]:
        line = first
        while line:
            yield line
            line = self._text.readline(LIMIT)
        self._ended = True

    def _read_header(self) -> list[str]:
        try:
            header = next(self._cells, [])
            if self._ended:
                problem = "A quote in it is never closed" if header else "It is empty"
                raise UsageError(f"The table has no header: {problem}.", "Its first line must name the columns.")
        except csv.Error as problem:
            raise UsageError(
                f"The table's header cannot be read: {problem}.", "Its first line must name the columns."
            ) from None
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise UsageError(f"Two columns of the table are named {twice[0]!r}.", "Give every column its own name.")
        return header


def _delimiter(header: str, usual: str) -> str:
    """What separates the columns of a header: `usual`, unless it is not there and another one is."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    others = [other for other in _DELIMITERS if other in unquoted]
    return usual if usual in unquoted or not others else max(others, key=unquoted.count)


def read_parquet(path: str) -> Iterator[Row | RowError]:
    """A row for each row of the file. Raises GptcliError without pyarrow, and if the file is not Parquet."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise GptcliError(
            f"Reading {path} requires the package 'pyarrow'.", "Install it, or convert the file to JSONL."
        ) from None
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096):
                for fields in batch.to_pylist():
                    digest = crc32(json.dumps(fields, default=str).encode())
                    yield Row(number, number + 1, digest, fields, _row_id(fields))
                    number += 1
    except pyarrow.ArrowException as problem:
        raise GptcliError(f"{path} cannot be read as Parquet: {problem}.", "Check the file.") from problem
