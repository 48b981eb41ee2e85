"""Requests and events as lines of JSON, exactly, for a command and a server of the same version.

What a line may hold is read from the annotations of the dataclasses in `gptcli.types`, so a new field needs nothing
here. Bytes are base64. Text that is not UTF-8 keeps its lone surrogates, which JSON's escapes can write."""

from __future__ import annotations

import binascii
import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from gptcli import errors
from gptcli.errors import GptcliError, InvalidRequest

T = TypeVar("T")
Reader = Callable[[Any], Any]

_ERRORS: dict[str, type[GptcliError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, GptcliError)
}


class WireError(ValueError):
    """A line that does not hold what was expected."""


def dump(value: object) -> bytes:
    """The value as one line, with the newline that ends it."""
    return json.dumps(_plain(value), separators=(",", ":")).encode() + b"\n"


def load(kind: Any, line: bytes | str) -> Any:
    """The value of that type in a line. Raises WireError for anything else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise WireError(f"the line is not JSON: {problem}") from None
    try:
        return _reader(kind)(value)
    except (TypeError, ValueError, OverflowError) as problem:
        raise WireError(str(problem)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return binascii.b2a_base64(value, newline=False).decode()
    if isinstance(value, list | tuple | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, GptcliError):
        more = {"code": value.code, "param": value.param} if isinstance(value, InvalidRequest) else {}
        texts = {"message": value.message, "hint": value.hint, "log": value.log}
        return {"type": type(value).__name__, **texts, **more}
    if dataclasses.is_dataclass(value):
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    return value


@functools.cache
def _reader(kind: Any) -> Reader:
    """What turns JSON's value into one of the annotated type; it raises TypeError or ValueError."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is tuple and arguments[-1] is not ...:
        return _fixed(arguments)
    if origin in (tuple, list, frozenset):
        return _many(origin, _reader(arguments[0]))
    if kind in (object, Any):
        return lambda value: value
    if kind is bytes:
        return lambda value: binascii.a2b_base64(_exactly(str, value))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if isinstance(kind, type) and issubclass(kind, GptcliError):
        return _error
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    if kind is float:
        return lambda value: float(value if type(value) is int else _exactly(float, value))
    return lambda value: _exactly(kind, value)


def _exactly(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} was expected, not {type(value).__name__}")
    return value


def _fixed(kinds: tuple[Any, ...]) -> Reader:
    readers = [_reader(kind) for kind in kinds]

    def read(value: Any) -> Any:
        items = zip(readers, _exactly(list, value), strict=True)
        return tuple(reader(item) for reader, item in items)

    return read


def _many(collection: Callable[[list[Any]], Any], reader: Reader) -> Reader:
    return lambda value: collection([reader(item) for item in _exactly(list, value)])


def _union(kinds: tuple[Any, ...]) -> Reader:
    """Records by their name, other types in the order of the annotation."""
    records: dict[Any, Reader] = {}
    others: list[Reader] = []
    for kind in kinds:
        if dataclasses.is_dataclass(kind):
            records[getattr(kind, "__name__", None)] = _record(kind)
        else:
            others.append(_reader(kind))

    def read(value: Any) -> Any:
        if isinstance(value, dict) and value.get("type") in records:
            return records[value["type"]](value)
        for other in others:
            try:
                return other(value)
            except (TypeError, ValueError):
                continue
        raise TypeError(f"one of {', '.join(str(kind) for kind in kinds)} was expected")

    return read


def _record(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)}

    def read(value: Any) -> Any:
        fields = dict(_exactly(dict, value))
        if fields.pop("type", None) != kind.__name__:
            raise TypeError(f"{kind.__name__} was expected")
        if unknown := fields.keys() - readers.keys():
            raise TypeError(f"{kind.__name__} has no field {min(unknown)!r}")
        return kind(**{name: readers[name](item) for name, item in fields.items()})

    return read


def _error(value: Any) -> GptcliError:
    fields = dict(_exactly(dict, value))
    kind = _ERRORS[name] if (name := fields.pop("type", None)) in _ERRORS else GptcliError
    message = _exactly(str, fields.pop("message", None))
    if not all(item is None or isinstance(item, str) for item in fields.values()):
        raise TypeError("an error was expected")
    if kind is InvalidRequest:
        error: GptcliError = InvalidRequest(message, code=str(fields.get("code")), param=fields.get("param"))
        error.hint, error.log = str(fields.get("hint") or ""), str(fields.get("log") or "")
        return error
    return kind(message, str(fields.get("hint") or ""), log=str(fields.get("log") or ""))
