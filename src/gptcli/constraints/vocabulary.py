"""The words of JSON Schema, drafts 4 to 2020-12: what each keyword's value must be, and what says nothing of a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache

from gptcli.constraints.short_form import Json

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Json) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)  # type: ignore[operator,call-overload]


def _is_schema(value: Json) -> bool:
    return isinstance(value, (bool, dict))


def _are_texts(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


Check = tuple[str, Callable[[Json], bool]]
"""What a value must be, in words, and the test of it."""

_COUNT: Check = ("a number from 0", _is_count)
_NUMBER: Check = ("a number", _is_number)
_TEXT: Check = ("a text", lambda value: isinstance(value, str))
_TEXTS: Check = ("a list of texts", _are_texts)
_FLAG: Check = ("true or false", lambda value: isinstance(value, bool))
_LIST: Check = ("a list", lambda value: isinstance(value, list))
_SCHEMA: Check = ("a schema", _is_schema)
_SCHEMAS: Check = ("a list of schemas", lambda value: isinstance(value, list) and bool(value))
_MAP: Check = ("an object of schemas", lambda value: isinstance(value, dict))
_LIMIT: Check = ("a number", lambda value: _is_number(value) or isinstance(value, bool))
_ITEMS: Check = ("a schema", lambda value: _is_schema(value) or isinstance(value, list))
_TYPE: Check = ("the name of a type, or a list of them", lambda value: isinstance(value, str) or _are_texts(value))
_MULTIPLE: Check = ("a number above 0", lambda value: _is_number(value) and value > 0)  # type: ignore[operator]
_ANY: Check = ("anything", lambda value: True)

KEYWORDS: Mapping[str, Check] = {
    "$ref": _TEXT,
    "$dynamicRef": _TEXT,
    "$recursiveRef": _TEXT,
    "type": _TYPE,
    "enum": _LIST,
    "const": _ANY,
    "allOf": _SCHEMAS,
    "anyOf": _SCHEMAS,
    "oneOf": _SCHEMAS,
    "not": _SCHEMA,
    "if": _SCHEMA,
    "then": _SCHEMA,
    "else": _SCHEMA,
    "properties": _MAP,
    "patternProperties": _MAP,
    "additionalProperties": _SCHEMA,
    "propertyNames": _SCHEMA,
    "unevaluatedProperties": _SCHEMA,
    "required": _TEXTS,
    "dependentRequired": _MAP,
    "dependentSchemas": _MAP,
    "dependencies": _MAP,
    "minProperties": _COUNT,
    "maxProperties": _COUNT,
    "items": _ITEMS,
    "prefixItems": _SCHEMAS,
    "additionalItems": _SCHEMA,
    "unevaluatedItems": _SCHEMA,
    "contains": _SCHEMA,
    "minContains": _COUNT,
    "maxContains": _COUNT,
    "minItems": _COUNT,
    "maxItems": _COUNT,
    "uniqueItems": _FLAG,
    "minLength": _COUNT,
    "maxLength": _COUNT,
    "pattern": _TEXT,
    "format": _TEXT,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "exclusiveMinimum": _LIMIT,
    "exclusiveMaximum": _LIMIT,
    "multipleOf": _MULTIPLE,
}
"""The keywords that say which values are valid."""

_ANNOTATIONS = """
$schema $id id $anchor $dynamicAnchor $recursiveAnchor $vocabulary $comment $defs definitions title description default
examples deprecated readOnly writeOnly contentMediaType contentEncoding contentSchema
example externalDocs xml discriminator
markdownDescription enumDescriptions markdownEnumDescriptions enumNames deprecationMessage doNotSuggest suggestSortText
patternErrorMessage errorMessage defaultSnippets allowComments allowTrailingCommas enumTitles
tsType tsEnumNames tsAdditionalProperties
propertyOrder order order_position meta:enum javaType
strict x-guidance
"""
"""Line by line: JSON Schema's own; OpenAPI's (https://spec.openapis.org/oas/v3.1.0#schema-object); those of editors
(https://code.visualstudio.com/docs/languages/json) and of generators of code and forms; OpenAI's and llguidance's."""

ANNOTATIONS = frozenset(_ANNOTATIONS.split())
"""Keywords that say nothing of which values are valid. So do those that begin with `x-` or `_`."""

_KEYWORDS_OF = {
    "string": {"minLength", "maxLength", "pattern", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "array": {"items", "prefixItems", "additionalItems", "unevaluatedItems", "contains", "minContains", "maxContains"}
    | {"minItems", "maxItems", "uniqueItems"},
    "object": {"properties", "patternProperties", "additionalProperties", "propertyNames", "unevaluatedProperties"}
    | {"required", "dependentRequired", "dependentSchemas", "dependencies", "minProperties", "maxProperties"},
}
TYPE_OF: Mapping[str, str] = {keyword: kind for kind, keywords in _KEYWORDS_OF.items() for keyword in keywords}
"""The only type of values that a keyword looks at; `number` is also of integers."""


def is_annotation(keyword: str) -> bool:
    """Whether a keyword says nothing of which values are valid."""
    return keyword in ANNOTATIONS or keyword.startswith(("x-", "_"))


@lru_cache(maxsize=256)
def nearest(keyword: str) -> str | None:
    """The keyword that was probably meant, if one is near."""
    by_folded = {name.lower(): name for name in (*KEYWORDS, *ANNOTATIONS)}
    folded = keyword.lower().replace("_", "")
    near = get_close_matches(folded, by_folded, 1, 0.75) or get_close_matches(f"${folded}", by_folded, 1, 0.9)
    return by_folded[near[0]] if near else None


def types_of(value: Json) -> tuple[str, ...]:
    """The types that `type` names, with `number` split from `integer`; all of them where there is no `type`."""
    if value is None:
        return TYPES
    return (value,) if isinstance(value, str) else tuple(value)  # type: ignore[arg-type]
