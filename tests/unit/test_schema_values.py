"""What a checked schema allows: the same values as `jsonschema` does, in the canonical form."""

from __future__ import annotations

import contextlib
import json
import random
import time
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher

from gptcli.constraints.closing import joined_ending, rest_of_ending, shortest_ending
from gptcli.constraints.compilation import shortest_answer
from gptcli.constraints.grammar import compile_grammar
from gptcli.constraints.library import new_matcher
from gptcli.constraints.schema import SchemaError, check_schema
from gptcli.constraints.tokens import bytes_tokenizer
from gptcli.types import Constraint, ConstraintKind

DATA = Path(__file__).parent.parent / "data/api_schemas.jsonl"
CASES = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
TOKENIZER = bytes_tokenizer()


def matcher_of(text: str) -> LLMatcher:
    matcher = new_matcher(TOKENIZER, compile_grammar(Constraint(ConstraintKind.JSON_SCHEMA, text)))
    assert not matcher.get_error()
    return matcher


def allows(matcher: LLMatcher, value: object) -> bool:
    data = list(json.dumps(value, ensure_ascii=False).encode())
    tried = matcher.deep_copy()
    return tried.try_consume_tokens(data) == len(data) and tried.is_accepting()


def validator(schema: object) -> jsonschema.protocols.Validator:
    """Of numbers as they are written: as floats, 0.3 is no multiple of 0.1."""
    schema = json.loads(json.dumps(schema), parse_float=Decimal)
    return jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)(schema)


def sample(matcher: LLMatcher, choose: random.Random, length: int) -> str:
    """A text of bytes chosen at random, ended as soon as possible after `length` of them."""
    state, text = matcher.deep_copy(), b""
    for _ in range(length):
        mask = state.compute_bitmask()
        allowed = [byte for byte in range(32, 256) if mask[byte >> 3] >> (byte & 7) & 1]
        if not allowed or (state.is_accepting() and choose.random() < 0.2):
            break
        byte = choose.choice(allowed)
        further = state.deep_copy()
        assert further.consume_token(byte)
        if shortest_ending(further, 4096) is None:
            continue
        state, text = further, text + bytes((byte,))
    ending = shortest_ending(state, 4096)
    assert ending is not None
    return (text + ending).decode()


def test_an_answer_with_many_long_constants_has_an_end() -> None:
    texts = {f"text_{index}": {"type": ["string", "null"], "format": "uri"} for index in range(40)}
    links = {
        f"link_{index}": {
            "type": "string",
            "format": "uri",
            "enum": [f"https://example.org/{index}/" + "of/things/" * 5],
        }
        for index in range(40)
    }
    schema = {"type": "object", "properties": texts | links, "required": [*texts, *links]}
    answer = shortest_answer(check_schema(schema).text)
    assert answer is not None
    assert validator(schema).is_valid(json.loads(answer))


def test_a_format_or_the_empty_text_leaves_the_format() -> None:
    """Who does not check formats finds the empty text valid by both, and so not by `oneOf`."""
    schema = {"oneOf": [{"type": "string", "format": "uri"}, {"type": "string", "enum": [""]}, {"type": "null"}]}
    matcher = matcher_of(check_schema(schema).text)
    assert [value for value in ("a:b", "", None, "b") if allows(matcher, value)] == ["a:b", None]


def test_an_ending_joins_the_last_one_after_a_change() -> None:
    """Without a search of the whole rest, which takes 20 ms for 3,000 bytes."""
    names = [f"name_{index}" for index in range(100)]
    rows = {"type": "array", "items": {"type": "object", "properties": {"at": {"format": "date"}}, "required": ["at"]}}
    properties = {"rows": rows} | {name: {"type": "string"} for name in names}
    schema = {"type": "object", "properties": properties, "required": ["rows", *names], "additionalProperties": False}
    state = matcher_of(check_schema(schema).text)
    last = shortest_ending(state, 65536)
    assert last is not None
    assert last.startswith(b'{"rows": [], ')
    begun = b'{"rows": [{"at": "19'
    assert state.consume_tokens(list(begun))
    assert rest_of_ending(state, last, begun) is None
    joined = joined_ending(state, last, 65536)
    assert joined is not None
    assert joined.endswith(last.removeprefix(b'{"rows": []'))
    assert validator(schema).is_valid(json.loads(begun + joined))


def test_options_that_share_only_null_are_told_apart() -> None:
    schema = {"oneOf": [{"type": ["string", "null"]}, {"type": ["integer", "null"]}]}
    matcher = matcher_of(check_schema(schema).text)
    assert [value for value in ("a", 1, None, True, 1.5) if allows(matcher, value)] == ["a", 1]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_schemas_of_apis_allow_what_is_valid_and_nothing_else(case: dict[str, object]) -> None:
    matcher = matcher_of(check_schema(case["schema"]).text)
    assert [value for value in case["valid"] if not allows(matcher, value)] == []
    assert [value for value in case["invalid"] if allows(matcher, value)] == []


def test_what_schemas_of_apis_produce_is_valid() -> None:
    choose = random.Random(14)
    for case in CASES:
        matcher, valid = matcher_of(check_schema(case["schema"]).text), validator(case["schema"])
        for length in (0, 20):
            value = json.loads(sample(matcher, choose, length), parse_float=Decimal)
            assert valid.is_valid(value), (case["name"], value)


small = st.integers(0, 3)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "ab", "x1", "2024-02-29"]))
name = st.sampled_from(["a", "b", "ab", "x-1", "é"])
pattern = st.sampled_from(["^a", "b$", "^[ab]*$", r"^\d+$", r"\W", "^a|b$", "^(a|b)$", "^x-", "[^a]", "(a{2}){2}"])


def schemas(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    kind = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
    several = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": kind | st.lists(kind, min_size=1, max_size=3, unique=True),
            "enum": st.lists(scalars, min_size=1, max_size=3),
            "const": scalars,
            "minimum": st.integers(-4, 4) | st.sampled_from([0.5, -1.25]),
            "exclusiveMaximum": st.integers(-4, 4),
            "multipleOf": st.sampled_from([1, 2, 3, 0.5, 0.1, 2.5]),
            "minLength": small,
            "maxLength": small,
            "pattern": pattern,
            "format": st.sampled_from(["date", "email", "uuid", "int32", "json-pointer"]),
            "minItems": small,
            "maxItems": small,
            "items": inner,
            "prefixItems": several,
            "uniqueItems": st.booleans(),
            "properties": st.dictionaries(name, inner, max_size=3),
            "patternProperties": st.dictionaries(pattern, inner, max_size=2),
            "additionalProperties": inner,
            "propertyNames": st.sampled_from([{"pattern": "^[a-z]+$"}, {"enum": ["a", "b"]}, {"maxLength": 2}]),
            "required": st.lists(name, max_size=2, unique=True),
            "minProperties": small,
            "maxProperties": small,
            "dependentRequired": st.dictionaries(name, st.lists(name, max_size=2), max_size=2),
            "unevaluatedProperties": inner,
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "$ref": st.just("#"),
        },
    )


# few keywords at a time, or nothing is satisfiable
arbitrary = st.recursive(
    st.booleans() | schemas(st.just(True)).map(lambda schema: dict(list(schema.items())[:3])),
    lambda inner: schemas(inner).flatmap(
        lambda schema: (
            st.lists(st.sampled_from(sorted(schema)), max_size=4, unique=True).map(
                lambda keys: {key: schema[key] for key in keys}
            )
            if schema
            else st.just({})
        )
    ),
    max_leaves=4,
)


@settings(max_examples=120, deadline=None)
@given(arbitrary, st.integers(0, 99))
def test_what_is_accepted_compiles_and_all_that_it_allows_is_valid(schema: object, seed: int) -> None:
    try:
        checked = check_schema(schema)
    except SchemaError:
        return
    matcher = matcher_of(checked.text)
    if (shortest := shortest_answer(checked.text)) is None:
        return  # the engine refuses it as well
    valid = validator(schema)
    assert valid.is_valid(json.loads(shortest, parse_float=Decimal)), shortest
    text = sample(matcher, random.Random(seed), 25)
    assert valid.is_valid(json.loads(text, parse_float=Decimal)), text


def nested(depth: int, wrap: str) -> object:
    schema: object = {"type": "integer"}
    for _ in range(depth):
        schema = {wrap: [schema, {"type": "null"}] if wrap.endswith("Of") else schema}
    return schema


def hostile() -> list[object]:
    """200 schemas made to hang or swell what reads them."""
    wide = {f"p{index}": {"type": "string", "format": "uri"} for index in range(3000)}
    chain = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)} | {"d40": {"type": "null"}}
    product = [{"anyOf": [{"properties": {f"{i}{j}": {"const": 1}}} for j in range(12)]} for i in range(12)]
    bombs = [
        "(a{1,1000}){1,1000}",
        "((a{1,99}){1,99}){1,99}",
        "(x+x+)+y",
        "(.*a){25}b",
        "(a|b)*a(a|b){60}",
        "(?=a)",
        "(a",
        "\\1",
    ]
    fixed: list[object] = [
        *({"type": "integer", "multipleOf": number} for number in (4999, 5003, 1000003, 10**15, 1e-13, 0.123456789)),
        {"allOf": [{"type": "integer", "multipleOf": 4999}, {"type": "integer", "multipleOf": 4993}]},
        *({"type": "number", "multipleOf": 10.0**-power, "minimum": 0.1, "maximum": 1e9} for power in range(14)),
        *({"type": "string", "pattern": bomb} for bomb in bombs),
        *({"type": "string", "pattern": bomb, "minLength": 500, "maxLength": 1000} for bomb in bombs),
        *({"patternProperties": {bomb: {}, "a+": {}}, "required": ["aa"]} for bomb in bombs),
        *({keyword: 10**power} for keyword in ("minLength", "minItems", "minProperties") for power in (3, 5, 6, 9, 30)),
        {"type": "array", "items": {"type": "array", "minItems": 9999}, "minItems": 9999},
        {"enum": [f"value {index}" for index in range(20_000)]},
        {"properties": wide, "required": list(wide)},
        {"patternProperties": {f"^p{index}x*$": {"type": "integer"} for index in range(150)}},
        {"$defs": chain, "$ref": "#/$defs/d0"},
        {"allOf": product},
        {"oneOf": [{"properties": {f"p{i}": {"type": "string"}}} for i in range(60)]},
        {"$ref": "#"},
        {"not": {"$ref": "#"}},
        {"if": {"$ref": "#"}, "then": False},
        {"oneOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"items": {"$ref": "#/items/items"}},
        {"$id": "http://[", "$ref": "x"},
        {"const": 10**4000},
        {"const": "\ud800"},
        {"properties": {"\ud800": True}, "required": ["\ud800"]},
        {"required": [f"r{index}" for index in range(5000)]},
        {"dependentRequired": {f"a{index}": ["b", "c"] for index in range(40)}},
        {"properties": {f"p{index}": True for index in range(40)}, "minProperties": 20},
        {"unevaluatedProperties": False, "allOf": [{"$ref": "#"}]},
        *(nested(depth, wrap) for depth in (10, 79, 81, 300) for wrap in ("not", "items", "allOf", "anyOf", "oneOf")),
    ]
    choose = random.Random(200)
    values = [
        None,
        True,
        -1,
        0,
        3,
        1e308,
        "",
        "a",
        "^",
        "#",
        [],
        [[]],
        {},
        {"type": []},
        {"$ref": "#"},
        [{}],
        10**40,
        "#/x",
    ]
    words = sorted(vocabulary())
    while len(fixed) < 200:
        fixed.append({word: choose.choice(values) for word in choose.sample(words, choose.randint(1, 6))})
    return fixed


def vocabulary() -> set[str]:
    from gptcli.constraints.vocabulary import ANNOTATIONS, KEYWORDS

    return set(KEYWORDS) | ANNOTATIONS


def test_hostile_schemas_are_refused_or_kept_without_a_traceback_or_a_hang() -> None:
    cases = hostile()
    assert len(cases) >= 200
    took: list[tuple[float, str]] = []
    for schema in cases:
        began = time.process_time()
        with contextlib.suppress(SchemaError):
            check_schema(schema)
        took.append((time.process_time() - began, repr(schema)[:100]))
    assert max(took)[0] < 2, max(took)
