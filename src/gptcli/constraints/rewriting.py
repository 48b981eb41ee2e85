"""Single keywords of JSON Schema, in the words that llguidance keeps."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from difflib import get_close_matches
from typing import cast

from gptcli.constraints.formats import FORMATS, NARROWER, PATTERNS, UNCHECKED
from gptcli.constraints.negation import LITERAL_PATTERN, Inexpressible
from gptcli.constraints.patterns import rust_pattern
from gptcli.constraints.references import Place, References, UnknownReference
from gptcli.constraints.short_form import Json
from gptcli.constraints.vocabulary import TYPES

Schema = dict[str, Json]

_MAX_SUBSETS = 64
_MAX_ORDERS = 5  # values of which every list without repetition is written out: 326
_MAX_MULTIPLE = 5_000  # llguidance's automaton has as many states: 5 s and 290 MB at 1,000,003
_MAX_EXACT = 2**53  # llguidance computes with floats of 64 bits
_MAX_COUNT = 1_000_000
_COUNTS = {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
_NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_SYNONYMS = {"int": "integer", "float": "number", "double": "number", "str": "string", "text": "string"}
_SYNONYMS |= {"bool": "boolean", "list": "array", "tuple": "array", "dict": "object", "map": "object", "none": "null"}


def wrong_type(name: str) -> str:
    """What is said of a type that JSON does not have."""
    near = _SYNONYMS.get(name.lower()) or next(iter(get_close_matches(name.lower(), TYPES, 1)), None)
    return f"{name!r} is no type" + (f"; did you mean {near}?" if near else f"; types are {', '.join(TYPES)}")


def assertion(keyword: str, value: Json, schema: Schema) -> tuple[str, Json]:
    """A keyword without schemas in it; its name is empty where it says nothing. Raises Inexpressible."""
    if keyword in _COUNTS:
        return keyword, _count(value)
    if keyword in _NUMBERS:
        return _limit(keyword, value, schema)
    if keyword == "multipleOf":
        return keyword, _multiple(value)
    if keyword in ("enum", "const"):
        return "enum", [_exact(item) for item in (cast("list[Json]", value) if keyword == "enum" else [value])]
    if keyword == "pattern":
        return keyword, rust_pattern(cast(str, value))
    if keyword == "format":
        return _format(cast(str, value))
    if keyword == "type":
        return keyword, value if isinstance(value, str) else list(dict.fromkeys(cast("list[str]", value)))
    if keyword == "uniqueItems" and not value:
        return "", None
    return keyword, value


def _count(value: Json) -> int:
    count = int(cast(float, value))
    if count > _MAX_COUNT:
        raise Inexpressible(f"{count:,} is above {_MAX_COUNT:,}")
    return count


def _limit(keyword: str, value: Json, schema: Schema) -> tuple[str, Json]:
    if isinstance(value, bool):  # draft 4: a flag beside minimum or maximum
        plain = "minimum" if keyword == "exclusiveMinimum" else "maximum"
        return (keyword, schema[plain]) if value and plain in schema else ("", None)
    if abs(cast(float, value)) >= 2**63:
        raise Inexpressible("numbers from 2⁶³ on")
    return keyword, value


def _multiple(value: Json) -> Json:
    digits = Decimal(str(value)).normalize().as_tuple()
    multiple = int("".join(map(str, digits.digits)))
    if multiple > _MAX_MULTIPLE or not -12 <= cast(int, digits.exponent) <= 12:
        raise Inexpressible(f"multiples of a number above {_MAX_MULTIPLE:,}, or with more than 12 decimals")
    return value


def _exact(value: Json) -> Json:
    """A value of an enum, which llguidance must write as it is. Raises Inexpressible."""
    if isinstance(value, list):
        return [_exact(item) for item in value]
    if isinstance(value, dict):
        return {name: _exact(item) for name, item in value.items()}
    if isinstance(value, float):
        if value.is_integer() and abs(value) <= _MAX_EXACT:
            return int(value)
        if not 1e-5 <= abs(value) <= _MAX_EXACT:
            raise Inexpressible(f"{value} has too many digits")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MAX_EXACT:
        raise Inexpressible(f"{value} is beyond 2⁵³")
    return value


def _format(name: str) -> tuple[str, Json]:
    if name in UNCHECKED:
        return "", None
    name = NARROWER.get(name, name)
    if name in PATTERNS:
        return "pattern", PATTERNS[name]
    if name not in FORMATS:
        near = get_close_matches(name, FORMATS, 1)
        raise Inexpressible(f"the format {name!r} is unknown" + (f"; did you mean {near[0]}?" if near else ""))
    return "format", name


def contains(schema: Schema) -> None:
    """`contains` is kept only where it says nothing. Raises Inexpressible."""
    if schema.get("minContains") != 0 or "maxContains" in schema:
        raise Inexpressible("llguidance cannot count items that match")


def evaluated_properties(place: Place, references: References, depth: int = 0) -> set[str]:
    """The names that a schema's `properties` know, here and in what it combines.

    Raises Inexpressible where that depends on the value."""
    schema = place.schema
    if not isinstance(schema, dict):
        return set()
    for keyword in ("patternProperties", "additionalProperties", "anyOf", "oneOf", "if", "dependentSchemas", "not"):
        if keyword in schema:
            raise Inexpressible(f"which properties are left depends on {keyword}")
    names = set(cast(Schema, schema.get("properties", {})))
    parts = [
        place.child(part, "allOf", index) for index, part in enumerate(cast("list[Json]", schema.get("allOf", [])))
    ]
    if isinstance(reference := schema.get("$ref"), str):
        try:
            parts.append(references.resolve(reference, place.base))
        except UnknownReference as error:
            raise Inexpressible(str(error)) from error
    for part in parts:
        if depth > 20:
            raise Inexpressible("which properties are left depends on a circle of references")
        names |= evaluated_properties(part, references, depth + 1)
    return names


def _unique(schema: Schema, source: Schema) -> list[Json]:
    """`uniqueItems`: nothing for lists of one; every list for a few values."""
    del schema["uniqueItems"]
    most = cast(float, schema.get("maxItems", math.inf))
    if most <= 1 or (schema.get("items") is False and len(cast("list[Json]", schema.get("prefixItems", []))) <= 1):
        return []
    values = _few_values(schema.get("items", True))
    if values is None or "prefixItems" in schema:
        raise Inexpressible("llguidance does not compare items")
    least = cast(int, schema.get("minItems", 0))
    lengths = range(least, int(min(most, len(values))) + 1)
    orders = [list(order) for length in lengths for order in itertools.permutations(values, length)]
    lists: Json = {"type": "array", "enum": orders}
    return [_for_type(schema, "array", lists)]


def _few_values(items: Json) -> list[Json] | None:
    """All values of a schema, if they are few and plain."""
    if not isinstance(items, dict) or items.keys() - {"type", "enum"}:
        return None
    values = items.get("enum", [False, True] if items.get("type") == "boolean" else None)
    if not isinstance(values, list) or len(values) > _MAX_ORDERS or any(isinstance(v, (list, dict)) for v in values):
        return None
    kinds = items.get("type")
    if kinds not in (None, "boolean", "string") or (kinds == "string" and not all(isinstance(v, str) for v in values)):
        return None
    return values


def _for_type(schema: Schema, kind: str, conjunct: Json) -> Json:
    """A conjunct that is only of values of one type."""
    if schema.get("type") == kind:
        return conjunct
    return {"anyOf": [{"type": [name for name in TYPES if name not in (kind, "integer")]}, conjunct]}


def _property_counts(schema: Schema, source: Schema) -> list[Json]:
    """`minProperties` and `maxProperties`, which llguidance keeps where all properties are required.

    It lets a free name come twice, and a parser counts it once: more than one free name cannot be demanded."""
    least, most = cast(int, schema.get("minProperties", 0)), cast(float, schema.get("maxProperties", math.inf))
    properties = cast(Schema, schema.get("properties", {}))
    required = list(dict.fromkeys(cast("list[str]", schema.get("required", []))))
    optional = [name for name, part in properties.items() if name not in required and part is not False]
    is_open = schema.get("additionalProperties", True) is not False or "patternProperties" in schema
    if least <= len(required):
        schema.pop("minProperties", None)
        least = 0
    if not is_open and most >= len(required) + len(optional):
        schema.pop("maxProperties", None)
        most = math.inf
    if not least and most == math.inf:
        return []
    if not optional and (least - len(required) <= 1 or most == len(required)):
        return []
    if is_open and (optional or least - len(required) > 1):
        return _open_counts(schema, optional, least - len(required), most)
    schema.pop("minProperties", None)
    schema.pop("maxProperties", None)
    sizes = range(max(least - len(required), 0), int(min(most - len(required), len(optional))) + 1)
    if sum(math.comb(len(optional), size) for size in sizes) > _MAX_SUBSETS:
        raise Inexpressible("there are too many ways to choose optional properties")
    cases: list[Json] = [
        {
            "type": "object",
            "required": list(chosen),
            "properties": {name: False for name in optional if name not in chosen},
        }
        for size in sizes
        for chosen in itertools.combinations(optional, size)
    ]
    return [_for_type(schema, "object", {"anyOf": cases} if cases else False)]


def _open_counts(schema: Schema, optional: list[str], missing: int, most: float) -> list[Json]:
    """At least one property, where names are free and some are optional: one of these, or none of them."""
    schema.pop("minProperties", None)
    schema.pop("maxProperties", None)
    if missing != 1 or most != math.inf or len(optional) > _MAX_SUBSETS:
        raise Inexpressible("llguidance does not count properties that may come twice or be absent")
    cases: list[Json] = [{"type": "object", "required": [name]} for name in optional]
    none_of_them = {"type": "object", "properties": dict.fromkeys(optional, False), "minProperties": 1}
    return [_for_type(schema, "object", {"anyOf": [*cases, none_of_them]})]


def _property_names(schema: Schema, source: Schema) -> list[Json]:
    """`propertyNames` as the only pattern of free names."""
    names = schema.pop("propertyNames")
    if names is True or (
        isinstance(names, dict) and names.keys() <= {"type"} and names.get("type", "string") == "string"
    ):
        return []
    if "patternProperties" in schema:
        raise Inexpressible("llguidance does not join it with patternProperties")
    free = schema.get("additionalProperties", True)
    properties = cast(Schema, schema.get("properties", {}))
    if isinstance(names, dict) and names.keys() <= {"type", "enum"} and isinstance(names.get("enum"), list):
        allowed = [name for name in cast("list[Json]", names["enum"]) if isinstance(name, str)]
        kept = {name: part if name in allowed else False for name, part in properties.items()}
        schema["properties"] = {**kept, **{name: free for name in allowed if name not in kept}}
        schema["additionalProperties"] = False
        return []
    pattern = _name_pattern(source["propertyNames"])
    if pattern is None:
        raise Inexpressible("only a pattern, lengths or an enum of names")
    try:
        schema["properties"] = {name: part if re.search(pattern, name) else False for name, part in properties.items()}
    except re.error as error:
        raise Inexpressible(f"its pattern: {error}") from error
    if not schema["properties"]:
        del schema["properties"]
    if free is not False:
        schema["patternProperties"] = {rust_pattern(pattern): free}
    schema["additionalProperties"] = False
    return []


def _name_pattern(names: Json) -> str | None:
    """The pattern of a schema of names that has only a pattern, or only lengths."""
    if not isinstance(names, dict) or names.get("type", "string") != "string":
        return None
    keys = names.keys() - {"type"}
    if keys == {"pattern"}:
        return cast(str, names["pattern"])
    if keys <= {"minLength", "maxLength"}:
        return rf"^[\s\S]{{{names.get('minLength', 0)},{names.get('maxLength', '')}}}$"
    return None


def _pattern_properties(schema: Schema, source: Schema) -> list[Json]:
    """Patterns that are lists of names become properties; of others, those with one schema are joined.

    llguidance would offer a name that is taken, and find no other (https://github.com/guidance-ai/llguidance/issues/265).
    It wants patterns of which no two match one name."""
    patterns = cast(Schema, schema.pop("patternProperties"))
    properties = dict(cast(Schema, schema.get("properties", {})))
    by_schema: dict[str, list[str]] = {}
    parts: dict[str, Json] = {}
    for pattern, part in patterns.items():
        if words := LITERAL_PATTERN.match(pattern):
            for name in words.group(1).split("|"):
                properties[name] = {"allOf": [properties[name], part]} if name in properties else part
        else:
            key = json.dumps(part)
            parts[key] = part
            by_schema.setdefault(key, []).append(pattern)
    joined = {_either(alike): parts[key] for key, alike in by_schema.items()}
    schema |= {"properties": properties} if properties else {}
    schema |= {"patternProperties": joined} if joined else {}
    return []


def _either(patterns: list[str]) -> str:
    return patterns[0] if len(patterns) == 1 else "|".join(f"(?:{pattern})" for pattern in patterns)


REWRITES: dict[str, Callable[[Schema, Schema], list[Json]]] = {
    "patternProperties": _pattern_properties,
    "uniqueItems": _unique,
    "propertyNames": _property_names,
    "minProperties": _property_counts,
    "maxProperties": _property_counts,
}
"""What is done with a translated schema that has the keyword; its source is given
too, and each returns further conjuncts."""
