"""Every field of a row is honoured or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gptcli.batch.request import RequestBuilder, Template
from gptcli.batch.row import Code, Row
from gptcli.errors import InvalidRequest, UsageError
from gptcli.params import PARAMS, REQUEST_PARAMS, SAMPLING_PARAMS, Kind, Param, Sampling
from gptcli.types import ChatPrompt, Message, Request, TextPrompt, TokenPrompt

BASE = Request("", TextPrompt(b""), Sampling(temperature=0.5, chosen=frozenset({"temperature"})), max_tokens=9)
USER = {"role": "user", "content": "hi"}


def build(fields: dict[str, Any], **options: Any) -> Request:
    cells = options.pop("cells", None)
    return RequestBuilder(BASE, **options).build(Row(4, 5, 0, fields, None, cells))


def chat(**body: Any) -> dict[str, Any]:
    return {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "messages": [USER], **body},
    }


def completion(**body: Any) -> dict[str, Any]:
    return {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/completions",
        "body": {"model": "m", "prompt": "once", **body},
    }


def refused(fields: dict[str, Any], **options: Any) -> Code:
    with pytest.raises(InvalidRequest) as caught:
        build(fields, **options)
    assert caught.value.message.endswith(".")
    return Code(caught.value.code)


def test_a_line_without_parameters_has_the_defaults() -> None:
    request = build(chat())
    assert request.id == "4"
    assert request.prompt == ChatPrompt((Message("user", "hi"),))
    assert request.sampling is BASE.sampling
    assert request.max_tokens == 9


def test_every_field_of_a_chat_is_honoured() -> None:
    request = build(
        chat(
            max_completion_tokens=3,
            temperature=0,
            top_p=0.5,
            frequency_penalty=0.25,
            presence_penalty=-1,
            seed=2**32 + 5,
            stop=["a", "b"],
            n=2,
            logprobs=True,
            top_logprobs=5,
            logit_bias={"17": -100},
            user="somebody",
            stream=False,
            response_format={"type": "text"},
            tools=None,
            top_k=7,
        )
    )
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.0, 0.5, 7)
    assert (sampling.frequency_penalty, sampling.presence_penalty) == (0.25, -1.0)
    assert sampling.seed == 5
    assert sampling.logit_bias == ((17, -100.0),)
    assert sampling.chosen >= {"temperature", "top_p", "top_k", "seed", "logit_bias"}
    assert (request.max_tokens, request.stop, request.n, request.logprobs) == (3, ("a", "b"), 2, 5)


def test_minus_one_is_a_random_seed_and_no_limit() -> None:
    request = build(chat(seed=-1, max_tokens=-1))
    assert (request.sampling.seed, request.max_tokens) == (None, None)


def test_every_field_of_a_completion_is_honoured() -> None:
    request = build(completion(max_tokens=0, stop="\n", suffix="end", logprobs=3, best_of=2, n=2, echo=False))
    assert request.prompt == TextPrompt(b"once", b"end")
    assert (request.max_tokens, request.stop, request.logprobs, request.n) == (0, ("\n",), 3, 2)
    assert build(completion(prompt=[1, 2])).prompt == TokenPrompt((1, 2))
    assert build(completion(prompt=["one"])).prompt == TextPrompt(b"one")
    assert build(completion(prompt=[[1, 2]])).prompt == TokenPrompt((1, 2))


def test_a_schema_may_stand_beside_json_object_as_in_llama_server() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    theirs = build(chat(response_format={"type": "json_object", "schema": schema}))
    assert theirs.constraint is not None
    assert json.loads(theirs.constraint.text) == schema


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("response_format", {"type": "json_object", "schema": 123}),
        ("response_format", {"type": "json_schema", "json_schema": {"schema": {"type": "objet"}}}),
        ("response_format", {"type": "json_schema", "schema": {}}),
        ("response_format", {"type": "xml"}),
        ("tools", [{"type": "function"}]),
        ("tool_choice", "required"),
        ("stream", True),
        ("store", True),
        ("modalities", ["text", "audio"]),
        ("reasoning_effort", "low"),
        ("best_of", 3),
        ("never_heard_of", 1),
        ("messages", [{"role": "tool", "content": "x", "tool_call_id": "y"}]),
        ("messages", [{"role": "user", "content": "x", "name": "Ann"}]),
        ("messages", [{"role": "assistant", "content": None, "tool_calls": []}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
    ],
)
def test_an_unsupported_field_is_refused(name: str, value: object) -> None:
    assert refused(chat(**{name: value})) is Code.UNSUPPORTED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"),
        ("temperature", True),
        ("temperature", -1),
        ("temperature", float("inf")),
        ("temperature", 10**400),
        ("top_p", 1.5),
        ("top_k", 0.5),
        ("max_tokens", -2),
        ("max_tokens", 1.0),
        ("max_tokens", 10**30),
        ("n", 0),
        ("n", 10**6),
        ("seed", 0.5),
        ("seed", 1 << 64),
        ("stop", ""),
        ("stop", [1]),
        ("stop", "\ud83d"),
        ("logprobs", 5),
        ("top_logprobs", 5),
        ("logit_bias", [1]),
        ("logit_bias", {"word": 1}),
        ("logit_bias", {"1": "x"}),
        ("model", 7),
        ("messages", []),
        ("messages", "hi"),
        ("messages", ["hi"]),
        ("messages", [{"content": "x"}]),
        ("messages", [{"role": "user", "content": 1}]),
        ("messages", [{"role": "user", "content": "half \udc00"}]),
        ("messages", [{"role": "user", "content": [{"type": "text"}]}]),
    ],
)
def test_a_wrong_type_or_value_is_refused(name: str, value: object) -> None:
    assert refused(chat(**{name: value})) is Code.INVALID_REQUEST


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (completion(prompt=["a", "b"]), Code.UNSUPPORTED),
        (completion(prompt=[1, "b"]), Code.INVALID_REQUEST),
        (completion(prompt=[True]), Code.INVALID_REQUEST),
        (completion(prompt=[]), Code.INVALID_REQUEST),
        (completion(prompt=None), Code.MISSING_FIELD),
        (completion(echo=True, suffix="end"), Code.INVALID_REQUEST),
        (completion(echo="yes"), Code.INVALID_REQUEST),
        (completion(logprobs=True), Code.INVALID_REQUEST),
        (completion(logprobs=2, top_logprobs=2), Code.INVALID_REQUEST),
        (completion(suffix=1), Code.INVALID_REQUEST),
        (completion(prompt=[1], suffix="x"), Code.UNSUPPORTED),
        (chat(max_tokens=3, max_completion_tokens=4), Code.INVALID_REQUEST),
        (chat(messages=None), Code.MISSING_FIELD),
        (chat() | {"url": "/v1/embeddings"}, Code.UNSUPPORTED),
        (chat() | {"url": None}, Code.MISSING_FIELD),
        (chat() | {"method": "GET"}, Code.INVALID_REQUEST),
        (chat() | {"custom_id": 7}, Code.MISSING_FIELD),
        (chat() | {"body": "x"}, Code.INVALID_REQUEST),
        ({"question": "?"}, Code.MISSING_FIELD),
        ({"prompt": 7}, Code.INVALID_REQUEST),
        ({"prompt": "half \ud800"}, Code.INVALID_REQUEST),
    ],
)
def test_a_line_of_the_wrong_shape_is_refused(fields: dict[str, Any], code: Code) -> None:
    assert refused(fields) is code


def test_two_names_with_the_same_value_do_not_contradict_each_other() -> None:
    assert build(chat(max_tokens=4, max_completion_tokens=4)).max_tokens == 4


def test_parts_of_text_are_joined_and_a_developer_is_the_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request = build(chat(messages=[{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}]))
    assert request.prompt == ChatPrompt((Message("system", "be brief"), Message("user", "ab")))


def test_a_plain_object_has_parameters_and_fields_of_its_own() -> None:
    request = build({"prompt": "once", "label": {"x": 1}, "seed": 7, "temperature": None})
    assert request.prompt == TextPrompt(b"once")
    assert (request.sampling.seed, request.sampling.temperature) == (7, 0.5)
    assert build({"messages": [USER]}).prompt == ChatPrompt((Message("user", "hi"),))
    assert build({"text": "once"}, chat=True).prompt == ChatPrompt((Message("user", "once"),))


def test_the_system_prompt_is_added_to_conversations_without_one() -> None:
    assert build(chat(), system="S").prompt == ChatPrompt((Message("system", "S"), Message("user", "hi")))
    own = [{"role": "system", "content": "own"}, USER]
    assert build(chat(messages=own), system="S").prompt == ChatPrompt((Message("system", "own"), Message("user", "hi")))


def test_a_template_sees_the_fields() -> None:
    template = Template("{{ text }}|{{ row['two words'] }}|{{ file.name }}|{{ row }}")
    request = build({"text": "é", "two words": 2, "file": {"name": "f"}}, template=template)
    assert isinstance(request.prompt, TextPrompt)
    assert request.prompt.data.decode() == 'é|2|f|{"text": "é", "two words": 2, "file": {"name": "f"}}'


def test_a_fields_value_is_never_code() -> None:
    assert build({"text": "{{ 7 * 7 }}"}, template=Template("{{ text }}")).prompt == TextPrompt(b"{{ 7 * 7 }}")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("{{ missing }}", Code.MISSING_FIELD),
        ("{{ text.missing.more }}", Code.MISSING_FIELD),
        ("{{ 1 // number }}", Code.INVALID_REQUEST),
        ("{{ text + number }}", Code.INVALID_REQUEST),
        ("{{ text.__class__.__mro__ }}", Code.INVALID_REQUEST),
        ("{{ none_such | tojson }}", Code.MISSING_FIELD),
        ("{{ range(number + 10000000) | list }}", Code.INVALID_REQUEST),
    ],
)
def test_a_row_that_does_not_fit_the_template_is_refused(source: str, code: Code) -> None:
    assert refused({"text": "x", "number": 0}, template=Template(source)) is code


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ text.missing }}", "The row lacks what the template uses: a text has no attribute 'missing'."),
        ("{{ empty.upper() }}", "The row lacks what the template uses: null has no attribute 'upper'."),
        (
            "{{ empty + text }}",
            "The template does not fit the row: unsupported operand type(s) for +: null and a text.",
        ),
        (
            "{{ text + number }}",
            "The template does not fit the row: can only concatenate a text (not a number) to a text.",
        ),
        (
            "{{ text.__class__ }}",
            "The template does not fit the row: access to attribute '__class__' of a text is unsafe.",
        ),
        ("{{ 'a' in empty }}", "The template does not fit the row: argument of type null is not "),
        ("{{ text * 10**9 }}", "The template does not fit the row: it does more work than making "),
        (
            "{% for a in range(n) %}{% for b in range(n) %}{% endfor %}{% endfor %}",
            "The template does not fit the row: it ",
        ),
        ("{{ str }}", "The row lacks what the template uses: 'str' is undefined."),
    ],
)
def test_an_error_of_a_template_speaks_of_the_row_and_not_of_python(source: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        build({"text": "x", "number": 0, "empty": None, "n": 99999}, template=Template(source))
    assert caught.value.message.startswith(message)


def test_a_row_may_be_large_and_deep() -> None:
    text = "x" * 30_000_000
    assert build({"text": text}, template=Template("<{{ text }}>")).prompt == TextPrompt(b"<%s>" % text.encode())
    nested = json.loads('{"a":' * 900 + "1" + "}" * 900)
    assert refused({"text": nested}, template=Template("{{ row | tojson(indent=4) }}")) is Code.INVALID_REQUEST
    content = [{"text": "x" * 2_000_000}]
    prompt = build({"content": content}, template=Template("{{ content | tojson }}")).prompt
    assert prompt == TextPrompt(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("\n{% if %}", "line 2"),
        ("{{ 10**10000000 }}", "cannot be read: it does more work"),
        ('{{ "%s"|format(9**5000) }}', "cannot be read: it computes with integers"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "cannot be read: it is nested too deeply."),
        ('{{ "a" * 1000000000 }}', "cannot be read: it does more work"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "cannot be read: it "),
    ],
)
def test_a_template_that_cannot_be_read_is_refused_at_once(source: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Template(source)


def test_columns_of_a_table_are_parameters_only_if_named() -> None:
    fields = {"prompt": "once", "temperature": "0.25", "seed": "7", "stop": "7", "max_tokens": ""}
    assert build(fields, cells=[]).sampling is BASE.sampling
    request = build(fields, cells=[], columns=frozenset(fields) - {"prompt"})
    assert (request.sampling.temperature, request.sampling.seed) == (0.25, 7)
    assert (request.stop, request.max_tokens) == (("7",), 9)
    assert refused(fields | {"seed": "x"}, cells=[], columns=frozenset({"seed"})) is Code.INVALID_REQUEST


OUT_OF_RANGE = {
    "mirostat": 7,
    "repeat_penalty": 0,
    "xtc_threshold": 9,
    "top_k": -5,
    "dry_base": 0,
    "mirostat_tau": -1,
    "repeat_last_n": -1,
    "min_keep": -1,
    "dynatemp_range": -3,
    "typical_p": 5,
    "xtc_probability": -3,
    "adaptive_decay": 1,
    "n": 257,
    "logprobs": 1001,
}


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE.items())
def test_a_parameter_out_of_range_is_refused_in_every_kind_of_row(name: str, value: float) -> None:
    rows: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (completion(**{name: value}), {}),
        ({"prompt": "x", name: value}, {}),
        ({"prompt": "x", name: value}, {"template": Template("{{ prompt }}"), "columns": frozenset({name})}),
        ({"prompt": "x", name: str(value)}, {"columns": frozenset({name}), "cells": []}),
    ]
    for fields, options in rows:
        with pytest.raises(InvalidRequest, match=rf"^{name} must be a .*, not {value}\.$") as caught:
            build(fields, **options)
        assert (caught.value.code, caught.value.param) == ("invalid_request", name)


@pytest.mark.parametrize("param", PARAMS.values(), ids=lambda param: param.name)
def test_every_parameter_can_be_in_an_object_and_in_a_column(param: Param) -> None:
    value, cell = VALUES[param.kind]
    if param.high == 1 or param.name == "adaptive_decay":
        value, cell = 0.5, "0.5"
    for name in (param.name, *param.aliases):
        plain = build({"prompt": "x", name: value})
        column = build({"prompt": "x", name: cell}, columns=frozenset({name}), cells=[])
        body = build(completion(**{name: value}))
        assert plain.sampling == column.sampling == body.sampling
        holder = plain.sampling if param.name in SAMPLING_PARAMS else plain
        assert getattr(holder, param.name) == param.validate(value)
        assert param.name not in SAMPLING_PARAMS or param.name in plain.sampling.chosen
        assert [getattr(column, field) for field in REQUEST_PARAMS] == [getattr(plain, f) for f in REQUEST_PARAMS]


VALUES: dict[Kind, tuple[object, str]] = {
    Kind.INT: (2, "2"),
    Kind.FLOAT: (1.5, "1.5"),
    Kind.BOOL: (True, "true"),
    Kind.TEXT: ("root ::= [a-z]", "root ::= [a-z]"),
    Kind.TEXTS: ("7", "7"),
    Kind.SAMPLERS: ("top_k;temp", "top_k;temp"),
    Kind.BIAS: ({"17": -100}, '{"17": -100}'),
}
"""A value of each kind, and the same in a table's cell."""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (chat() | {"url": "/v1/embeddings"}, "url must be /v1/chat/completions or /v1/completions."),
        ({"question": "?"}, "The row has no field named prompt, messages or text."),
        (chat(tools=[1]), "tools [1] is not supported."),
        (chat(max_tokens=3, max_completion_tokens=4), "max_tokens and max_completion_tokens contradict each other."),
    ],
)
def test_errors_are_whole_sentences(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        build(fields)
    assert caught.value.message == message
