"""Which schemas are kept, and what is said of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptcli.constraints.schema import SchemaError, check_schema, load_schema
from gptcli.errors import UsageError


def refused(schema: object, *, lenient: bool = False) -> list[str]:
    with pytest.raises(SchemaError) as raised:
        check_schema(schema, lenient=lenient)
    return list(raised.value.problems)


def test_a_schema_comes_as_json_as_a_file_or_in_the_short_form(tmp_path: Path) -> None:
    file = tmp_path / "person.json"
    file.write_text('\ufeff{"type": "integer"}', encoding="utf-8")
    assert load_schema(str(file)).source == {"type": "integer"}
    assert load_schema(' {"type": "null"}').source == {"type": "null"}
    assert json.loads(load_schema("name").text)["required"] == ["name"]
    file.write_text("name,\nage int")
    assert json.loads(load_schema(str(file)).text)["required"] == ["name", "age"]


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "latin.json"
    file.write_bytes(b'{"title": "\xff"}')
    with pytest.raises(UsageError, match="cannot be read"):
        load_schema(str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":', "not valid JSON"),
        ('{"const": NaN}', "not valid JSON"),
        ('{"const": 1e999}', "not valid JSON"),
        ('{"const": ' + "1" * 5000 + "}", "not valid JSON"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("age itn", "did you mean int"),
        ("", "neither a file nor JSON"),
        ("no\0file", "neither a file nor JSON"),
    ],
)
def test_what_is_no_schema_is_refused_without_a_traceback(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_schema(text)


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"typ": "string"}, "#/typ: unknown keyword; did you mean type?"),
        ({"properties": {"a": {"minLenght": 3}}}, "#/properties/a/minLenght: unknown keyword; did you mean minLength?"),
        ({"ref": "#"}, "#/ref: unknown keyword; did you mean $ref?"),
        ({"properties": {"a/b": {"zzzzz": 3}}}, "#/properties/a~1b/zzzzz: unknown keyword"),
        ({"minLength": "3"}, '#/minLength: must be a number from 0, not "3"'),
        ({"type": "int"}, "#/type: 'int' is no type; did you mean integer?"),
        ({"type": ["string", "nul"]}, "#/type: 'nul' is no type; did you mean null?"),
        ({"items": 3}, "#/items: must be a schema, not 3"),
        ({"properties": {"a": 3}}, "#/properties/a: must be a schema, not 3"),
        ({"$ref": "other.json"}, "#/$ref: 'other.json' is in another document; put it into $defs"),
        ({"$ref": "#/$defs/a"}, "#/$ref: '#/$defs/a' is nowhere in the schema"),
        ({"format": "datetime"}, "#/format: cannot be kept: the format 'datetime' is unknown; did you mean date-time?"),
        ({"contains": {"type": "null"}}, "#/contains: cannot be kept: llguidance cannot count items that match"),
        ({"uniqueItems": True}, "#/uniqueItems: cannot be kept: llguidance does not compare items"),
        ({"not": {"pattern": "a+"}}, "#/not: cannot be kept: pattern has no negation"),
        ({"nullable": True}, '#/nullable: is OpenAPI\'s, not JSON Schema\'s; write "type": ["string", "null"]'),
        ({"type": "integer", "const": 2**60}, f"#/const: cannot be kept: {2**60} is beyond 2⁵³"),
        (
            {"oneOf": [{"type": "integer"}, {"type": "number"}]},
            "#/oneOf: cannot be kept: options 0 and 1 overlap (the type integer has no negation)",
        ),
    ],
)
def test_each_problem_is_named_with_its_place(schema: object, problem: str) -> None:
    assert refused(schema) == [problem]


def test_all_problems_are_named_at_once() -> None:
    assert len(refused({"typ": 1, "properties": {"a": {"uniqueItems": True}, "b": {"format": "x"}}})) == 3


@pytest.mark.parametrize(
    "schema",
    [
        {"title": "t", "description": "d", "default": 1, "examples": [1], "$comment": "c", "deprecated": True},
        {"x-order": 1, "_meta": {}, "markdownDescription": "m", "readOnly": True},
        {"$defs": {"unused": {"typ": "string"}}},
        {"type": "integer", "format": "int64", "uniqueItems": True},
        {"nullable": False},
    ],
)
def test_what_says_nothing_of_a_text_passes(schema: object) -> None:
    assert check_schema(schema).dropped == ()


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"enum": []},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "string", "pattern": "^a$", "minLength": 2},
    ],
)
def test_a_schema_that_no_text_satisfies_is_refused(schema: object) -> None:
    with pytest.raises(SchemaError, match=r"(?i)no text satisfies"):
        check_schema(schema)


def test_lenient_leaves_out_what_it_can_and_lists_it() -> None:
    schema = {"type": "array", "uniqueItems": True, "items": {"type": "string", "format": "x", "typo": 1}}
    kept = check_schema(schema, lenient=True)
    assert json.loads(kept.text) == {"type": "array", "items": {"type": "string"}}
    assert {line.split(":")[0] for line in kept.dropped} == {"#/uniqueItems", "#/items/typo", "#/items/format"}
    assert refused({"$ref": "other.json"}, lenient=True)
    assert refused({"minLength": "3"}, lenient=True)


def test_what_would_never_end_is_taken_out_of_the_choices() -> None:
    endless = {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}
    schema = {"$defs": {"n": endless}, "anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}
    assert json.loads(check_schema(schema).text)["anyOf"] == [False, {"type": "null"}]
