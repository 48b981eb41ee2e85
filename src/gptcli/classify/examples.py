"""Examples of labelled texts, from a file: JSONL or CSV with the fields `text` and `label`, else `label<TAB>text`."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from gptcli.batch.input import Input
from gptcli.batch.row import Row, RowError
from gptcli.classify.labels import Label
from gptcli.classify.prompts import Example
from gptcli.errors import UsageError

_TABLES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "text", ".txt": "text"}


def read_examples(path: str, labels: Sequence[Label]) -> list[Example]:
    """The examples in their order. Raises UsageError for one that is broken, or whose label is not among `labels`."""
    suffix = path[path.rfind(".") :].lower() if "." in path else ""
    source = Input((path,), _TABLES.get(suffix, "text"), BytesIO())
    names = {label.name for label in labels}
    try:
        examples = [_example(row, path) for row in source.open()]
    finally:
        source.close()
    for number, example in enumerate(examples, 1):
        if example.label not in names:
            message = f"Example {number} of {path} has the label {example.label!r}, which is none of the labels."
            raise UsageError(message, f"The labels are {', '.join(sorted(names))}.")
    return examples


def _example(row: Row | RowError, path: str) -> Example:
    if isinstance(row, RowError):
        raise UsageError(f"{path}, line {row.line}: {row.message}", "Correct the example.")
    label, text = row.fields.get("label"), row.fields.get("text")
    if label is None and isinstance(text, str) and "\t" in text:
        label, _, text = text.partition("\t")
    if not isinstance(label, str) or not isinstance(text, str):
        raise UsageError(f"{path}, line {row.line}: no text with a label.", "Write label, tab and text on a line.")
    return Example(" ".join(text.split()), label.strip())
