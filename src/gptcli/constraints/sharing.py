"""Formats and patterns that come several times in a schema, compiled once.

llguidance compiles each string schema by itself, 4 ms for a `uri`; a definition is compiled once."""

from __future__ import annotations

import json
from collections import Counter

from gptcli.constraints.short_form import Json

Schema = dict[str, Json]

_KEYWORDS = {"type", "format", "pattern", "minLength", "maxLength"}


def shared_texts(schema: Schema) -> Schema:
    """A translated schema in which each string schema with a format or a pattern is written once, in `$defs`."""
    seen: Counter[str] = Counter()
    _count(schema, seen)
    names = {text: f"text{index}" for index, (text, times) in enumerate(seen.items()) if times > 1}
    if not names:
        return schema if schema.get("$defs") else {key: part for key, part in schema.items() if key != "$defs"}
    shared = {key: _replaced(part, names) for key, part in schema.items()}
    definitions = shared["$defs"]
    assert isinstance(definitions, dict)
    shared["$defs"] = {**definitions, **{name: json.loads(text) for text, name in names.items()}}
    return shared


def _is_text(value: Schema) -> bool:
    return value.get("type") == "string" and value.keys() <= _KEYWORDS and ("format" in value or "pattern" in value)


def _count(value: Json, seen: Counter[str]) -> None:
    if isinstance(value, list):
        for item in value:
            _count(item, seen)
    elif isinstance(value, dict):
        if _is_text(value):
            seen[json.dumps(value)] += 1
            return
        for key, part in value.items():
            if key != "enum":
                _count(part, seen)


def _replaced(value: Json, names: dict[str, str]) -> Json:
    if isinstance(value, list):
        return [_replaced(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    if _is_text(value) and (name := names.get(json.dumps(value))):
        return {"$ref": f"#/$defs/{name}"}
    return {key: part if key == "enum" else _replaced(part, names) for key, part in value.items()}
