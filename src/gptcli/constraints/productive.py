"""Schemas that no finite text satisfies, for they contain themselves without a way out."""

from __future__ import annotations

from typing import cast

from gptcli.constraints.short_form import Json
from gptcli.constraints.vocabulary import types_of

Schema = dict[str, Json]


def without_endless(schema: Schema) -> Json:
    """A translated schema with `false` for every reference to what has no finite text; `false` if that is all of it.

    llguidance would begin such a text and never end it."""
    definitions = cast(Schema, schema.get("$defs", {}))
    ends: set[str] = set()
    grew = True
    while grew:  # the least fixed point; the last definitions are the innermost, so that few rounds are needed
        grew = False
        for name, definition in reversed(definitions.items()):
            if name not in ends and _ends(definition, ends):
                ends.add(name)
                grew = True
    if not _ends(schema, ends):
        return False
    if len(ends) == len(definitions):
        return schema
    return _pruned({**schema, "$defs": {name: definitions[name] for name in definitions if name in ends}}, ends)


def _ends(schema: Json, ends: set[str]) -> bool:
    """Whether some text satisfies a schema, if those of `ends` are known to have one; true where it is not plain."""
    if not isinstance(schema, dict):
        return schema is not False
    if isinstance(reference := schema.get("$ref"), str) and reference.removeprefix("#/$defs/") not in ends:
        return False
    if not all(_ends(part, ends) for part in cast("list[Json]", schema.get("allOf", []))):
        return False
    if "anyOf" in schema and not any(_ends(part, ends) for part in cast("list[Json]", schema["anyOf"])):
        return False
    if "enum" in schema:
        return bool(schema["enum"])
    kinds = types_of(schema.get("type"))
    return any(_kind_ends(kind, schema, ends) for kind in kinds)


def _kind_ends(kind: str, schema: Schema, ends: set[str]) -> bool:
    if kind == "object":
        properties, patterns = cast(Schema, schema.get("properties", {})), "patternProperties" in schema
        free = True if patterns else schema.get("additionalProperties", True)
        required = cast("list[str]", schema.get("required", []))
        return all(_ends(properties.get(name, free), ends) for name in required)
    if kind == "array":
        prefix, least = cast("list[Json]", schema.get("prefixItems", [])), cast(int, schema.get("minItems", 0))
        return all(_ends(part, ends) for part in prefix[:least]) and (
            least <= len(prefix) or _ends(schema.get("items", True), ends)
        )
    return True


def _pruned(value: Json, ends: set[str]) -> Json:
    if isinstance(value, list):
        return [_pruned(item, ends) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str) and reference.removeprefix("#/$defs/") not in ends:
        return False
    return {key: part if key == "enum" else _pruned(part, ends) for key, part in value.items()}
