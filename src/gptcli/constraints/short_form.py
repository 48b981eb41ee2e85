"""The short form of a schema, `name, age int, tags[]: what it is`, to and from JSON Schema.

llm's form (https://llm.datasette.io/en/stable/schemas.html), with optional fields, arrays, enums and nested objects.
The grammar, in which a line's end may stand for a comma:

    form        = fields | "[]" element
    fields      = field { "," field }
    field       = name { "[]" } [ "?" ] [ element ] [ ":" description ]
    element     = "{" fields "}" | alternative { "|" alternative }
    alternative = "str" | "int" | "float" | "bool" | "date" | … | literal
    literal     = word | number | JSON string

A description ends at the comma; in a form of several lines, at the end of its line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import cast

Json = object
"""A value of JSON: None, bool, int, float, str, list or dict."""

TYPES: Mapping[str, Mapping[str, str]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "null": {"type": "null"},
    "object": {"type": "object"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "email": {"type": "string", "format": "email"},
    "uri": {"type": "string", "format": "uri"},
    "uuid": {"type": "string", "format": "uuid"},
}
"""The type names of the short form, and the schema of each."""

_SYNONYMS: Mapping[str, str] = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "text": "str"}
"""What other languages call a type, for the message that refuses it."""

_MAX_DEPTH = 64
_NAME = re.compile(r"[^\s\x00-\x1f,:{}\[\]|?\"]+")
_SPACE = re.compile(r"[ \t\r]*")
_GAP = re.compile(r"[\s,]*")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\Z")


class ShortFormError(ValueError):
    """The text is not in the short form; the message says where it stops being so."""


def parse_short_form(text: str) -> dict[str, Json]:
    """The JSON Schema of a short form. Fields are required unless they end in `?`, and no others are allowed.

    Raises ShortFormError."""
    return _Parser(text).form()


@dataclass(slots=True)
class _Parser:
    text: str
    position: int = 0

    def form(self) -> dict[str, Json]:
        self._skip(_GAP)
        if self.text.startswith("[]", self.position):
            self.position += 2
            self._skip(_SPACE)
            schema: dict[str, Json] = {"type": "array", "items": self._element(1) or dict(TYPES["str"])}
            self._skip(_GAP)
        else:
            schema = self._fields("\n" in self.text.strip(), 0)
        if self.position < len(self.text):
            raise self._error("a comma or the end")
        return schema

    def _fields(self, several_lines: bool, depth: int) -> dict[str, Json]:
        """The fields up to a closing brace or the end."""
        if depth > _MAX_DEPTH:
            raise ShortFormError(f"more than {_MAX_DEPTH} objects inside each other")
        properties: dict[str, Json] = {}
        required: list[str] = []
        self._skip(_GAP)
        while self.position < len(self.text) and self.text[self.position] != "}":
            name, optional, schema = self._field(several_lines, depth)
            if name in properties:
                raise ShortFormError(f"the field {name!r} is there twice")
            properties[name] = schema
            if not optional:
                required.append(name)
            if self.position < len(self.text) and self.text[self.position] not in ",\n}":
                raise self._error("a type, ':' and a description, or a comma")
            self._skip(_GAP)
        if not properties:
            raise self._error("the name of a field")
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def _field(self, several_lines: bool, depth: int) -> tuple[str, bool, Json]:
        name = self._word()
        arrays, optional = 0, False
        while True:
            self._skip(_SPACE)
            if self.text.startswith("[]", self.position):
                arrays, self.position = arrays + 1, self.position + 2
            elif self.text.startswith("?", self.position):
                optional, self.position = True, self.position + 1
            else:
                break
        schema = self._element(depth + 1) or dict(TYPES["str"])
        for _ in range(arrays):
            schema = {"type": "array", "items": schema}
        self._skip(_SPACE)
        if self.text.startswith(":", self.position):
            self.position += 1
            if description := self._description(several_lines, depth):
                schema["description"] = description
        return name, optional, schema

    def _element(self, depth: int) -> dict[str, Json] | None:
        """An object in braces or alternatives; None where there is neither."""
        if self.text.startswith("{", self.position):
            opening = self.position
            self.position += 1
            self._skip(_SPACE)
            schema = self._fields(self.text.startswith("\n", self.position), depth)
            if self.position >= len(self.text):
                raise ShortFormError(f"'{{' at character {opening + 1} is never closed")
            self.position += 1
            return schema
        if self.position >= len(self.text) or self.text[self.position] in ",:}\n":
            return None
        start = self.position
        alternatives = [self._alternative()]
        self._skip(_SPACE)
        if not self.text.startswith("|", self.position):
            self._refuse_unknown_type(alternatives[0], start)
        while self.text.startswith("|", self.position):
            self.position += 1
            self._skip(_SPACE)
            alternatives.append(self._alternative())
            self._skip(_SPACE)
        return _union(alternatives)

    def _alternative(self) -> tuple[str, Json]:
        """`("type", name)` or `("literal", value)`."""
        quoted = self.text.startswith('"', self.position)
        word = self._word()
        if quoted:
            return "literal", word
        if word in TYPES:
            return "type", word
        if _NUMBER.match(word):
            return "literal", json.loads(word)
        if word in ("true", "false"):
            return "literal", word == "true"
        return "literal", word

    def _refuse_unknown_type(self, alternative: tuple[str, Json], start: int) -> None:
        """A lone bare word is a misspelt type; an enum of one value is written in quotes."""
        word = alternative[1]
        if alternative[0] == "type" or not isinstance(word, str) or self.text.startswith('"', start):
            return
        near = _SYNONYMS.get(word) or next(iter(get_close_matches(word, TYPES, 1)), None)
        hint = f"did you mean {near}?" if near else f"types are {', '.join(TYPES)}"
        raise ShortFormError(f"{word!r} at character {start + 1} is no type; {hint}")

    def _word(self) -> str:
        """A name, a bare word or a JSON string."""
        if quoted := _STRING.match(self.text, self.position):
            self.position = quoted.end()
            try:
                return str(json.loads(quoted.group()))
            except ValueError as error:
                raise ShortFormError(f"{quoted.group()} is no JSON string") from error
        bare = _NAME.match(self.text, self.position)
        if bare is None:
            raise self._error("a name")
        self.position = bare.end()
        return bare.group()

    def _description(self, several_lines: bool, depth: int) -> str:
        self._skip(_SPACE)
        if quoted := _STRING.match(self.text, self.position):
            after = _SPACE.match(self.text, quoted.end())
            end = after.end() if after else quoted.end()
            if end == len(self.text) or self.text[end] in ",}\n":
                self.position = end
                return str(json.loads(quoted.group()))
        stops = ("\n" if several_lines else "\n,") + ("}" if depth else "")
        start = self.position
        while self.position < len(self.text) and self.text[self.position] not in stops:
            self.position += 1
        return self.text[start : self.position].strip().rstrip(",").rstrip()

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.position)
        self.position = found.end() if found else self.position

    def _error(self, wanted: str) -> ShortFormError:
        if self.position >= len(self.text):
            return ShortFormError(f"{wanted} is missing at the end")
        found = self.text[self.position : self.position + 20].split("\n")[0]
        return ShortFormError(f"{wanted} is missing before {found!r} at character {self.position + 1}")


def _union(alternatives: list[tuple[str, Json]]) -> dict[str, Json]:
    """The schema of one or several alternatives."""
    types = [dict(TYPES[str(value)]) for kind, value in alternatives if kind == "type"]
    literals = [value for kind, value in alternatives if kind == "literal"]
    if len(types) == 1 and not literals:
        return {**types[0]}
    if not types:
        return {"enum": literals}
    if all(value["type"] == "null" for value in types):
        return {"enum": [*literals, None]}
    if not literals and all(len(value) == 1 for value in types):
        return {"type": [value["type"] for value in types]}
    return {"anyOf": [*types, *([{"enum": literals}] if literals else [])]}


def write_short_form(schema: Json) -> str:
    """The short form of a schema that `parse_short_form` makes, in one line. Raises ShortFormError for others."""
    if _is(schema, "array"):
        return f"[]{_element_text(cast(_Schema, schema)['items'])}"
    return _fields_text(schema)


_Schema = dict[str, Json]


def _is(schema: Json, kind: str) -> bool:
    return isinstance(schema, dict) and schema.get("type") == kind


def _fields_text(schema: Json) -> str:
    if not _is(schema, "object") or not isinstance(properties := cast(_Schema, schema).get("properties"), dict):
        raise ShortFormError("only objects with properties have a short form")
    required = cast("list[str]", cast(_Schema, schema).get("required", []))
    return ", ".join(_field_text(name, part, name in required) for name, part in properties.items())


def _field_text(name: str, schema: Json, required: bool) -> str:
    if not isinstance(schema, dict):
        raise ShortFormError(f"the field {name!r} has no short form")
    description = schema.get("description")
    arrays = ""
    while _is(schema, "array"):
        arrays, schema = arrays + "[]", cast(_Schema, schema)["items"]
    element = _element_text(schema)
    text = _name_text(name) + arrays + ("" if required else "?") + ("" if element == "str" else f" {element}")
    if description is None:
        return text
    plain = isinstance(description, str) and re.fullmatch(r"[^\s,{}\"][^,{}\"\n\r]*(?<!\s)", description)
    return f"{text}: {description if plain else json.dumps(description, ensure_ascii=False)}"


def _element_text(schema: Json) -> str:
    if not isinstance(schema, dict):
        raise ShortFormError("a schema of any value has no short form")
    if "properties" in schema:
        return f"{{{_fields_text(schema)}}}"
    plain = {key: value for key, value in schema.items() if key != "description"}
    options = plain["anyOf"] if plain.keys() == {"anyOf"} else [plain]
    return "|".join(text for option in cast("list[_Schema]", options) for text in _alternatives(option))


def _alternatives(schema: _Schema) -> list[str]:
    """A schema's types or values, as the alternatives of a field."""
    if schema.keys() == {"enum"}:
        values = cast("list[Json]", schema["enum"])
        lone = len(values) == 1
        return [_literal_text(value, lone) for value in values]
    kinds = schema.get("type")
    schemas = [{"type": kind} for kind in kinds] if isinstance(kinds, list) and len(schema) == 1 else [schema]
    names = [next((name for name, known in TYPES.items() if known == one), None) for one in schemas]
    if None in names:
        raise ShortFormError(f"{json.dumps(schema)[:60]} has no short form")
    return cast("list[str]", names)


def _literal_text(value: Json, lone: bool) -> str:
    if isinstance(value, str):
        bare = _NAME.fullmatch(value) and not _NUMBER.match(value) and value not in (*TYPES, "true", "false")
        return value if bare and not lone else json.dumps(value, ensure_ascii=False)
    text = json.dumps(value)
    if value is not None and not isinstance(value, bool) and not _NUMBER.match(text):
        raise ShortFormError(f"the value {text} has no short form")
    return text


def _name_text(name: str) -> str:
    return name if _NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)
