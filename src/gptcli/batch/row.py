"""A row of a batch's input: its fields, or why it could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Code(str, Enum):
    """Why a row has no answer. Error lines hold these words; there are no others."""

    INVALID_ENCODING = "invalid_encoding"  # bytes that are invalid in the input's encoding
    INVALID_JSON = "invalid_json"
    INVALID_CSV = "invalid_csv"
    DUPLICATE_ID = "duplicate_id"
    INVALID_REQUEST = "invalid_request"  # wrong types or values
    LINE_TOO_LONG = "line_too_long"
    MISSING_FIELD = "missing_field"  # the row lacks what the template or the format needs
    UNSUPPORTED = "unsupported"  # understood, but not supported
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    ENGINE_ERROR = "engine_error"


@dataclass(slots=True)
class Row:
    """One prompt, not yet a request."""

    number: int
    """Its position among the rows, from 0."""
    line: int
    """The line on which it starts, from 1; with one prompt a file, the file's position."""
    digest: int
    """CRC-32 of its bytes: a resumed job finds by it whether the row is the one answered before."""
    fields: dict[str, object]
    id: str | None = None
    """The row's own id, if it has one."""
    cells: list[str] | None = None
    """The cells of a table's row, which are all text."""


@dataclass(slots=True)
class RowError:
    """A row that could not be read; the fields are those of `Row`."""

    number: int
    line: int
    digest: int
    code: Code
    message: str
    id: str | None = None
    cells: list[str] | None = None
