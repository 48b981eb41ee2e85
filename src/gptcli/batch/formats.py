"""What a row's answer, or its error, looks like in the output: OpenAI Batch lines, simple lines, a table, files.

It knows formats and makes bytes; where they go, and when, it does not know.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Protocol

from gptcli.batch.answer import Answer
from gptcli.batch.completion import body, text_logprobs, usage
from gptcli.batch.row import Code, Refusal, Row, RowError
from gptcli.render.completion import finish_reason
from gptcli.types import Request

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(slots=True)
class Result:
    """One row's part of the output."""

    out: bytes = b""
    error: bytes = b""
    """What goes to the file of errors, when there is one."""
    name: str = ""
    """The file's name, where each row has its own."""


class ResultFormat(Protocol):
    """Turns what happened to a row into bytes."""

    def header(self) -> bytes:
        """What stands before the first row."""
        ...

    def check(self, request: Request) -> None:
        """Raises Refusal for a request whose answer has no place in this format."""
        ...

    def answer(self, row: Row, request: Request, answer: Answer) -> Result: ...

    def error(self, row: Row | RowError, code: Code, message: str) -> Result: ...


@dataclass(slots=True)
class OpenAILines:
    """Result lines of the OpenAI Batch format (https://platform.openai.com/docs/api-reference/batch/request-output)."""

    model: str
    created: int
    apart: bool = False
    """Errors go to a file of their own."""

    def header(self) -> bytes:
        return b""

    def check(self, request: Request) -> None:
        pass

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        key = _key(row)
        response = {
            "status_code": 200,
            "request_id": f"req_{key}",
            "body": body(request, answer, key, self.model, self.created),
        }
        return Result(_line({"id": f"batch_req_{key}", "custom_id": _name(row), "response": response, "error": None}))

    def error(self, row: Row | RowError, code: Code, message: str) -> Result:
        line = _openai_error(row, code, message)
        return Result(error=line) if self.apart else Result(line)


@dataclass(slots=True)
class SimpleLines:
    """`id`, `text` and little more; with several samples a list of them in `choices`."""

    apart: bool = False

    def header(self) -> bytes:
        return b""

    def check(self, request: Request) -> None:
        pass

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        choices = []
        for sample in answer.samples:
            choice: dict[str, object] = {"text": sample.text, "finish_reason": finish_reason(sample.end.reason)}
            if sample.thoughts:
                choice["reasoning"] = sample.reasoning
            if request.logprobs is not None:
                choice["logprobs"] = text_logprobs(sample, request)
            choices.append(choice)
        parts = choices[0] if len(choices) == 1 else {"choices": choices}
        return Result(_line({"id": _name(row), **parts, "usage": usage(answer)}))

    def error(self, row: Row | RowError, code: Code, message: str) -> Result:
        line = _line({"id": _name(row), "line": row.line, "error": {"code": code.value, "message": message}})
        return Result(error=line) if self.apart else Result(line)


class TableRows:
    """The table that came in, with a column more; one row a row, so that the two can be laid side by side.

    A row that failed has an empty cell there, and its error in a second column or in the file of errors.
    The output is UTF-8 whatever the input was: an answer may hold any character.
    """

    def __init__(self, header: list[str], delimiter: str, newline: str, column: str, *, apart: bool) -> None:
        """`column` is the answers' and must be new to the table."""
        self._names = [*header, column] if apart else [*header, column, f"{column}_error"]
        self._width = len(header)
        self._apart = apart
        self._buffer = io.StringIO(newline="")
        self._write = csv.writer(self._buffer, delimiter=delimiter, lineterminator=newline).writerow

    def header(self) -> bytes:
        return self._cells(self._names)

    def check(self, request: Request) -> None:
        if request.n > 1:
            raise Refusal(Code.UNSUPPORTED, "A table has one cell for the answer, so n must be 1.")
        if request.logprobs is not None:
            raise Refusal(Code.UNSUPPORTED, "A table has no place for logprobs.")

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        cells = [*(row.cells or []), answer.samples[0].text]
        return Result(self._cells(cells if self._apart else [*cells, ""]))

    def error(self, row: Row | RowError, code: Code, message: str) -> Result:
        # A row with too many or too few cells is brought to the header's width, or the rest would stand askew.
        cells = [*(row.cells or []), *[""] * self._width][: self._width]
        if self._apart:
            return Result(self._cells([*cells, ""]), _openai_error(row, code, message))
        return Result(self._cells([*cells, "", f"{code.value}: line {row.line}: {message}"]))

    def _cells(self, cells: list[str]) -> bytes:
        self._buffer.seek(0)
        self._buffer.truncate()
        self._write(cells)
        return self._buffer.getvalue().encode("utf-8", "replace")


class Files:
    """A file a row, named as its prompt's was; errors always go to the file of errors."""

    def header(self) -> bytes:
        return b""

    def check(self, request: Request) -> None:
        if request.n > 1 or request.logprobs is not None:
            raise Refusal(Code.UNSUPPORTED, "A file has room for one text only: no n above 1, no logprobs.")

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        return Result(answer.samples[0].text.encode(), name=_name(row))

    def error(self, row: Row | RowError, code: Code, message: str) -> Result:
        return Result(error=_openai_error(row, code, message))


def _name(row: Row | RowError) -> str:
    return row.id if row.id is not None else f"line-{row.line}"


def _key(row: Row | RowError) -> str:
    """Of a row, unique in its file; no clock or chance in it, so that a job done again gives the same bytes."""
    return f"{row.number:08x}{row.digest:08x}"


def _openai_error(row: Row | RowError, code: Code, message: str) -> bytes:
    error = {"code": code.value, "message": f"line {row.line}: {message}"}
    return _line({"id": f"batch_req_{_key(row)}", "custom_id": _name(row), "response": None, "error": error})


def _line(value: object) -> bytes:
    try:
        return _compact(value).encode() + b"\n"
    except UnicodeEncodeError:  # half a character in the row's own name: JSON can escape it
        return json.dumps(value).encode() + b"\n"
