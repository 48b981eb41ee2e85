"""The jinja2 environment that untrusted chat templates run in: immutable, without loaders, and metered.

It is the engine's only importer of jinja2 and is imported late. It knows nothing of messages and tokens.

A template can be bounded inside the process because everything that it does goes through a few gates, and each gate
charges a `Budget`: loop turns, calls, filters, tests, comparisons, operators, `~`, slices, list literals and what is
put out. jinja2 asks its sandbox about calls and operators only; the others are turned into calls by rewriting the
syntax tree (`ast_guard.py`). What could make a value much larger than what it is made of is refused before it is made, everything
else is charged once it is there. So a single gate is never passed at more than the cost of copying the room that is
left, and the clock, which is read at every gate, bounds the sum. A normal template pays some tens of microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import wraps
from types import BuiltinMethodType, GeneratorType, MethodType
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import LoopControlExtension
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace
from markupsafe import escape

from gptcli.prompt.ast_guard import Gates, Generation
from gptcli.prompt.budget import OBJECT, STEP, Budget, BudgetExceeded, scale, widest


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_METHODS: dict[type, frozenset[str]] = {
    str: _words(
        """capitalize casefold center count endswith expandtabs find format index isalnum isalpha isascii isdecimal
        isdigit islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip partition removeprefix
        removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase
        title upper zfill"""
    ),
    dict: _words("copy get items keys values"),
    list: _words("copy count index"),
    tuple: _words("count index"),
    range: _words("count index"),
    float: _words("is_integer"),
    LoopContext: _words("changed cycle"),
}
_FILTERS = _words(
    """abs attr batch capitalize center count d default dictsort first float format groupby indent int items join last
    length list lower map max min reject rejectattr replace reverse round select selectattr slice sort string title trim
    truncate unique upper wordcount"""
)
"""jinja2's own, less those for web pages, those with random or unbounded results, and those written anew below."""
_GROWING = _words("batch center expandtabs format indent join ljust rjust slice string tojson truncate zfill")
"""Results of these filters and methods can be larger than all their input: it is the product that counts."""
_SPLITTING = _words("dictsort groupby list rsplit sort split splitlines title unique wordcount")
"""Results of these can have as many elements as a text has characters."""
_DANGEROUS_STRFTIME = 3  # digits: glibc pads `%999999999d` to as many


class Objection(TemplateError):
    """The template itself refuses the conversation (`raise_exception`)."""


class Sandbox(ImmutableSandboxedEnvironment):
    """jinja2 as Transformers sets it up for chat templates (transformers/utils/chat_template_utils.py), metered."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, meter: Budget, now: Callable[[], datetime]) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[LoopControlExtension, Generation],
            finalize=self._shown,
            optimized=False,  # nothing is computed before the clock runs
        )
        self.meter = meter
        self._now = now
        self.filters = {name: self._metered(name, FILTERS[name]) for name in _FILTERS}
        own: dict[str, Any] = {"tojson": _to_json, "safe": str, "e": _escaped, "escape": _escaped}
        self.filters |= {name: self._metered(name, function) for name, function in own.items()}
        self.tests = {name: self._metered(name, function) for name, function in TESTS.items()}
        self.globals = {
            "range": self.globals["range"],
            "dict": dict,
            "namespace": _Namespace,
            "raise_exception": _raise_exception,
            "strftime_now": self._strftime_now,
        }
        self._functions = tuple(self.globals.values())

    # What jinja2's compiler and sandbox call of their own accord.

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = Parser(self, source, name, filename).parse()
        Gates().visit(tree)
        return tree

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        self, function = __self, __obj
        owner = getattr(function, "__self__", None)
        if owner is self and function != self._strftime_now:
            return function(*args)  # a gate
        self.meter.spend(STEP)
        if isinstance(function, LoopContext):
            args = tuple(self.meter.steps(argument) for argument in args)  # `recursive` loops
        name = _method_name(function)
        if name is not None:
            named = {key: value for key, value in kwargs.items() if not key.startswith("_")}  # jinja2 adds some
            self._foresee(name, _owner(function), args, named)
        elif not (function in self._functions or isinstance(function, (Macro, LoopContext, BlockReference, Undefined))):
            raise BudgetExceeded(f"calls {type(function).__name__} {getattr(function, '__name__', '')!r}")
        return self.meter.made(super().call(__context, function, *args, **kwargs), OBJECT)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        meter = self.meter
        if operator == "*":
            if not (_is_number(left) and _is_number(right)):
                meter.afford(scale(meter, [left]) * scale(meter, [right]))
        elif operator == "**":
            size = left.bit_length() * abs(right) if isinstance(left, int) and isinstance(right, int) else 0
            meter.afford(size)
        elif operator == "%" and isinstance(left, str):
            self._foresee("format", left, (right,), {})
        result = super().call_binop(context, operator, left, right)
        if operator == "+" and isinstance(result, (list, tuple)):
            meter.note(result, meter.weight(left) + meter.weight(right))  # without looking at every element again
        return meter.made(result)

    def _shown(self, value: Any) -> Any:
        """Every expression that is put out."""
        if isinstance(value, str):
            self.meter.spend(STEP)
            return value
        self.meter.afford(self.meter.weight(value))
        return self.meter.made(str(value))

    def concat(self, pieces: Iterable[str]) -> str:
        """What a macro, a `set` block or a `call` block has put out, in one piece."""
        pieces = list(pieces)
        self.meter.spend(STEP + sum(map(len, pieces)))
        return "".join(pieces)

    # What the gates in the tree call.

    def steps(self, items: Iterable[Any]) -> Iterator[Any]:
        return self.meter.steps(items)

    def grown(self, value: Any) -> Any:
        return self.meter.made(value)

    def joined(self, *values: Any) -> str:
        return self.concat([value if isinstance(value, str) else str(self._shown(value)) for value in values])

    # Functions, filters and tests.

    def _metered(self, name: str, function: Any) -> Callable[..., Any]:
        @wraps(function, updated=("__dict__",) if hasattr(function, "__dict__") else ())
        def metered(*args: Any, **kwargs: Any) -> Any:
            if name == "join":  # whose length cannot be foreseen before all its parts are there
                args = tuple(
                    list(self.meter.steps(argument)) if isinstance(argument, (Iterator, range)) else argument
                    for argument in args
                )
            subject = next((at for at, argument in enumerate(args) if not isinstance(argument, _CONTEXTS)), 0)
            self._foresee(name, args[subject] if args else "", args[subject + 1 :], kwargs)
            result = function(*args, **kwargs)
            if isinstance(result, GeneratorType):
                return self.meter.steps(result)
            return self.meter.made(result, OBJECT)

        return metered

    def _foresee(self, name: str, subject: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        meter = self.meter
        if name == "replace" and isinstance(subject, str) and len(args) >= 2:
            old, new = str(args[0]), str(args[1])
            meter.afford(len(subject) + (len(subject) // max(1, len(old)) + 1) * len(new))
        elif name in _SPLITTING and isinstance(subject, str):
            meter.afford(OBJECT * len(subject))
        elif name in _GROWING:
            factor = widest(subject) if name == "format" and isinstance(subject, str) else 1
            arguments = [*args, *kwargs.values()]
            meter.afford((meter.weight(subject) + 1) * scale(meter, arguments) * factor)

    def _strftime_now(self, format: str) -> str:
        if len(format) > 1000 or widest(format) >= 10**_DANGEROUS_STRFTIME:
            raise BudgetExceeded("asks for a date of absurd width")
        return self._now().strftime(format)


_CONTEXTS = (Context, nodes.EvalContext, Sandbox)


class _Namespace(Namespace):
    def __repr__(self) -> str:
        return "<Namespace>"  # jinja2's prints its contents, which may hold a namespace that holds one


def _method_name(function: Any) -> str | None:
    """The name of a method that templates may call."""
    owner, name = _owner(function), getattr(function, "__name__", "")
    for kind, names in _METHODS.items():
        if isinstance(owner, kind):
            return name if name in names else None
    return None


def _owner(function: Any) -> Any:
    function = getattr(function, "__wrapped__", function)  # the sandbox wraps `str.format`
    return function.__self__ if isinstance(function, (BuiltinMethodType, MethodType)) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML escapes, with the arguments that Transformers' `tojson` takes."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _escaped(value: Any) -> str:
    return str(escape(value))


def _raise_exception(message: str) -> None:
    raise Objection(str(message))
