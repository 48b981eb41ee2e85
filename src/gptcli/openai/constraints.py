"""Parses the fields of a request that say what its answer must be: OpenAI's, llama-server's and vLLM's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from gptcli.errors import InvalidRequest, UsageError
from gptcli.types import JSON_OBJECT, Constraint, ConstraintKind


def _response_format(name: str, value: object) -> Constraint | None:
    """https://platform.openai.com/docs/guides/structured-outputs. `strict` changes nothing: every schema is kept.

    A schema beside `json_object` is llama-server's form, which is older than `json_schema`."""
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise InvalidRequest(f"{name} must be an object with a type.", param=name)
    kind, more = value["type"], {key for key, given in value.items() if given is not None} - {"type"}
    if kind in ("text", "json_object") and not more:
        return None if kind == "text" else JSON_OBJECT
    if kind == "json_object" and more == {"schema"}:
        return _json_schema(name, value["schema"])
    if kind != "json_schema" or more != {"json_schema"}:
        raise InvalidRequest(f"{name} {json.dumps(value)[:60]} is not supported.", code="unsupported", param=name)
    inner = value["json_schema"]
    if not isinstance(inner, Mapping) or inner.get("schema") is None:
        raise InvalidRequest(f"{name}: json_schema must be an object with a schema.", param=name)
    if unknown := inner.keys() - {"name", "description", "schema", "strict"}:
        raise InvalidRequest(f"{name}: json_schema has no field {min(unknown)[:40]!r}.", param=name)
    return _json_schema(name, inner["schema"])


def _json_schema(name: str, value: object) -> Constraint:
    from gptcli.constraints.schema import check_schema, parse_schema

    try:
        schema = check_schema(parse_schema(value.strip()) if isinstance(value, str) else value)
    except UsageError as error:
        message = " ".join(error.message.split()).rstrip(".?")  # it has a line for each problem
        raise InvalidRequest(f"{name}: {message}.", code="unsupported", param=name) from error
    return Constraint(ConstraintKind.JSON_SCHEMA, schema.text)


def _regex(name: str, value: object) -> Constraint:
    return Constraint(ConstraintKind.REGEX, _text(name, value))


def _choices(name: str, value: object) -> Constraint:
    choices = [choice.strip() for choice in value.split(",")] if isinstance(value, str) else value
    if not isinstance(choices, list) or not choices or not all(isinstance(one, str) and one for one in choices):
        raise InvalidRequest(f"{name} must be a list of texts, none of them empty.", param=name)
    return Constraint(ConstraintKind.CHOICE, json.dumps(choices))


def _grammar(name: str, value: object) -> Constraint:
    return grammar_constraint(_text(name, value))


def grammar_constraint(text: str) -> Constraint:
    """The constraint of a grammar. llguidance's Lark begins with a directive or the rule `start`; GBNF writes `::=`."""
    lines = [line.strip() for line in text.splitlines()]
    lark = "::=" not in text and any(line.startswith("%llguidance") or _is_start(line) for line in lines)
    return Constraint(ConstraintKind.LARK if lark else ConstraintKind.GBNF, text)


def _is_start(line: str) -> bool:
    return line.startswith("start") and line.removeprefix("start").lstrip().startswith(":")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{name} must be a text that is not empty.", param=name)
    return value


CONSTRAINTS: dict[str, Callable[[str, object], Constraint | None]] = {
    "response_format": _response_format,
    "json_schema": _json_schema,
    "grammar": _grammar,
    "regex": _regex,
    "choices": _choices,
}
"""Names of fields and what reads them; each raises InvalidRequest."""
DISTINCT = frozenset(("response_format", "json_schema", "grammar"))
"""Those that are no likely names of a data set's own columns."""
