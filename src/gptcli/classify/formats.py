"""A row's labels in the output: lines of text, JSON lines, or the input's table with more columns."""

from __future__ import annotations

from dataclasses import dataclass

from gptcli.batch.formats import Result, ResultFormat, TableRows, json_line, row_name
from gptcli.batch.row import Code, Row, RowError
from gptcli.classify.classifier import Labeller, Prediction
from gptcli.openai.response import Answer
from gptcli.terminal import Terminal
from gptcli.types import Request


@dataclass(slots=True)
class LabelText(ResultFormat):
    """`label<TAB>probability<TAB>text`; the labels of several are between commas. Errors are reported on stderr."""

    labeller: Labeller
    terminal: Terminal

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        prediction = self.labeller.predict(answer.continuations)
        return Result(_fields(",".join(prediction.chosen), _chosen(prediction), _shown(row)))

    def error(self, row: Row | RowError, code: Code, message: str) -> Result:
        self.terminal.report(f"gptcli: line {row.line}: {message}")
        return Result(_fields("", "", _shown(row)))


@dataclass(slots=True)
class LabelLines(ResultFormat):
    """The row's own fields with its labels, as JSON."""

    labeller: Labeller
    column: str

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        prediction = self.labeller.predict(answer.continuations)
        shares = {name: round(share, 6) for name, share in prediction.probabilities.items()}
        label = prediction.chosen if self.labeller.independent else prediction.chosen[0]
        line = {} if row.id is None else {"id": row.id}
        fields = {name: value for name, value in row.fields.items() if name != "file"}
        return Result(json_line({**line, "line": row.line, **fields, self.column: label, "probabilities": shares}))

    def error(self, row: Row | RowError, code: Code, message: str) -> Result:
        error = {"code": code.value, "message": message}
        fields = row.fields if isinstance(row, Row) else {}
        return self._error(json_line({"id": row_name(row), "line": row.line, **fields, "error": error}))


class LabelTable(TableRows):
    """The input's table with the columns NAME and NAME_probability."""

    def __init__(
        self, labeller: Labeller, header: list[str], delimiter: str, newline: str, column: str, *, separate_errors: bool
    ) -> None:
        names = (column, f"{column}_probability")
        super().__init__(header, delimiter, newline, *names, separate_errors=separate_errors)
        self._labeller = labeller

    def check(self, request: Request) -> None:
        """Every request is one for labels."""

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        prediction = self._labeller.predict(answer.continuations)
        return self.added(row, [",".join(prediction.chosen), _chosen(prediction)])


def _chosen(prediction: Prediction) -> str:
    return ",".join(f"{prediction.probabilities[name]:.4f}" for name in prediction.chosen)


def _shown(row: Row | RowError) -> str:
    """The text of a line; the name of a file."""
    if row.id is not None or not isinstance(row, Row):
        return row_name(row)
    return str(row.fields.get("text", row.fields.get("prompt", row_name(row))))


def _fields(*cells: str) -> bytes:
    """Cells between tabs, without line breaks in them."""
    line = "\t".join(" ".join(cell.split()) for cell in cells)
    return line.encode("utf-8", "surrogateescape") + b"\n"
