"""A role: a system prompt with a template, examples, sampling, a model, a constraint and an extraction, in one file.

The file is Markdown with TOML front matter between two lines of `+++`; the Markdown is the system prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from gptcli.errors import UsageError
from gptcli.params import PARAMS, ParamError
from gptcli.settings import table
from gptcli.settings.file import SettingsFile

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Names of roles; the file is NAME.md."""
CONSTRAINTS = ("json_schema", "choices", "regex", "grammar")
"""What an answer must be; at most one of them."""
_TEXTS = ("description", "template", "argument", "extract", "model", "regex", "grammar")
_OTHERS = ("variables", "required", "examples", "json_schema", "choices")
_EXTRACTS = {"first": 0, "last": -1}
_NO_PARAMS = {"n", "logprobs"}
KEYS = tuple(dict.fromkeys((*_TEXTS, *_OTHERS, *(name for name in PARAMS if name not in _NO_PARAMS))))
_FENCE = "+++"


@dataclass(frozen=True, slots=True)
class Example:
    """An input, the variables that it is given with, and the answer that is wanted."""

    input: str
    output: str
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Role:
    """What a file says. `system` and `template` are jinja2 templates with `input` and the variables."""

    name: str
    path: Path
    source: str
    description: str = ""
    system: str = ""
    template: str = "{{ input }}"
    variables: tuple[tuple[str, str], ...] = ()
    """Variables that have a default."""
    required: tuple[str, ...] = ()
    """Variables that have none."""
    argument: str = ""
    """The variable that the words on the command line are, when the text comes from elsewhere."""
    examples: tuple[Example, ...] = ()
    extract: str = ""
    """Which code block of an answer is wanted, first or last; empty for all of the answer."""
    options: tuple[tuple[str, object], ...] = ()
    """Parameters, the model and the constraint, as the flags of the same names have them."""

    @property
    def code_block(self) -> int | None:
        """The index of the code block that is wanted; None for all of the answer."""
        return _EXTRACTS.get(self.extract)


def parse(name: str, path: Path, source: str) -> Role:
    """The role in a file's text. Raises UsageError, which names the file and the line of the mistake."""
    front, body = _split(path, source)
    file = SettingsFile.parse(path, "\n" + front)  # so that its lines are those of the whole file
    if file.problem:
        raise UsageError(f"{path}, line {file.problem_line} {file.problem}.", "The front matter is TOML.")
    values = file.values
    for key in values:
        if key not in KEYS:
            near = table.nearest(key, KEYS)
            hint = f"Did you mean {near}?" if near else f"Keys: {', '.join(KEYS[:12])}, and the parameters."
            raise UsageError(f"{path}, line {file.lines[(key,)]}: {key!r} is not a key of a role.", hint)
    reader = _Reader(file)
    constraint = reader.constraint()
    options = {key: reader.parameter(key) for key in values if key in PARAMS and key not in CONSTRAINTS}
    if "model" in values:
        options["model"] = reader.text("model")
    role = Role(
        name=name,
        path=path,
        source=source,
        description=reader.text("description"),
        system=body.strip(),
        template=reader.text("template") or "{{ input }}",
        variables=tuple(reader.texts_by_name("variables").items()),
        required=reader.names("required"),
        argument=reader.text("argument"),
        examples=reader.examples(),
        extract=reader.text("extract"),
        options=tuple((options | constraint).items()),
    )
    if role.extract and role.extract not in _EXTRACTS:
        reader.fail("extract", "must be first or last")
    if role.argument and role.argument not in {*dict(role.variables), *role.required}:
        reader.fail("argument", "must be one of the variables")
    return role


def _split(path: Path, source: str) -> tuple[str, str]:
    """The front matter and the Markdown."""
    lines = source.lstrip("\ufeff").splitlines(keepends=True)
    if not lines or lines[0].strip() != _FENCE:
        return "", source
    for number, line in enumerate(lines[1:], 1):
        if line.strip() == _FENCE:
            return "".join(lines[1:number]), "".join(lines[number + 1 :])
    raise UsageError(f"{path}, line 1: the front matter has no end.", f"End it with a line of {_FENCE}.")


class _Reader:
    """Takes values from the front matter; what has another type is a mistake with its line."""

    def __init__(self, file: SettingsFile) -> None:
        self._file = file

    def fail(self, key: str, what: str) -> NoReturn:
        line = self._file.lines.get((key,), 1)
        raise UsageError(f"{self._file.path}, line {line}: {key} {what}.", "`gptcli roles check` checks a role.")

    def text(self, key: str) -> str:
        value = self._file.values.get(key, "")
        if not isinstance(value, str):
            self.fail(key, "must be a text")
        return str(value)

    def names(self, key: str) -> tuple[str, ...]:
        value = self._file.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) and name.isidentifier() for name in value):
            self.fail(key, "must be a list of names")
        return tuple(value)

    def texts_by_name(self, key: str) -> dict[str, str]:
        value = self._file.values.get(key, {})
        if not _is_texts(value):
            self.fail(key, "must be a table of names and texts")
        return {**value}

    def parameter(self, key: str) -> Any:
        try:
            return table.validate(key, self._file.values[key])
        except ParamError as error:
            raise UsageError(f"{self._file.where((key,))}: {error}", "`gptcli roles check` checks a role.") from None

    def constraint(self) -> dict[str, object]:
        """The constraint, as its flag takes it."""
        values = self._file.values
        given = [key for key in CONSTRAINTS if key in values]
        if len(given) > 1:
            self.fail(given[1], f"and {given[0]} contradict each other")
        if not given:
            return {}
        key, value = given[0], values[given[0]]
        if key == "choices":
            if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
                self.fail(key, "must be a list of texts")
            return {key: json.dumps(value, ensure_ascii=False)}
        if key == "json_schema" and isinstance(value, dict):
            return {key: json.dumps(value, ensure_ascii=False)}
        return {key: self.text(key)}

    def examples(self) -> tuple[Example, ...]:
        value = self._file.values.get("examples", [])
        found: list[Example] = []
        for item in value if isinstance(value, list) else [None]:
            if not _is_texts(item) or not {"input", "output"} <= item.keys():
                self.fail("examples", "must be tables with input and output, both texts")
            variables = tuple((name, text) for name, text in item.items() if name not in ("input", "output"))
            found.append(Example(item["input"], item["output"], variables))
        return tuple(found)


def _is_texts(value: object) -> TypeGuard[Mapping[str, str]]:
    return isinstance(value, dict) and all(isinstance(text, str) and key.isidentifier() for key, text in value.items())
