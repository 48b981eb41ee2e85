"""Whether two schemas share a value: `oneOf` is `anyOf` where its options do not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import cast

from gptcli.constraints.short_form import Json
from gptcli.constraints.vocabulary import types_of

Schema = dict[str, Json]
Resolve = Callable[[str], Json]

_MAX_DEPTH = 8


def are_disjoint(one: Json, other: Json, resolve: Resolve, depth: int = 0) -> bool:
    """Whether it is certain that no value is valid by both; False where it is not known.

    Both are translations (`translation.py`); `resolve` gives the schema that one of their references means."""
    if one is False or other is False:
        return True
    if depth > _MAX_DEPTH or not isinstance(one, dict) or not isinstance(other, dict):
        return False
    for first, second in ((one, other), (other, one)):
        for part in _conjuncts(first, resolve):
            if are_disjoint(part, second, resolve, depth + 1):
                return True
        options = first.get("anyOf")
        if isinstance(options, list) and all(are_disjoint(part, second, resolve, depth + 1) for part in options):
            return True
    return _differ(one, other, resolve, depth)


def may_be_number(schema: Json, resolve: Resolve) -> bool:
    """Whether a translation may allow a number."""
    return not are_disjoint(schema, {"type": "number"}, resolve)


def _conjuncts(schema: Schema, resolve: Resolve) -> list[Json]:
    parts = list(cast("list[Json]", schema.get("allOf", [])))
    return [*parts, resolve(cast(str, schema["$ref"]))] if "$ref" in schema else parts


def _differ(one: Schema, other: Schema, resolve: Resolve, depth: int) -> bool:
    kinds = _kinds(one) & _kinds(other)
    if not kinds:
        return True
    if "enum" in one and "enum" in other:
        return not any(_same(a, b) for a, b in itertools.product(_values(one), _values(other)))
    # they share a type; then each type that they share must tell them apart
    tests = {"object": _objects_differ, "array": _arrays_differ, "number": _numbers_differ, "string": _texts_differ}
    return all(kind in tests and tests[kind](one, other, resolve, depth) for kind in kinds)


def _values(schema: Schema) -> list[Json]:
    return cast("list[Json]", schema["enum"])


def _same(one: Json, other: Json) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _kinds(schema: Schema) -> set[str]:
    """The types of a schema's values, with integers as numbers."""
    kinds = {"number" if kind == "integer" else kind for kind in types_of(schema.get("type"))}
    if "enum" in schema:
        kinds &= {_kind(value) for value in _values(schema)}
    return kinds


def _kind(value: Json) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _objects_differ(one: Schema, other: Schema, resolve: Resolve, depth: int) -> bool:
    required = set(_required(one)) | set(_required(other))
    if any(are_disjoint(_property(one, name), _property(other, name), resolve, depth + 1) for name in required):
        return True
    return _least(one, "minProperties", len(_required(one))) > _most(other, "maxProperties") or _least(
        other, "minProperties", len(_required(other))
    ) > _most(one, "maxProperties")


def _required(schema: Schema) -> list[str]:
    return cast("list[str]", schema.get("required", []))


def _property(schema: Schema, name: str) -> Json:
    """What a schema demands of a property, as far as it is plain to see."""
    properties = cast(Schema, schema.get("properties", {}))
    if name in properties:
        return properties[name]
    return True if "patternProperties" in schema else schema.get("additionalProperties", True)


def _arrays_differ(one: Schema, other: Schema, resolve: Resolve, depth: int) -> bool:
    least = max(_least(one, "minItems", 0), _least(other, "minItems", 0))
    if least > min(_most(one, "maxItems"), _most(other, "maxItems")):
        return True
    return any(
        are_disjoint(_item(one, index), _item(other, index), resolve, depth + 1) for index in range(min(int(least), 8))
    )


def _item(schema: Schema, index: int) -> Json:
    prefix = cast("list[Json]", schema.get("prefixItems", []))
    return prefix[index] if index < len(prefix) else schema.get("items", True)


def _least(schema: Schema, keyword: str, otherwise: float) -> float:
    return max(cast(float, schema.get(keyword, otherwise)), otherwise)


def _most(schema: Schema, keyword: str) -> float:
    return cast(float, schema.get(keyword, float("inf")))


def _numbers_differ(one: Schema, other: Schema, resolve: Resolve, depth: int) -> bool:
    return _range_ends_before(one, other) or _range_ends_before(other, one)


def _range_ends_before(one: Schema, other: Schema) -> bool:
    high = min(_most(one, "maximum"), _most(one, "exclusiveMaximum"))
    low = max(
        cast(float, other.get("minimum", float("-inf"))), cast(float, other.get("exclusiveMinimum", float("-inf")))
    )
    if "enum" in one:
        high = max((cast(float, value) for value in _values(one) if _kind(value) == "number"), default=float("-inf"))
    if "enum" in other:
        low = min((cast(float, value) for value in _values(other) if _kind(value) == "number"), default=float("inf"))
    if high != low:
        return high < low
    return one.get("exclusiveMaximum") == high or other.get("exclusiveMinimum") == low


def _texts_differ(one: Schema, other: Schema, resolve: Resolve, depth: int) -> bool:
    for first, second in ((one, other), (other, one)):
        if "enum" in first:
            texts = [value for value in _values(first) if isinstance(value, str)]
            low, high = _least(second, "minLength", 0), _most(second, "maxLength")
            if all(not low <= len(text) <= high for text in texts):
                return True
    return _least(one, "minLength", 0) > _most(other, "maxLength") or _least(other, "minLength", 0) > _most(
        one, "maxLength"
    )
