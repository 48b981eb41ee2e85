"""Schemas that others wrote: which are kept, and whether every answer of a small model to them is valid.

Each kept schema is sampled (ten times) at temperature 1.5, half of them with a limit a few tokens above the shortest
answer. The answers are validated by `jsonschema`, with numbers as they are written (as floats, 0.3 is no multiple of
0.1). The valid values of the JSON Schema test suite must be allowed, in the canonical forms of docs/structured.md."""

from __future__ import annotations

import decimal
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
from llguidance import LLMatcher

from bench import flags
from bench.foreign_schemas import ForeignSchema, collect
from bench.results import Check, Row, machine, publish, versions
from gptcli.constraints import matcher as matchers
from gptcli.constraints.compilation import shortest_answer
from gptcli.constraints.grammar import compile_grammar
from gptcli.constraints.library import new_matcher
from gptcli.constraints.schema import JsonSchema, SchemaError, check_schema
from gptcli.constraints.tokens import bytes_tokenizer
from gptcli.models.progress import Silent
from gptcli.params import Sampling
from gptcli.runtime import EngineOptions
from gptcli.runtime.loader import EngineLoader
from gptcli.types import Constraint, ConstraintKind, Delta, Engine, Failed, Finished, Request, TextPrompt

FREE_TOKENS = 100
"""Room beyond the shortest answer, where the limit is not meant to cut."""
_DIGITS = 2000
"""More than the numbers of an answer have, so that their multiples are exact."""
CUT_TOKENS = (0, 1, 3, 6, 12)
"""Room where it is."""


@dataclass(slots=True)
class Case:
    """A schema that is kept."""

    foreign: ForeignSchema
    checked: JsonSchema
    shortest: str


@dataclass(slots=True)
class Tally:
    """What came out."""

    answers: Counter[str] = field(default_factory=Counter)
    """Answers by how they ended: finished, closed at the limit, failed."""
    invalid: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def check(schemas: Iterable[ForeignSchema]) -> tuple[list[Case], list[tuple[ForeignSchema, str]], float]:
    """Those that are kept, those that are refused with the reason, and the longest time that a check took, in s."""
    kept: list[Case] = []
    refused: list[tuple[ForeignSchema, str]] = []
    longest = 0.0
    for foreign in schemas:
        began = time.perf_counter()
        try:
            checked = check_schema(foreign.schema)
            longest = max(longest, time.perf_counter() - began)
            shortest = shortest_answer(checked.text)
            if shortest is None:
                refused.append((foreign, "no short text found"))
            else:
                kept.append(Case(foreign, checked, shortest))
        except SchemaError as error:
            refused.append((foreign, error.problems[0] if error.problems else error.message))
        longest = max(longest, time.perf_counter() - began)
    return kept, refused, longest


def generate(engine: Engine, cases: list[Case], samples: int) -> Tally:
    """So many answers to each schema, validated."""
    tally = Tally()
    texts: dict[str, list[str]] = {}
    for event in engine.stream(_requests(engine, cases, samples)):
        if isinstance(event, Delta):
            texts.setdefault(event.id, []).append(event.text)
        elif isinstance(event, Failed):
            tally.answers["failed"] += 1
            tally.failed.append(f"{_case(cases, event.id).foreign.name}: {event.error.message}")
            print(f"failed: {tally.failed[-1]}", file=sys.stderr)
        elif isinstance(event, Finished):
            tally.answers["closed" if event.closed else event.reason.value] += 1
            done = tally.answers.total()
            if done % 50 == 0:
                print(f"{done} of {samples * len(cases)} answers", file=sys.stderr)
            case, text = _case(cases, event.id), "".join(texts.pop(event.id, []))
            if problem := _problem(case.foreign.schema, text):
                tally.invalid.append(f"{case.foreign.source}, {case.foreign.name}: {problem}: {text[:200]}")
                print(f"INVALID: {tally.invalid[-1]}", file=sys.stderr)
    return tally


def _case(cases: list[Case], request_id: str) -> Case:
    return cases[int(request_id.partition("-")[0])]


def _requests(engine: Engine, cases: list[Case], samples: int) -> Iterator[Request]:
    for index, case in enumerate(cases):
        least = len(engine.tokenize(case.shortest.encode())) + 1  # and the end
        constraint = Constraint(ConstraintKind.JSON_SCHEMA, case.checked.text)
        for seed in range(samples):
            room = CUT_TOKENS[(index + seed // 2) % len(CUT_TOKENS)] if seed % 2 else FREE_TOKENS
            sampling = Sampling(temperature=1.5, seed=seed, top_k=0, top_p=1, min_p=0)
            prompt = TextPrompt(f"{case.foreign.name} as JSON: ".encode())
            yield Request(f"{index}-{seed}", prompt, sampling, max_tokens=least + room, constraint=constraint)


def _problem(schema: Any, text: str) -> str:
    """Why a text is no valid answer; empty if it is one."""
    try:
        value = json.loads(text, parse_float=_number)
    except ValueError as error:
        return f"no JSON ({error})"
    exact = json.loads(json.dumps(schema), parse_float=_number)
    validator = jsonschema.validators.validator_for(exact, default=jsonschema.Draft202012Validator)(exact)
    with decimal.localcontext() as context:
        context.prec = _DIGITS
        return next((error.message for error in validator.iter_errors(value)), "")


def _number(digits: str) -> Decimal | float:
    try:
        return Decimal(digits)
    except ArithmeticError:  # an exponent beyond Decimal's
        return float(digits)


def time_searches() -> list[float]:
    """The seconds of computing that each search of an ending takes from now on, where nothing is left of the last."""
    joined, shortest, found = matchers.joined_ending, matchers.shortest_ending, []
    failed = 0.0
    """Seconds of a search for an ending that joins the last one, where none was found, so that another follows."""

    def timed_joined(matcher: LLMatcher, last: bytes, most: int) -> bytes | None:
        nonlocal failed
        began = time.thread_time()
        ending = joined(matcher, last, most)
        failed = time.thread_time() - began
        if ending is not None:
            found.append(failed)
            failed = 0.0
        return ending

    def timed_shortest(matcher: LLMatcher, most: int, *, patient: bool = False) -> bytes | None:
        nonlocal failed
        began = time.thread_time()
        ending = shortest(matcher, most, patient=patient)
        if not patient:  # the first one, of the constraint itself, is part of its check
            found.append(failed + time.thread_time() - began)
            failed = 0.0
        return ending

    matchers.joined_ending, matchers.shortest_ending = timed_joined, timed_shortest
    return found


def kept_by_llguidance(schemas: Iterable[ForeignSchema]) -> Counter[str]:
    """How many of each source llguidance alone accepts, as it is, with its own defaults."""
    found: Counter[str] = Counter()
    for foreign in schemas:
        try:
            grammar = LLMatcher.grammar_from_json_schema(json.dumps(foreign.schema))
        except ValueError:
            continue
        found[foreign.source] += not LLMatcher(bytes_tokenizer(), grammar, log_level=0).is_error()
    return found


def rejected(cases: list[Case]) -> tuple[list[str], int]:
    """Valid values of the test suite that are not allowed in any order of their properties, and how many were tried.

    Values that only a `format` rejects are left out, for formats are enforced."""
    found: list[str] = []
    tried = 0
    for case in cases:
        if not case.foreign.instances or '"format"' in json.dumps(case.foreign.schema):
            continue
        grammar = compile_grammar(Constraint(ConstraintKind.JSON_SCHEMA, case.checked.text))
        matcher = new_matcher(bytes_tokenizer(), grammar)
        for value, valid in case.foreign.instances:
            if valid:
                tried += 1
                if not any(_allows(matcher, form) for form in itertools.islice(_forms(_canonical(value)), 200)):
                    found.append(f"{case.foreign.name}: {json.dumps(value)[:100]}")
    return found, tried


def _allows(matcher: LLMatcher, value: Any) -> bool:
    data = list(json.dumps(value, ensure_ascii=False).encode())
    state = matcher.deep_copy()
    return bool(state.try_consume_tokens(data) == len(data) and state.is_accepting())


def _canonical(value: Any) -> Any:
    """Whole numbers without a fraction."""
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _forms(value: Any) -> Iterator[Any]:
    """The value with its properties in every order."""
    if isinstance(value, list):
        yield from map(list, itertools.product(*(list(itertools.islice(_forms(item), 24)) for item in value)))
    elif isinstance(value, dict):
        for names in itertools.permutations(value):
            forms = [list(itertools.islice(_forms(value[name]), 24)) for name in names]
            yield from (dict(zip(names, parts, strict=True)) for parts in itertools.product(*forms))
    else:
        yield value


def _report(lines: list[str], title: str) -> None:
    if lines:
        print(f"{title}:", *lines[:40], sep="\n  ", file=sys.stderr)


def main() -> None:
    """Measure and print; with --write, update RESULTS.md."""
    parser = flags.parser("schemas", __doc__ or "")
    parser.add_argument("--each", type=int, default=80, metavar="N", help="schemas of each source (default: 80)")
    parser.add_argument("--packages", type=Path, default=Path.home() / ".cache/gptcli-peers/schemas", metavar="DIR")
    parser.add_argument(
        "--part", default="1/1", metavar="K/N", help="take every Nth schema only, beginning with the Kth (default: 1/1)"
    )
    parser.add_argument("--samples", type=int, default=10, metavar="N", help="answers to each schema (default: 10)")
    parser.add_argument("--no-answers", action="store_true", help="say only which schemas are kept")
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    schemas = collect(arguments.packages, arguments.each)[part - 1 :: parts]
    kept, refused, longest = check(schemas)
    _report([f"{foreign.source}, {foreign.name}: {reason}" for foreign, reason in refused], "refused")
    lost, tried = rejected(kept)
    _report(lost, "valid, but not allowed")
    chosen = [] if arguments.no_answers else kept
    loader = EngineLoader(
        EngineOptions(model=arguments.model, threads=arguments.threads, ctx_size=4096, constrained=True),
        Silent(),
        lambda line: None,
    )
    searches = time_searches()
    with loader.open(parallel=16) as loaded:
        tally = generate(loaded.engine, chosen, arguments.samples)
    counts, total = Counter(foreign.source for foreign in schemas), len(schemas)
    accepted = Counter(case.foreign.source for case in kept)
    theirs = kept_by_llguidance(schemas)
    rows: list[Row] = [Check(f"kept, {name}", "", accepted[name], counts[name], required=False) for name in counts]
    rows.append(Check("kept, all", "", len(kept), total, required=False))
    rows += [Check(f"kept by llguidance, {name}", "", theirs[name], counts[name], required=False) for name in counts]
    rows.append(Check("kept by llguidance, all", "", theirs.total(), total, required=False))
    rows.append(Check("valid values of the test suite allowed", "", tried - len(lost), tried, required=False))
    answers = arguments.samples * len(chosen)
    rows.append(Check("answers valid", "jsonschema", answers - len(tally.invalid) - len(tally.failed), answers))
    rows.append(Check("answers closed at the limit", "", tally.answers["closed"], answers, required=False))
    if searches:
        searches.sort()
        quick = sum(seconds <= 0.01 for seconds in searches)
        rows.append(Check("searches of an ending within 10 ms", "", quick, len(searches), required=False))
        slow = sum(seconds > 0.1 for seconds in searches)
        rows.append(Check("within 100 ms", "", len(searches) - slow, len(searches)))
        at = {share: searches[min(len(searches) - 1, int(share * len(searches)))] for share in (0.5, 0.9, 0.99, 0.999)}
        print("ms of a search:", {share: round(1000 * seconds, 2) for share, seconds in at.items()}, file=sys.stderr)
        print(f"longest: {1000 * searches[-1]:.1f}", file=sys.stderr)
    facts = {
        "model": loaded.model.path.name,
        "samples": str(arguments.samples),
        "part": arguments.part,
        "longest check": f"{longest:.2f} s",
    }
    publish("schemas", rows, machine() | versions() | facts, write=arguments.write)


if __name__ == "__main__":
    main()
