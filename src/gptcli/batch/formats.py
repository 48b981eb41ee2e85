"""The bytes of a row's answer, or its error, in the output: OpenAI Batch lines, simple lines, a table, files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field

from gptcli.batch.row import Code, Row, RowError
from gptcli.errors import InvalidRequest
from gptcli.openai.response import Answer, ResponseBuilder, Sample, finish_reason, text_logprobs, usage
from gptcli.render.fences import code_block
from gptcli.types import ChatPrompt, Request, TextPrompt

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(slots=True)
class Result:
    """One row's part of the output."""

    out: bytes = b""
    error: bytes = b""
    """The part for the file of errors."""
    name: str = ""
    """Of the row's file, if each row has one."""


@dataclass(slots=True)
class ResultFormat:
    """Makes bytes of a row's answer or error."""

    separate_errors: bool = field(default=False, kw_only=True)
    """Whether errors go to a file of their own."""
    code_block: int | None = field(default=None, kw_only=True)
    """The index of the code block of an answer that is its text, as a role can choose; None for the whole answer."""

    def header(self) -> bytes:
        """The bytes before the first row."""
        return b""

    def check(self, request: Request) -> None:
        """Raises InvalidRequest for a request whose answer this format cannot hold."""

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        raise NotImplementedError

    def error(self, row: Row | RowError, code: Code, message: str) -> Result:
        error = {"code": code.value, "message": f"line {row.line}: {message}"}
        line = {"id": f"batch_req_{_key(row)}", "custom_id": row_name(row), "response": None, "error": error}
        return self._error(json_line(line))

    def _text(self, sample: Sample) -> str:
        """The text of an answer; all of it where it has no code block."""
        block = None if self.code_block is None else code_block(sample.text, self.code_block)
        return sample.text if block is None else block

    def _error(self, line: bytes) -> Result:
        return Result(error=line) if self.separate_errors else Result(line)


@dataclass(slots=True)
class OpenAILines(ResultFormat):
    """Result lines of the OpenAI Batch format (https://platform.openai.com/docs/api-reference/batch/request-output)."""

    model: str
    created: int

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        key = _key(row)
        builder = ResponseBuilder(
            self.model,
            key,
            self.created,
            chat=isinstance(request.prompt, ChatPrompt),
            logprobs=request.logprobs is not None,
            text_offset=_text_offset(request),
            null_fields=True,
            cached_tokens=False,
        )
        response = {"status_code": 200, "request_id": f"req_{key}", "body": builder.completion(answer)}
        return Result(
            json_line({"id": f"batch_req_{key}", "custom_id": row_name(row), "response": response, "error": None})
        )


class SimpleLines(ResultFormat):
    """`id`, `text` and little more. Several samples are a list in `choices`."""

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        choices = []
        for sample in answer.samples:
            choice: dict[str, object] = {"text": self._text(sample), "finish_reason": finish_reason(sample.end.reason)}
            if sample.end.closed:
                choice["closed"] = True
            if sample.thoughts:
                choice["reasoning"] = sample.reasoning
            if request.logprobs is not None:
                choice["logprobs"] = text_logprobs(sample, _text_offset(request))
            choices.append(choice)
        parts = choices[0] if len(choices) == 1 else {"choices": choices}
        return Result(json_line({"id": row_name(row), **parts, "usage": usage(answer.ends, cached_tokens=False)}))

    def error(self, row: Row | RowError, code: Code, message: str) -> Result:
        error = {"code": code.value, "message": message}
        return self._error(json_line({"id": row_name(row), "line": row.line, "error": error}))


class TableRows(ResultFormat):
    """The input's table with more columns, row by row.

    A row that failed has empty cells there, and its error in a last column or in the file of errors. The output is
    UTF-8 whatever the input is, for an answer may hold any character; bytes that are not text stay as they are."""

    def __init__(
        self,
        header: list[str],
        delimiter: str,
        newline: str,
        *columns: str,
        separate_errors: bool = False,
        code_block: int | None = None,
    ) -> None:
        """`columns`: the names of the answers' columns, which must be new to the table."""
        super().__init__(separate_errors=separate_errors, code_block=code_block)
        self._names = [*header, *columns] if separate_errors else [*header, *columns, f"{columns[0]}_error"]
        self._width, self._added = len(header), len(columns)
        self._buffer = io.StringIO(newline="")
        self._write = csv.writer(self._buffer, delimiter=delimiter, lineterminator=newline).writerow

    def header(self) -> bytes:
        return self._cells(self._names)

    def check(self, request: Request) -> None:
        if request.n > 1:
            raise InvalidRequest("A table has one cell for the answer, so n must be 1.", code="unsupported", param="n")
        if request.logprobs is not None:
            raise InvalidRequest("A table cannot hold logprobs.", code="unsupported", param="logprobs")

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        return self.added(row, [self._text(answer.samples[0])])

    def added(self, row: Row, values: list[str]) -> Result:
        """The row with the cells of its new columns."""
        cells = [*(row.cells or []), *values]
        return Result(self._cells(cells if self.separate_errors else [*cells, ""]))

    def error(self, row: Row | RowError, code: Code, message: str) -> Result:
        # A row with too many or too few cells gets as many as the header, so that the new columns stay aligned.
        cells = [*(row.cells or []), *[""] * self._width][: self._width]
        cells += [""] * self._added
        if self.separate_errors:
            return Result(self._cells(cells), ResultFormat.error(self, row, code, message).error)
        return Result(self._cells([*cells, f"{code.value}: line {row.line}: {message}"]))

    def _cells(self, cells: list[str]) -> bytes:
        self._buffer.seek(0)
        self._buffer.truncate()
        self._write(cells)
        return self._buffer.getvalue().encode("utf-8", "surrogateescape")  # a bad cell keeps its bytes


class Files(ResultFormat):
    """A file for each row, with the name of its prompt's file. Errors go to the file of errors."""

    def check(self, request: Request) -> None:
        if request.n > 1 or request.logprobs is not None:
            message = "A file holds one text, so n must be 1 and logprobs are not supported."
            raise InvalidRequest(message, code="unsupported", param="n" if request.n > 1 else "logprobs")

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        return Result(self._text(answer.samples[0]).encode(), name=row_name(row))


def row_name(row: Row | RowError) -> str:
    """The row's own id, or its line."""
    return row.id if row.id is not None else f"line-{row.line}"


def _key(row: Row | RowError) -> str:
    """Identifies a row in its file. The same job gives the same keys each time."""
    return f"{row.number:08x}{row.digest:08x}"


def _text_offset(request: Request) -> int:
    """Offset of the text in logprobs, which count from the beginning of the prompt; an echo begins there."""
    if request.logprobs is None or request.echo or not isinstance(request.prompt, TextPrompt):
        return 0
    return len(request.prompt.data.decode("utf-8", "surrogateescape"))


def json_line(value: object) -> bytes:
    """A line of JSON."""
    try:
        return _compact(value).encode() + b"\n"
    except UnicodeEncodeError:  # half a character in the row's id: JSON can escape it
        return json.dumps(value).encode() + b"\n"
