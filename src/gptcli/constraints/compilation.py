"""Whether llguidance can compile a constraint, in bounded time and memory.

Its constructor cannot be interrupted: multiples of two large primes take hours, 10,000 properties a minute. What is not
plainly ordinary is tried in a process of its own with limits first."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from gptcli.constraints.closing import shortest_ending
from gptcli.constraints.formats import PATTERNS
from gptcli.constraints.grammar import compile_grammar
from gptcli.constraints.patterns import rust_pattern
from gptcli.constraints.short_form import Json
from gptcli.constraints.tokens import bytes_tokenizer
from gptcli.errors import RequestError
from gptcli.types import Constraint, ConstraintKind

if TYPE_CHECKING:
    from llguidance import LLMatcher

Schema = dict[str, Json]

_SECONDS = 0.4  # of computing time, in a process of its own
_WALL_SECONDS = 2.0 if sys.platform == "win32" else 10.0  # where others want the processor too
_MEMORY = 192 << 20
_LONGEST = 1 << 16
_ORDINARY = {
    "schemas": 150,
    "enum": 1000,
    "multipleOf": 1000,
    "patternProperties": 4,
    "pattern": 1000,
    "minLength": 2000,
}
"""How much of each a schema has that is compiled here at once: 100 ms at most. Of patterns, the characters."""
_PLAIN = 4000
"""Characters of a constraint that is no schema, times its counts."""
_COUNT = re.compile(r"\{\s*(\d*)\s*,?\s*(\d*)\s*\}")
_EXCESS = "it takes more than"
_KNOWN_PATTERNS = frozenset(map(rust_pattern, PATTERNS.values())) | frozenset(PATTERNS.values())
_CHILD = "import sys; sys.path[:] = sys.path[not sys.path[0]:]; from gptcli.constraints.compilation import main; main()"
"""Without the working directory on the path, which may have files named like modules."""


def refusal(schema: Schema) -> str:
    """Why llguidance does not keep a translated schema; empty where it does."""
    text = json.dumps(schema, ensure_ascii=False)
    constraint = Constraint(ConstraintKind.JSON_SCHEMA, text)
    return compile_here(constraint) if _is_ordinary(schema) else _compile_apart(constraint)


def excess(constraint: Constraint) -> str:
    """What compiling a constraint that is no schema takes too much of; empty where it is within the limits."""
    is_schema = constraint.kind is ConstraintKind.JSON_SCHEMA  # those were checked before they became constraints
    if is_schema or _is_plain(constraint.text):
        return ""
    objection = _compile_apart(constraint)
    return objection if objection.startswith(_EXCESS) else ""


def compile_here(constraint: Constraint) -> str:
    """llguidance's objection to a constraint; empty where it has none."""
    try:
        error = _matcher(constraint).get_error()
    except RequestError as refused:
        return refused.message
    return _in_words(error) if error else ""


def shortest_answer(text: str) -> str | None:
    """The shortest text that a translated schema allows; None if none is found."""
    ending = shortest_ending(_matcher(Constraint(ConstraintKind.JSON_SCHEMA, text)), _LONGEST, patient=True)
    return None if ending is None else ending.decode("utf-8", "replace")


def _matcher(constraint: Constraint) -> LLMatcher:
    from gptcli.constraints.library import new_matcher

    return new_matcher(bytes_tokenizer(), compile_grammar(constraint))


def _in_words(error: str) -> str:
    """llguidance's message without its debugging aids."""
    first = error.split("\n<state>")[0].split("\n  while processing")[0].strip()
    if first.startswith("Unsatisfiable schema"):
        return f"no text satisfies it ({first.removeprefix('Unsatisfiable schema: ')})"
    if "recursion limit" in first:
        return "it is nested too deeply"
    if "patternProperty regexes" in first:
        return f"patternProperties: two patterns may match one name ({first})"
    if "regex parse error" in first or "regex" in first:
        return f"pattern: {' '.join(first.split())}"
    return f"llguidance: {' '.join(first.split())}"


def _compile_apart(constraint: Constraint) -> str:
    """`compile_here` in a process with limits."""
    import subprocess  # 6 ms that an ordinary schema need not wait for

    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, constraint.kind.value],
            input=constraint.text.encode("utf-8", "surrogatepass"),
            capture_output=True,
            timeout=_WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{_EXCESS} {_WALL_SECONDS:.0f} s to compile"
    if done.returncode:
        return f"{_EXCESS} {_SECONDS} s or {_MEMORY >> 20} MB to compile"
    return done.stdout.decode("utf-8", "replace")


def main() -> None:
    """The process of its own: the kind is its argument, the text on stdin, the objection on stdout."""
    text = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
    _limit()
    constraint = Constraint(ConstraintKind(sys.argv[1]), text)
    sys.stdout.buffer.write(compile_here(constraint).encode("utf-8", "replace"))


def _limit() -> None:
    """End this process by a signal when it has computed, or grown, too much."""
    import signal

    if sys.platform != "win32":  # where only the time that passes is limited
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)


def _is_plain(text: str) -> bool:
    """Whether a pattern, a grammar or a list of choices is compiled here at once: neither long, nor with what makes a
    short text large (counts and their products) or slow (Lark's `&` and `~`, schemas within a grammar)."""
    size = len(text)
    for least, most in _COUNT.findall(text):
        size *= max(1, int(least[:9] or 0), int(most[:9] or 0))
    return size <= _PLAIN and not any(mark in text for mark in ("&", "~", "%"))


def _is_ordinary(schema: Schema) -> bool:
    found = dict.fromkeys(_ORDINARY, 0)
    choices = 1
    for part in _objects(schema):
        found["schemas"] += 1
        for keyword, size in _sizes(part):
            found[keyword] += size
        if "allOf" in part and isinstance(part["allOf"], list):
            for conjunct in part["allOf"]:
                options = conjunct.get("anyOf") if isinstance(conjunct, dict) else None
                choices *= len(options) if isinstance(options, list) else 1
    return choices <= 64 and all(found[keyword] <= limit for keyword, limit in _ORDINARY.items())


def _sizes(part: Schema) -> Iterator[tuple[str, int]]:
    """How much an object adds to what `_ORDINARY` bounds; what is no keyword counts too."""
    for keyword in ("enum", "patternProperties"):
        if isinstance(value := part.get(keyword), (list, dict)):
            yield keyword, len(value)
    multiple = part.get("multipleOf")
    if isinstance(multiple, (int, float)):
        yield "multipleOf", int("".join(map(str, Decimal(str(multiple)).as_tuple().digits)))
    if isinstance(pattern := part.get("pattern"), str):
        yield "pattern", 50 if pattern in _KNOWN_PATTERNS else len(pattern) + 200 * pattern.count("{")
    for name in cast(Schema, part.get("patternProperties", {})) if "patternProperties" in part else ():
        yield "pattern", len(name) + 200 * name.count("{")
    lengths = [value for key in ("minLength", "maxLength") if isinstance(value := part.get(key), int)]
    if lengths and ("pattern" in part or "format" in part):
        yield "minLength", max(lengths)


def _objects(schema: Json) -> Iterator[Schema]:
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += [item for item in part if isinstance(item, (dict, list))]
