"""Renders untrusted templates within a budget of time and memory, in this process.

Each step of a template and each value that it makes is charged to the budget: loop turns, calls, filters, comparisons,
operators, slices, literals, output. What could be much larger than its parts is refused before it is made. So one step
takes no longer than copying what the budget has left, and the clock, read at every step, bounds their sum."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from time import monotonic, thread_time
from types import BuiltinMethodType, GeneratorType, MethodType
from typing import Any, Literal, TypeVar

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.ext import LoopControlExtension
from jinja2.filters import FILTERS
from jinja2.runtime import BlockReference, Context, LoopContext, Macro
from jinja2.sandbox import SandboxedEnvironment, modifies_known_mutable
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

T = TypeVar("T")
_words = str.split
_STEP, _REFERENCE = 20, 2  # costs in characters of 4 bytes: of a step or a small object, and of a place in a list
_MAX_INTEGER_BITS = 256
_CONTAINERS: Any = (list, tuple, dict, set, range, type({}.keys()), type({}.values()), type({}.items()))
_ADDING = _words("batch center ljust rjust slice truncate zfill")  # results grow by the size of the arguments
_MULTIPLYING = _words("** expandtabs indent join lstrip rfind rindex round rpartition rsplit rstrip strip tojson trim")
# Results or time grow by the product of the sizes of the subject and the arguments.
_FORMATTING = _words("% divisibleby even odd format format_map")  # these tests apply `%`, which formats a text
_WIDE = re.compile(r"%[-#+ 0\d.]*\*|[%)][-#+ .\d]*\d{5}")  # a width, computed or of more than four digits, for `%`
_WIDE_FIELD = re.compile(r"\{[^{}:]*:[^{}]*(\{|\d{5})")  # ... and for `str.format`
# Filters and methods of untrusted templates: none that writes, or whose result is random or cannot be weighed.
_PLAIN = _words("""abs attr capitalize casefold changed copy count cycle d default dictsort e endswith escape find
    first float format get groupby index int is_integer isalnum isalpha isascii isdecimal isdigit islower isnumeric
    isprintable isspace istitle isupper items keys last length list lower map max min partition reject rejectattr
    removeprefix removesuffix replace reverse select selectattr sort split splitlines startswith string swapcase title
    unique upper values wordcount""")
_ALLOWED = {*_PLAIN, *_ADDING, *_MULTIPLYING}

# jinja2's own prints its contents, which may hold a namespace that holds one
_Namespace = type("_Namespace", (Namespace,), {"__repr__": lambda self: "<Namespace>"})


class TemplateFailure(Exception):
    """A template is broken, lacks a variable, exceeds its budget (the message is a predicate), or refuses to render."""

    def __init__(self, kind: Literal["broken", "undefined", "limit", "refused"], message: str) -> None:
        super().__init__(message[:300])
        self.kind = kind


class Sandbox(SandboxedEnvironment):
    """Use `compile_template`, then `render`: whatever goes wrong, they raise TemplateFailure. One thread at a time.

    jinja2 is set up as Transformers does it for chat templates. A `trusted` template is the user's own: it may call all
    that jinja2's sandbox allows, keeps its white space, and a missing variable is an error. It has a budget as well."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, filters: Mapping[str, Any], functions: Mapping[str, Any], *, trusted: bool = False) -> None:
        """`filters` and `functions` come on top of jinja2's; their results must be no larger than their arguments."""
        super().__init__(trim_blocks=not trusted, lstrip_blocks=not trusted, optimized=False, finalize=self._text)
        self.add_extension(LoopControlExtension)
        self.undefined = StrictUndefined if trusted else Undefined
        self._trusted = trusted
        kept = {name: FILTERS[name] for name in FILTERS if trusted or name in _ALLOWED}
        self.filters = {name: self._bounded(name, function) for name, function in {**kept, **filters}.items()}
        self.filters["format"] = self._bounded("%", FILTERS["format"])
        self.filters |= {"charge ": self._charge, "iterate ": self._iterate}  # for `_ASTGuard`
        self.filters["join "] = lambda values: self.concat(map(self._text, values))
        self.tests = {name: self._bounded(name, function) for name, function in self.tests.items()}
        kept = self.globals if trusted else {"range": self.globals["range"], "dict": dict}
        self.globals = {**kept, "namespace": _Namespace, **functions}

    def compile_template(self, source: str) -> Template:
        """Computes constants, on a small budget. Its time grows with the square of the number of branches: a second
        for 48 KiB of nothing else. The message of a syntax error names the line."""
        # `{% generation %}` marks what the model wrote, for training; in a prompt it is a block like any other.
        source = re.sub(r"({%[-+]?\s*(?:end)?)generation(?=\s*[-+]?%})", r"\1with", source)
        with self._budget(len(source) * _STEP, 1.0):
            tree = _ASTGuard().visit(self.parse(source))
            return Template.from_code(self, self.compile(tree), self.globals)

    def render(self, template: Template, variables: Mapping[str, object], room: int, seconds: float) -> str:
        """The text. `room`: characters of up to 4 bytes that it may make on the way, each step counting as 20.
        `seconds`: of this thread's CPU time, so that a laptop that slept does not condemn a template."""
        with self._budget(room, seconds):
            return self.concat(self._iterate(template.root_render_func(template.new_context({**variables}))))

    @contextmanager
    def _budget(self, room: int, seconds: float) -> Iterator[None]:
        self._room = self._left = room
        self._start, self._deadline, self._seconds = thread_time(), monotonic() + seconds, seconds
        self._weights: dict[int, tuple[int, object]] = {}  # and the containers, so that their ids stay theirs
        try:
            yield
        except TemplateFailure:
            raise
        except Exception as error:  # noqa: BLE001 - a stranger's template can raise anything
            what = error.message if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
            line = f" (line {error.lineno})" if isinstance(error, TemplateSyntaxError) else ""
            missing = isinstance(error, UndefinedError)
            raise TemplateFailure("undefined" if missing else "broken", f"{what}{line}") from None

    def _spend(self, characters: int) -> None:
        """Charge for what has been made or done."""
        self._left -= characters
        if self._left < 0:
            raise TemplateFailure("limit", f"does more work than making {self._room:,} characters")
        if monotonic() > self._deadline:  # the cheaper clock, which is never behind that of the thread
            self._deadline = monotonic() + self._seconds - (thread_time() - self._start)
            if self._deadline <= monotonic():
                raise TemplateFailure("limit", f"runs for more than {self._seconds:.1f} seconds")

    def _afford(self, characters: int) -> None:
        """Refuse what would cost more than is left, before it is made."""
        if characters > self._left:
            self._spend(characters)

    def _charge(self, value: Any, place: int = _REFERENCE) -> Any:
        """Charge for a value that has just been made; `place` for each element, if it has any."""
        size = len(value) if isinstance(value, str) else 0
        if isinstance(value, _CONTAINERS):
            self._weight(value)
            size = place * len(value)
        elif isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS:
            raise TemplateFailure("limit", f"computes with integers of more than {_MAX_INTEGER_BITS} bits")
        self._spend(_STEP + size)
        return self._iterate(value) if isinstance(value, GeneratorType) else value

    def _iterate(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            self._spend(_STEP)
            yield item

    def _weight(self, value: Any) -> int:
        """Characters of `value` as text, with what it holds counted as often as it is held: nested lists can be small
        in memory and endless to print, compare or hash. Each level adds a sixteenth, because it may be indented."""
        if isinstance(value, str):
            return len(value)
        if not isinstance(value, _CONTAINERS):
            return _STEP
        if id(value) not in self._weights:
            total = sum(map(self._weight, [*value, *value.values()] if isinstance(value, dict) else value))
            self._weights[id(value)] = (total + total // 16 + len(value), value)
            self._left -= _STEP
            if total > self._room:
                raise TemplateFailure("limit", f"nests lists of more than {self._room:,} characters")
        return self._weights[id(value)][0]

    def _scale(self, arguments: Iterable[object]) -> int:
        """How far arguments can blow up what they are applied to: a number by its value, a text by its length."""
        return 1 + sum(abs(item) if isinstance(item, int) else self._weight(item) for item in arguments)

    def _foresee(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Refuse a result that would be too large, before it is made. Gives the arguments, with iterators listed."""
        if name == "join":
            args = tuple(list(self._iterate(arg)) if isinstance(arg, Iterator) else arg for arg in args)
        subject, *others = *args, *kwargs.values()
        if name == "*":
            numbers = isinstance(subject, (int, float)) and isinstance(others[0], (int, float))
            self._afford(0 if numbers else self._scale([subject]) * self._scale(others))
        elif name == "replace":
            texts = [str(other) for other in others]
            self._afford(max(str(subject).count(old) * len(new) for old in texts for new in texts))
        elif name in _FORMATTING:
            pattern = str(subject).replace("{{", "")
            wide, sign = (_WIDE_FIELD, "{") if "format" in name else (_WIDE, "%")
            if wide.search(pattern):
                raise TemplateFailure("limit", "formats with a width that is computed or over 9,999")
            self._afford(pattern.count(sign) * (10_000 + sum(map(self._weight, others))))
        elif name in _MULTIPLYING:
            self._afford(self._weight(subject) * (_STEP + self._scale(others)))
        else:
            self._afford(self._weight(subject) * _STEP + (self._scale(others) if name in _ADDING else 0))
        return args

    def _bounded(self, name: str, function: Any) -> Any:
        """A filter or a test that asks the budget."""
        first = int(hasattr(function, "jinja_pass_arg"))  # of its own arguments, after what jinja2 passes

        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            result = function(*args[:first], *self._foresee(name, args[first:], kwargs), **kwargs)
            return self._charge(result, _STEP)

        return bounded

    def _text(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        self._afford(self._weight(value))
        return self._charge(str(value))

    # What jinja2 calls.

    def concat(self, pieces: Iterable[str]) -> str:
        pieces = list(pieces)
        self._spend(_STEP + sum(map(len, pieces)))
        return "".join(pieces)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator != "+":
            self._foresee(operator, (left, right), {})
        return self._charge(self.binop_table[operator](left, right))

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        if self._trusted:
            self._weights.clear()  # the function may write
        if function is dict:  # which compares keys whose hashes are equal
            args = tuple(arg if isinstance(arg, dict) else self._iterate(arg) for arg in args)
        named = {key: kwargs[key] for key in kwargs if key[0] != "_"}  # jinja2 adds some with an underscore
        self._scale((*args, *named.values()))  # a macro may put them into its `varargs` and `kwargs`
        args = self._foresee(getattr(function, "__name__", ""), (_owner(function), *args), named)[1:]
        return self._charge(super().call(context, function, *args, **kwargs), _STEP)

    def is_safe_callable(self, obj: Any) -> bool:
        if self._trusted or isinstance(obj, (Macro, LoopContext, BlockReference, Undefined)):
            return super().is_safe_callable(obj)
        if (owner := _owner(obj)) is not None:
            return obj.__name__ in _ALLOWED and not modifies_known_mutable(owner, obj.__name__)
        return any(obj is function for function in self.globals.values())


class _ASTGuard(NodeTransformer):
    """Puts filters where jinja2 does not ask its sandbox. No template can name them, for the space in their names."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        node = super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.For):
            node.iter = _filter("iterate ", node.iter)
        elif isinstance(node, nodes.EvalContextModifier):
            raise TemplateSyntaxError("templates cannot use autoescape", node.lineno)
        elif isinstance(node, nodes.Concat):
            return _filter("join ", nodes.List(node.nodes, lineno=node.lineno))
        sliced = isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
        made = isinstance(node, (nodes.List, nodes.Tuple, nodes.Dict, nodes.Compare)) or sliced
        return _filter("charge ", node) if made and getattr(node, "ctx", "load") == "load" else node


def _filter(name: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _owner(function: Any) -> Any:
    function = getattr(function, "__wrapped__", function)  # the sandbox wraps `str.format`
    return function.__self__ if isinstance(function, (BuiltinMethodType, MethodType)) else None
