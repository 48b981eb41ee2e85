"""A schema from examples: what the fields of some objects are, and which of them all have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from gptcli.constraints.short_form import TYPES, Json

_MAX_CHOICES = 12
_REPEATS = 4
"""A text is one of a few choices if there are so many texts for each of them."""
_LONGEST_CHOICE = 40
_FORMATS = {
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "datetime": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"),
    "uuid": re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "email": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII),
    "uri": re.compile(r"https?://[!-~]+"),
}
_NAMES = {"NoneType": "null", "bool": "bool", "int": "int", "float": "float", "str": "str"}


def infer_schema(examples: Iterable[Json]) -> dict[str, Json]:
    """The JSON Schema, one that has a short form, of objects like these. Raises ValueError if none of them is one.

    A field that some lack, or where some have null for a list or an object, is optional."""
    seen = _Seen()
    for example in examples:
        seen.add(example)
    if not seen.objects or not seen.fields:
        raise ValueError("There is no object with a field among the examples.")
    return _object(seen)


@dataclass(slots=True)
class _Seen:
    """The values of one field."""

    kinds: Counter[str] = field(default_factory=Counter)
    """How many values were of each plain type, by the short form's names."""
    texts: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    fields: dict[str, _Seen] = field(default_factory=dict)
    lists: int = 0
    items: _Seen | None = None

    @property
    def count(self) -> int:
        return self.kinds.total() + self.objects + self.lists

    def add(self, value: Json) -> None:
        if isinstance(value, dict):
            self.objects += 1
            for name, part in value.items():
                self.fields.setdefault(name, _Seen()).add(part)
        elif isinstance(value, list):
            self.lists += 1
            self.items = self.items or _Seen()
            for part in value:
                self.items.add(part)
        else:
            self.kinds[_NAMES[type(value).__name__]] += 1
            if isinstance(value, str):
                self.texts[value] += 1


def _object(seen: _Seen) -> dict[str, Json]:
    properties = {name: _schema(part) for name, part in seen.fields.items()}
    required = [name for name, part in seen.fields.items() if part.count - _absent(part) == seen.objects]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _absent(seen: _Seen) -> int:
    """The nulls that stand for a missing list or object."""
    return seen.kinds["null"] if seen.objects or seen.lists else 0


def _schema(seen: _Seen) -> dict[str, Json]:
    """The schema of a field; where lists, objects and plain values share it, of what it mostly is."""
    plain = seen.kinds.total() - seen.kinds["null"]
    if seen.lists > max(seen.objects, plain):
        return {"type": "array", "items": _schema(seen.items or _Seen())}
    if seen.objects > plain:
        return _object(seen) if seen.fields else dict(TYPES["object"])
    kinds = [kind for kind in seen.kinds if not (kind == "int" and "float" in seen.kinds)]
    if kinds in ([], ["null"]):  # nothing is known of it
        return {"type": ["string", "null"]} if kinds else dict(TYPES["str"])
    is_text = set(kinds) <= {"str", "null"} and "str" in kinds
    if is_text and (choices := _choices(seen.texts)):
        return {"enum": [*choices, *([None] if "null" in kinds else [])]}
    schemas = [dict(TYPES[_format(seen.texts)]) if kind == "str" else dict(TYPES[kind]) for kind in sorted(kinds)]
    if len(schemas) == 1:
        return cast("dict[str, Json]", schemas[0])
    if all(len(schema) == 1 for schema in schemas):
        return {"type": [schema["type"] for schema in schemas]}
    return {"anyOf": schemas}


def _choices(texts: Counter[str]) -> list[Json]:
    """The texts, in their order, if they are a few that come again and again."""
    few = 2 <= len(texts) <= _MAX_CHOICES and texts.total() >= _REPEATS * len(texts)
    return list(texts) if few and all(0 < len(text) <= _LONGEST_CHOICE for text in texts) else []


def _format(texts: Counter[str]) -> str:
    return next((name for name, known in _FORMATS.items() if all(map(known.fullmatch, texts))), "str")
