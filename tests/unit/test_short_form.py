"""The short form of a schema."""

from __future__ import annotations

import pytest

from gptcli.constraints.short_form import ShortFormError, parse_short_form


def test_fields_are_required_strings_unless_the_form_says_otherwise() -> None:
    assert parse_short_form("name, age int, note? : free, tags[]: what it is") == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "note": {"type": "string", "description": "free"},
            "tags": {"type": "array", "items": {"type": "string"}, "description": "what it is"},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        ("x a|b", {"enum": ["a", "b"]}),
        ("x a|null", {"enum": ["a", None]}),
        ('x "int"|"two words"', {"enum": ["int", "two words"]}),
        ("x 1|2.5|-3", {"enum": [1, 2.5, -3]}),
        ("x int|null", {"type": ["integer", "null"]}),
        ("x date|a", {"anyOf": [{"type": "string", "format": "date"}, {"enum": ["a"]}]}),
        ("x[][] int", {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
        ('x: "a, b"', {"type": "string", "description": "a, b"}),
        ("x: a: b", {"type": "string", "description": "a: b"}),
    ],
)
def test_a_field(form: str, schema: object) -> None:
    assert parse_short_form(form)["properties"] == {"x": schema}


def test_a_description_ends_at_the_comma_or_in_a_form_of_several_lines_at_the_line() -> None:
    one = parse_short_form("a: x, b")["properties"]
    several = parse_short_form("a: x, b\nc")["properties"]
    assert one == {"a": {"type": "string", "description": "x"}, "b": {"type": "string"}}
    assert several == {"a": {"type": "string", "description": "x, b"}, "c": {"type": "string"}}


def test_objects_nest_and_a_list_may_be_all() -> None:
    schema = parse_short_form("[]{who {name, born? date}, n int}")
    item = schema["items"]
    assert isinstance(item, dict)
    assert item["required"] == ["who", "n"]
    assert item["properties"]["who"]["required"] == ["name"]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("age integer", "'integer' at character 5 is no type; did you mean int?"),
        ("age itn", "'itn' at character 5 is no type; did you mean int?"),
        ("a, a", "the field 'a' is there twice"),
        ("a {b", "'{' at character 3 is never closed"),
        ("a }", "a comma or the end is missing before '}' at character 3"),
        ("", "the name of a field is missing at the end"),
        ("a {}", "the name of a field is missing before '}' at character 4"),
        ("a{" * 2000, "more than 64 objects inside each other"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(form: str, message: str) -> None:
    with pytest.raises(ShortFormError) as raised:
        parse_short_form(form)
    assert str(raised.value) == message
