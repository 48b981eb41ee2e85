"""What a schema does not allow, as a schema: for `not`, `if` and a `oneOf` whose options overlap.

llguidance has no negation. For the keywords that tell cases apart in practice there is an exact one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import cast

from gptcli.constraints.references import Place, References, UnknownReference
from gptcli.constraints.short_form import Json
from gptcli.constraints.vocabulary import TYPES, is_annotation, types_of

_MAX_DEPTH = 12
_MAX_VALUES = 200
LITERAL_PATTERN = re.compile(r"\^\(?([\w \-]+(?:\|[\w \-]+)*)\)?\$\Z")
"""A pattern that is a list of words."""


class Inexpressible(ValueError):
    """There is no schema without `not` for the negation; the message names the keyword in the way."""


def negate(place: Place, references: References, depth: int = 0, *, numbers: bool = True) -> Json:
    """A schema that allows exactly what `place` does not; without `numbers`, of the values that are no numbers.

    Raises Inexpressible."""
    schema = place.schema
    if isinstance(schema, bool):
        return not schema
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        raise Inexpressible("schemas nested so deeply")
    options: list[Json] = []
    for keyword, value in schema.items():
        if is_annotation(keyword) or keyword == "format":  # many validators ignore formats; this is valid by both kinds
            continue
        if keyword in _SCALARS:
            options.append(_SCALARS[keyword](value))
        elif keyword in ("enum", "const"):
            options += _other_values(value if keyword == "enum" else [value])
        elif keyword == "type":
            options += _other_types(value, numbers)
        elif keyword == "required":
            options += [{"type": "object", "properties": {name: False}} for name in cast("list[str]", value)]
        elif keyword == "properties":
            options += _other_properties(place, value, references, depth)
        elif keyword == "pattern":
            options.append(_other_pattern(cast(str, value)))
        elif keyword in ("allOf", "anyOf"):
            parts = [
                negate(place.child(part, keyword, index), references, depth + 1, numbers=numbers)
                for index, part in enumerate(cast("list[Json]", value))
            ]
            options += parts if keyword == "allOf" else [{"allOf": parts}]
        elif keyword == "not":
            options.append(value)
        elif keyword == "$ref":
            options.append(_other_reference(place, cast(str, value), references, depth, numbers))
        elif (keyword, value) not in (("additionalProperties", True), ("uniqueItems", False)):
            raise Inexpressible(keyword)
    options = [option for option in options if option is not False]
    return options[0] if len(options) == 1 else {"anyOf": options} if options else False


_SCALARS: dict[str, Callable[[Json], Json]] = {
    "minimum": lambda value: {"type": "number", "exclusiveMaximum": _limit(value)},
    "maximum": lambda value: {"type": "number", "exclusiveMinimum": _limit(value)},
    "exclusiveMinimum": lambda value: {"type": "number", "maximum": _limit(value)},
    "exclusiveMaximum": lambda value: {"type": "number", "minimum": _limit(value)},
    "minLength": lambda value: _below("string", "maxLength", value),
    "maxLength": lambda value: {"type": "string", "minLength": int(cast(int, value)) + 1},
    "minItems": lambda value: _below("array", "maxItems", value),
    "maxItems": lambda value: {"type": "array", "minItems": int(cast(int, value)) + 1},
    "minProperties": lambda value: _below("object", "maxProperties", value),
    "maxProperties": lambda value: {"type": "object", "minProperties": int(cast(int, value)) + 1},
}


def _limit(value: Json) -> Json:
    if isinstance(value, bool):  # draft 4
        raise Inexpressible("exclusiveMinimum")
    return value


def _below(kind: str, keyword: str, value: Json) -> Json:
    count = int(cast(int, value))
    return {"type": kind, keyword: count - 1} if count else False


def _other_types(value: Json, numbers: bool) -> list[Json]:
    named = set(types_of(value))
    if "integer" in named and "number" not in named:
        if numbers:  # of which those with a fraction are left
            raise Inexpressible("the type integer")
        named.add("number")
    named |= {"integer"} if "number" in named else set()
    others = [kind for kind in TYPES if kind not in named and kind != "integer"]
    return [{"type": others}] if others else []


def _other_values(value: Json) -> list[Json]:
    """Everything but the values of an enum."""
    values = cast("list[Json]", value)
    if len(values) > _MAX_VALUES or any(isinstance(item, (list, dict)) for item in values):
        raise Inexpressible("an enum of lists, of objects or of very many values")
    texts = [item for item in values if isinstance(item, str)]
    numbers = sorted({item for item in values if isinstance(item, (int, float)) and not isinstance(item, bool)})
    flags = [flag for flag in (False, True) if not any(item is flag for item in values)]
    whole = ["array", "object", *([] if None in values else ["null"]), *([] if texts else ["string"])]
    others: list[Json] = [{"type": [*whole, *([] if numbers else ["number"])]}]
    others += [{"enum": flags}] if flags else []
    others += [{"type": "string", "pattern": other_texts(texts)}] if texts else []
    if numbers:
        others.append({"type": "number", "exclusiveMaximum": numbers[0]})
        others += [
            {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": high}
            for low, high in itertools.pairwise(numbers)
        ]
        others.append({"type": "number", "exclusiveMinimum": numbers[-1]})
    return others


def other_texts(texts: list[str]) -> str:
    """A pattern of every text but these: at each character of them the way may part."""
    return f"^{_part(sorted(set(texts)), 0)}$"


def _part(texts: list[str], depth: int) -> str:
    """The ways on from a common beginning of `depth` characters."""
    if depth > 200:
        raise Inexpressible("an enum of long texts")
    by_next: dict[str, list[str]] = {}
    for text in texts:
        if len(text) > depth:
            by_next.setdefault(text[depth], []).append(text)
    anything = r"[\s\S]*"
    different = f"[^{''.join(map(_in_class, by_next))}]" if by_next else r"[\s\S]"
    ways = [different + anything]
    ways += [f"{re.escape(character)}{_part(rest, depth + 1)}" for character, rest in by_next.items()]
    may_end = not any(len(text) == depth for text in texts)
    return f"(?:{'|'.join(ways)}){'?' if may_end else ''}"


def _in_class(character: str) -> str:
    return f"\\{character}" if character in r"\]^-[&~" else character


def _other_pattern(pattern: str) -> Json:
    words = LITERAL_PATTERN.match(pattern)
    if words is None:
        raise Inexpressible("pattern")
    return {"type": "string", "pattern": other_texts(words.group(1).split("|"))}


def _other_properties(place: Place, value: Json, references: References, depth: int) -> list[Json]:
    others: list[Json] = []
    for name, schema in cast("dict[str, Json]", value).items():
        other = negate(place.child(schema, "properties", name), references, depth + 1)
        if other is not False:
            others.append({"type": "object", "properties": {name: other}, "required": [name]})
    return others


def _other_reference(place: Place, value: str, references: References, depth: int, numbers: bool) -> Json:
    try:
        target = references.resolve(value, place.base)
    except UnknownReference as error:
        raise Inexpressible(str(error)) from error
    if target.base != place.base:
        raise Inexpressible("a $ref to a schema with an $id of its own")
    return negate(target, references, depth + 1, numbers=numbers)
