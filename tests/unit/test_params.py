"""Every parameter has one range: flags, `/set`, batch rows, tables and OpenAI bodies accept the same values."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from parameter_flags import parsed

from gptcli.batch.request import RequestBuilder
from gptcli.batch.row import Row
from gptcli.chat.settings import Settings
from gptcli.errors import GptcliError
from gptcli.openai.request import parse_chat_completion, parse_completion
from gptcli.params import INT_MAX, PARAMS, SAMPLING_PARAMS, Kind, Param, ParamError
from gptcli.types import Request, TextPrompt

BASE = Request("0", TextPrompt(b""))
MESSAGES = [{"role": "user", "content": "x"}]
HUGE = 10**400
TEXTS = ["a", ["a"], ["a", ":"], "", [""], ["a", ""]]
OTHERS: dict[Kind, list[object]] = {
    Kind.BOOL: [True, False, 0, 1, "yes", "", math.nan],
    Kind.TEXT: ['root ::= "a"', "日本", ""],
    Kind.TEXTS: TEXTS,
    Kind.SAMPLERS: ["top_k;temp", "top-k; temperature", "top_q", "top_k;", "temp;temp", "nucleus"],
    Kind.BIAS: [
        {"15": amount} for amount in (1, -1.5, 0, -math.inf, math.inf, INT_MAX, 1e30, -1e30, math.nan, True, "much", "")
    ]
    + [{"99999999999": 1}, {str(2**31 - 1): 1}, {str(2**31): 1}],
}
REFUSED = [
    # What rows or flags took and the other refused, or both took though it makes no sense
    ("mirostat", 7),
    ("repeat_penalty", 0),
    ("repeat_last_n", -1),
    ("min_keep", -1),
    ("dynatemp_range", -3),
    ("typical_p", 5),
    ("xtc_probability", -3),
    ("xtc_threshold", 9),
    ("temperature", -1),
    ("max_tokens", 1_000_000_000_000),
    ("logit_bias", {"5": 1e30}),
    ("dry_base", 0),
    ("mirostat_tau", -1),
    ("top_k", -5),
]


def by_flag(param: Param, value: object) -> object:
    """What a command gets from a flag."""
    texts = value if isinstance(value, list) else [value]
    return parsed(*(part for text in texts for part in (param.flags[0], as_text(text))))[param.name]


def by_set(param: Param, value: object) -> object:
    """What `/set` changes in a chat."""
    settings = Settings()
    texts = value if isinstance(value, list) else [value]
    quoted = [f'"{as_text(text)}"' if param.kind is Kind.TEXTS else as_text(text) for text in texts]
    settings.change(f"parameter {param.name} {' '.join(quoted)}")
    return getattr(settings.sampling if param.name in SAMPLING_PARAMS else settings, param.name)


def by_row(param: Param, value: object) -> object:
    """What the field of a JSON row sets."""
    return built(param, RequestBuilder(BASE).build(Row(0, 1, 0, {"prompt": "x", param.name: value})))


def by_cell(param: Param, value: object) -> object:
    """What a table's column sets."""
    fields = {"prompt": "x", param.name: json.dumps(value) if isinstance(value, dict) else as_text(value)}
    row = Row(0, 1, 0, fields, cells=list(map(str, fields.values())))
    return built(param, RequestBuilder(BASE, columns=frozenset({param.name})).build(row))


def by_completion(param: Param, value: object) -> object:
    """What a field of a text completion's body sets."""
    return built(param, parse_completion("0", {"prompt": "x", param.name: value}, BASE))


def by_chat_completion(param: Param, value: object) -> object:
    """What a field of a chat completion's body sets."""
    return built(param, parse_chat_completion("0", {"messages": MESSAGES, param.name: value}, BASE))


def built(param: Param, request: Request) -> object:
    return getattr(request.sampling if param.name in SAMPLING_PARAMS else request, param.name)


def as_text(value: object) -> str:
    """A value as it is typed; a bias as TOKEN=BIAS."""
    if isinstance(value, dict):
        [(token, amount)] = value.items()
        return f"{token}={as_text(amount)}"
    return value if isinstance(value, str) else json.dumps(value)


Surface = Callable[[Param, object], object]
SURFACES: list[Surface] = [
    by_flag,
    by_set,
    by_row,
    by_cell,
    by_completion,
    by_chat_completion,
]


def surfaces(param: Param, value: object) -> Iterator[Surface]:
    """Those that have the parameter, and can be given a value of that kind."""
    for surface in SURFACES:
        if surface is by_set and (param.name in ("n", "logprobs") or value in ("", [""])):
            continue  # a chat has no use for the two; "" restores a default
        if surface is by_flag and param.kind is Kind.BOOL:
            continue  # a flag without a value
        if surface is by_cell and (isinstance(value, list) or value == ""):
            continue  # a cell is one text; an empty one changes nothing
        if surface in (by_row, by_cell, by_chat_completion) and param.name == "logprobs":
            continue  # true or false in a chat, which is tested elsewhere
        yield surface


def cases() -> Iterator[tuple[Param, object]]:
    for param in PARAMS.values():
        if param.kind in (Kind.INT, Kind.FLOAT):
            low, high = int(param.low) if param.kind is Kind.INT else param.low, param.high
            yield from ((param, value) for value in (low, high))
            if param.kind is Kind.INT:
                yield from ((param, value) for value in (low - 1, high + 1, 1.5, 2**63, -(2**63)))
            else:
                beyond = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
                yield from ((param, value) for value in (*beyond, 1e30, -1e30, 5e-324, -0.0))
            for value in (math.nan, math.inf, -math.inf, True, False, "warm", "", HUGE, -HUGE):
                yield param, value
        else:
            yield from ((param, value) for value in OTHERS[param.kind])
    yield from ((PARAMS[name], value) for name, value in REFUSED)


def outcome(surface: Surface, param: Param, value: object) -> object:
    """The value that arrives, or `refused`."""
    try:
        found = surface(param, value)
    except (GptcliError, typer._click.exceptions.UsageError):
        return "refused"
    return repr(found)  # 1 is not 1.0


@pytest.mark.parametrize(
    ("param", "value"), [*cases()], ids=lambda item: item.name if isinstance(item, Param) else repr(item)[:20]
)
def test_all_surfaces_accept_the_same_values_or_all_refuse(param: Param, value: Any) -> None:
    outcomes = {surface.__name__: outcome(surface, param, value) for surface in surfaces(param, value)}
    assert len(outcomes) > 1
    assert len(set(outcomes.values())) == 1, outcomes


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=str)
def test_what_was_accepted_by_mistake_is_refused(name: str, value: object) -> None:
    for surface in surfaces(PARAMS[name], value):
        assert outcome(surface, PARAMS[name], value) == "refused", surface.__name__


@pytest.mark.parametrize("param", [param for param in PARAMS.values() if param.kind in (Kind.INT, Kind.FLOAT)])
def test_both_ends_of_a_range_are_in_it(param: Param) -> None:
    kind = int if param.kind is Kind.INT else float
    for value in (kind(param.low), kind(param.high)):
        assert param.validate(value) == value
        for surface in surfaces(param, value):
            assert outcome(surface, param, value) != "refused", (surface.__name__, value)


@pytest.mark.parametrize("param", [*PARAMS.values()], ids=list(PARAMS))
def test_an_error_names_the_parameter_as_it_was_called(param: Param) -> None:
    with pytest.raises(ParamError, match=r"^--that-one"):
        param.validate(object(), "--that-one")


@pytest.mark.parametrize("digits", ["²", "٣", "１"])
def test_digits_of_other_scripts_are_text_in_a_bias(digits: str) -> None:
    assert by_flag(PARAMS["logit_bias"], {digits: 1}) == ((digits, 1.0),)


def test_a_bias_too_large_for_a_float_is_refused() -> None:
    for surface in (by_row, by_completion, by_chat_completion):
        assert outcome(surface, PARAMS["logit_bias"], {"15": HUGE}) == "refused"
