"""Examples of labelled texts, from a file: JSONL or CSV with the fields `text` and `label`, else `label<TAB>text`."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from gptcli.batch.input import Input
from gptcli.batch.row import Row, RowError
from gptcli.classify.labels import Label
from gptcli.classify.prompts import Example
from gptcli.errors import UsageError
from gptcli.roles.prompt import RolePrompt

_TABLES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "text", ".txt": "text"}


def read_examples(path: str, labels: Sequence[Label]) -> list[Example]:
    """The examples in their order. Raises UsageError for one that is broken, or whose label is not among `labels`."""
    suffix = path[path.rfind(".") :].lower() if "." in path else ""
    source = Input((path,), _TABLES.get(suffix, "text"), BytesIO())
    try:
        return _checked([_example(row, path) for row in source.open()], labels, path)
    finally:
        source.close()


def role_examples(role: RolePrompt, labels: Sequence[Label]) -> list[Example]:
    """The examples of a role. Raises UsageError for one whose answer is not among `labels`."""
    messages = [" ".join(message.content.split()) for message in role.examples()]
    pairs = zip(messages[::2], messages[1::2], strict=True)
    return _checked([Example(text, label) for text, label in pairs], labels, f"the role {role.role.name}")


def _checked(examples: list[Example], labels: Sequence[Label], source: str) -> list[Example]:
    names = {label.name for label in labels}
    for number, example in enumerate(examples, 1):
        if example.label not in names:
            message = f"Example {number} of {source} has the label {example.label!r}, which is none of the labels."
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
