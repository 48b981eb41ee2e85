"""JSON Schemas that constrain an answer: loading one from a file, a text or the short form, and checking it."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gptcli.constraints.compilation import refusal
from gptcli.constraints.short_form import Json, ShortFormError, parse_short_form
from gptcli.constraints.translation import TooLarge, Translation
from gptcli.errors import UsageError

_MAX_BYTES = 4 << 20
"""The largest schema that llguidance's authors have tried."""


_MAX_LINES = 20


class SchemaError(UsageError):
    """The schema cannot be kept. `problems` has one line for each reason, beginning with its JSON pointer."""

    def __init__(self, message: str, hint: str = "", *, problems: tuple[str, ...] = ()) -> None:
        listed = (
            problems
            if len(problems) <= _MAX_LINES
            else (*problems[:_MAX_LINES], f"and {len(problems) - _MAX_LINES} more")
        )
        super().__init__("\n  ".join((message, *listed)), hint)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A schema that has been checked: llguidance keeps it."""

    source: Json
    """The schema as it was given, or what its short form stands for."""
    text: str
    """What llguidance is given: the text of a `Constraint`, an object of JSON whose texts `source` allows."""
    dropped: tuple[str, ...] = ()
    """What `lenient` left out, one line each, beginning with its JSON pointer."""


def load_schema(text: str, *, lenient: bool = False) -> JsonSchema:
    """The checked schema of a JSON text, of the short form, or of a file that has either.

    Raises SchemaError with every reason why it cannot be kept; UsageError if the file cannot be read."""
    stripped = text.strip()
    if not stripped.startswith("{") and stripped not in ("true", "false"):
        if _is_file(text):
            stripped = _read(Path(text)).strip()
        elif stripped.endswith(".json"):  # the short form would make it the name of a field
            raise UsageError(f"There is no file {stripped}.", "Give a file, JSON or the short form: 'name, age int'.")
    return check_schema(parse_schema(stripped), lenient=lenient)


def parse_schema(text: str) -> Json:
    """The schema that JSON or the short form stands for, unchecked. Raises SchemaError."""
    if len(text) > _MAX_BYTES:
        raise SchemaError(f"The schema has {len(text):,} characters; {_MAX_BYTES:,} is the limit.")
    if not text.startswith("{") and text not in ("true", "false"):
        try:
            return parse_short_form(text)
        except ShortFormError as error:
            raise SchemaError(
                f"The schema is neither a file nor JSON nor in the short form: {error}.",
                "The short form is `name, age int, tags[]: what it is`.",
            ) from error
    try:
        value: Json = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise SchemaError("The schema is nested too deeply.") from error
    except ValueError as error:
        raise SchemaError(f"The schema is not valid JSON: {error}.") from error
    return value


def check_schema(schema: Json, *, lenient: bool = False) -> JsonSchema:
    """The checked schema of a value of JSON.

    `lenient`: leave out what can be left out, and list it. Raises SchemaError with every reason why it cannot be kept.
    """
    if not isinstance(schema, (dict, bool)):
        raise SchemaError(f"A schema is an object, not {json.dumps(schema)[:60]}.")
    try:
        translation = Translation(schema, lenient=lenient)
    except TooLarge as error:
        raise SchemaError(f"The schema {error}.") from error
    if translation.problems:
        raise SchemaError("The schema cannot be kept:", problems=tuple(translation.problems))
    if translation.schema is False:
        raise SchemaError("No text satisfies the schema.")
    kept = {} if translation.schema is True else cast(dict[str, Json], translation.schema)
    if problem := refusal(kept):
        raise SchemaError("The schema cannot be kept:", problems=(problem,))
    return JsonSchema(schema, json.dumps(kept, ensure_ascii=False), tuple(translation.dropped))


def _no_number(name: str) -> Json:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits} is too large")
    return value


def _is_file(text: str) -> bool:
    try:
        return os.path.isfile(text)
    except ValueError:  # a null character
        return False


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path} has {path.stat().st_size:,} bytes; the limit of a schema is {_MAX_BYTES:,}.")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The schema {path} cannot be read: {error}.") from error
