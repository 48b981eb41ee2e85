"""What the short form writes, it reads; and examples lead to a form that allows them."""

from __future__ import annotations

import json

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from gptcli.constraints.infer import infer_schema
from gptcli.constraints.short_form import TYPES, parse_short_form, write_short_form

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
names = st.one_of(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), texts.filter(bool))
literals = st.one_of(
    texts, st.sampled_from(["int", "1", "true", "a b", "|"]), st.integers(-99, 99), st.booleans(), st.just(2.5)
)
plain = st.one_of(
    st.sampled_from([dict(value) for value in TYPES.values()]),
    st.lists(literals, min_size=1, max_size=4, unique_by=json.dumps).map(lambda values: {"enum": values}),
    st.lists(st.sampled_from(["string", "integer", "null"]), min_size=2, max_size=3, unique=True).map(
        lambda kinds: {"type": kinds}
    ),
)


def objects(elements: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[dict[str, object]]:
    fields = st.dictionaries(
        names, st.tuples(elements, st.booleans(), st.none() | texts.filter(bool)), min_size=1, max_size=4
    )
    return fields.map(_object)


def _object(fields: dict[str, tuple[dict[str, object], bool, str | None]]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {
            name: {**schema, "description": text} if text is not None else schema
            for name, (schema, _, text) in fields.items()
        },
        "required": [name for name, (_, required, _) in fields.items() if required],
        "additionalProperties": False,
    }


def arrays(elements: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[dict[str, object]]:
    return elements.map(lambda items: {"type": "array", "items": items})


elements = st.recursive(plain, lambda inner: st.one_of(objects(inner), arrays(inner)), max_leaves=6)


@given(objects(elements))
def test_what_is_written_is_read_back(schema: dict[str, object]) -> None:
    text = write_short_form(schema)
    assert "\n" not in text
    assert parse_short_form(text) == schema


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(names, values, min_size=1, max_size=4), min_size=1, max_size=5))
def test_a_form_from_examples_is_a_form(examples: list[dict[str, object]]) -> None:
    schema = infer_schema(examples)
    assert parse_short_form(write_short_form(schema)) == schema


def test_examples_tell_types_choices_formats_and_what_is_optional() -> None:
    examples = [
        {"id": n, "when": f"2024-01-0{1 + n}", "kind": "ab"[n % 2], "price": n / 2, "tags": ["x"] * n, "by": by}
        for n, by in enumerate([{"name": "A"}, {"name": "B", "mail": "b@example.org"}, None] * 3)
    ]
    schema = infer_schema(examples)
    form = "id int, when date, kind a|b, price float, tags[], by? {name, mail? email}"
    assert write_short_form(schema) == form
    for example in examples:
        if example["by"] is not None:
            jsonschema.validate(example, schema)
