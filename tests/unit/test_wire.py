"""Requests and events survive the way to a server and back; whatever else comes is refused."""

from __future__ import annotations

import dataclasses
import math
import typing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptcli import errors, types
from gptcli.errors import GptcliError, InvalidRequest
from gptcli.params import Sampling
from gptcli.runtime.wire import WireError, dump, load
from gptcli.types import Event, Failed, Prompt, Request, TextPrompt, TokenPrompt

_unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other programs may want the cores

_bytes = st.binary(max_size=20)
_text = _bytes.map(lambda data: data.decode("utf-8", "surrogateescape")) | st.text(max_size=20)
_json = st.recursive(st.none() | st.booleans() | st.integers() | _text, lambda inner: st.lists(inner, max_size=3))

st.register_type_strategy(str, _text)
st.register_type_strategy(float, st.floats(allow_nan=False))
st.register_type_strategy(object, _json)
_kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GptcliError)]
st.register_type_strategy(
    GptcliError,
    st.one_of(
        st.builds(InvalidRequest, _text, code=_text, param=st.none() | _text),
        *(st.builds(kind, _text, _text, log=_text) for kind in _kinds if kind is not InvalidRequest),
    ),
)


def _of(kind: object) -> st.SearchStrategy:
    """Values of a dataclass, with every field set."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: st.from_type(hints[field.name]) for field in dataclasses.fields(kind)})


for _kind in (*typing.get_args(Prompt), Sampling, types.Message, types.TokenInfo, types.Alternative):
    st.register_type_strategy(_kind, _of(_kind))


@_unhurried
@given(_of(Request))
def test_a_request_comes_back_as_it_was(request: Request) -> None:
    line = dump(request)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert load(Request, line) == request


def _comparable(event: Event) -> object:
    return (event.id, type(event.error), vars(event.error)) if isinstance(event, Failed) else event


@_unhurried
@given(st.one_of(*map(_of, typing.get_args(Event))))
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    found = load(Event, dump(event))
    assert type(found) is type(event)
    assert _comparable(found) == _comparable(event)


def test_numbers_that_json_has_no_word_for() -> None:
    request = Request("0", TokenPrompt((1,)), Sampling(logit_bias=((5, -math.inf), ("x", 0.1))))
    assert load(Request, dump(request)) == request


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[" * 100_000,
        b"{}",
        b"null",
        b'{"type":"Request"}',
        b'{"type":"Finished"}',
        dump(Request("0", TextPrompt(b"a"))).replace(b'"n":1', b'"n":"1"'),
        dump(Request("0", TextPrompt(b"a"))).replace(b'"n":1', b'"n":true'),
        dump(Request("0", TextPrompt(b"a"))).replace(b'"YQ=="', b'"Y"'),
        dump(Request("0", TextPrompt(b"a"))).replace(b'"n":1', b'"n":1,"more":1'),
        dump(Request("0", TokenPrompt((1, 2)))).replace(b"[1,2]", b"[1,2.5]"),
    ],
)
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(WireError):
        load(Request, line)
