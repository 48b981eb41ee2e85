"""What constraints cost on the starter model: the first byte, decode rates beside free text, forms, rows of a batch.

`python -m bench.structured PART`, for `start`, `decode`, `forms`, `rows` or, in minutes, all four: medians over pairs
in one process, and over pairs of processes for the start. A form's rate depends on how long its values are and on the
tokens of its keys, so there are three. `--model` takes a file of another format."""

from __future__ import annotations

import argparse
import compileall
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gptcli
from bench.pairs import Comparison, run
from bench.results import machine, publish, versions
from gptcli.engine.engine import LocalEngine
from gptcli.interrupt import Interrupt
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.devices import Offload, choose_threads
from gptcli.llama.model import Model
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve
from gptcli.params import Sampling
from gptcli.runtime import EngineOptions
from gptcli.runtime.loader import EngineLoader
from gptcli.types import Constraint, ConstraintKind, Delta, Engine, Failed, Finished, Request, TextPrompt

ROUNDS = 5
TOKENS = 200
ROWS, ROW_TOKENS = 128, 32
PROMPT = b"A record of a person, as JSON: "
KEYS = [
    "first_name",
    "last_name",
    "company",
    "street_address",
    "postal_code",
    "city",
    "country",
    "phone_number",
    "email_address",
    "website",
    "customer_number",
    "invoice_number",
    "order_number",
    "payment_method",
    "currency",
    "shipping_method",
    "delivery_date",
    "birthday",
    "nationality",
    "preferred_language",
]


def schema(properties: dict[str, object]) -> Constraint:
    """An object with exactly these properties."""
    value = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(value))


STORY = schema({"story": {"type": "string"}})
WORDS = schema({key: {"type": "string", "maxLength": 8} for key in KEYS})
CHOICES = schema({key: {"enum": ["yes", "no", "unknown"]} for key in KEYS})
NUMBERED = schema({f"property_{number:02}": {"type": "string", "maxLength": 8} for number in range(20)})
ROW = schema({"age": {"type": "integer"}, "story": {"type": "string"}})


def rates(
    engine: Engine, constraint: Constraint | None, tokens: int, rows: int = 1, seed: int = 1
) -> tuple[float, float, int]:
    """Tokens and characters a second, and all tokens: of decoding for one row; of several rows together, from the
    first event to the last, prompts included."""
    requests = [
        Request(str(n), TextPrompt(PROMPT), Sampling(seed=seed + n), tokens, ignore_eos=True, constraint=constraint)
        for n in range(rows)
    ]
    characters, ends = 0, []
    began = time.perf_counter()
    for event in engine.stream(requests):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Delta):
            characters += len(event.text)
        elif isinstance(event, Finished):
            ends.append(event)
    seconds = ends[0].decode_seconds if rows == 1 else time.perf_counter() - began
    tokens = sum(end.completion_tokens for end in ends)
    return tokens / seconds, characters / seconds, tokens


def compare(
    name: str,
    unit: int,
    bound: float | None,
    ours: Callable[[], tuple[float, float, int]],
    theirs: Callable[[], tuple[float, float, int]],
    rounds: int = ROUNDS,
) -> Comparison:
    """Pairs of two measurements of `rates`; `unit`: 0 for tokens, 1 for characters a second."""
    pairs = [(ours()[unit], theirs()[unit]) for _ in range(rounds)]
    return Comparison(
        name,
        "free text",
        ("tokens/s", "characters/s")[unit],
        [pair[0] for pair in pairs],
        [pair[1] for pair in pairs],
        bound,
        more_is_better=True,
    )


def decode(path: Path) -> list[Comparison]:
    """The longest string of eight beside free text of as many tokens."""
    with backend(path) as opened:
        engine = LocalEngine(opened)
        length, seed = max((rates(engine, STORY, TOKENS, seed=seed)[2], seed) for seed in range(8))
        return [
            compare(
                f"decode {length} tokens with a schema",
                0,
                0.95,
                lambda: rates(engine, STORY, TOKENS, seed=seed),
                lambda: rates(engine, None, length, seed=seed),
            )
        ]


def forms(path: Path) -> list[Comparison]:
    """Objects of 20 fixed keys beside free text, character for character."""
    kinds = {"words of 8 characters": WORDS, "choices": CHOICES, "words, numbered keys": NUMBERED}
    with backend(path) as opened:
        engine = LocalEngine(opened)
        return [
            compare(
                f"form of 20 keys, {name}",
                1,
                1.5,
                lambda form=form: rates(engine, form, 500),  # type: ignore[misc]
                lambda: rates(engine, None, TOKENS),
            )
            for name, form in kinds.items()
        ]


def rows(path: Path) -> list[Comparison]:
    """Rows of a batch with a constraint beside free ones, as `batch` computes them: 32 at once, by the clock."""
    loader = EngineLoader(EngineOptions(model=str(path)), Silent(), lambda line: None)
    with loader.open(parallel=32, reuse=False) as loaded:
        engine = loaded.engine
        rates(engine, ROW, 16, 32)  # makes the context and llguidance's tokenizer
        return [
            compare(
                f"{ROWS} rows of {ROW_TOKENS} tokens",
                0,
                0.85,
                lambda: rates(engine, ROW, ROW_TOKENS, ROWS),
                lambda: rates(engine, None, ROW_TOKENS, ROWS),
                1,
            )
        ]


def backend(path: Path) -> LlamaBackend:
    """The model on the CPU, with gptcli's own threads."""
    return LlamaBackend(Model.load(path, Offload((), 0)), choose_threads(None, None), Interrupt())


def start(path: Path) -> list[Comparison]:
    """The first byte of the program with a constraint and without, after a first run of each. The package is compiled
    first, as pip does when it installs it."""
    compileall.compile_dir(Path(gptcli.__file__).parent, quiet=1)
    free = [sys.executable, "-m", "gptcli", "complete", "--no-server", "-m", str(path), "-n", "40", "--no-stdin", "Hi"]
    found = []
    for flag, value in (("--json-schema", "name, age int"), ("--choices", "yes,no")):
        bound = [*free, flag, value]
        for command in (free, bound):
            run(command)
        pairs = [(run(bound).first, run(free).first) for _ in range(2 * ROUNDS + 1)]
        later = [1000 * (ours - theirs) for ours, theirs in pairs]
        print(f"{flag}: the first byte is later by {statistics.median(later):.0f} ms; {[round(one) for one in later]}")
        found.append(
            Comparison(
                f"first byte, {flag}", "no constraint", "s", [one for one, _ in pairs], [one for _, one in pairs]
            )
        )
    return found


PARTS = {"start": start, "decode": decode, "forms": forms, "rows": rows}


def main() -> None:
    """Measure and print; with --write, update RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", default=[*PARTS], help=f"one or more of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--model", help="as gptcli's -m (default: the starter model)")
    parser.add_argument("--write", action="store_true", help="write the results to bench/RESULTS.md")
    options = parser.parse_args()
    path = resolve(options.model or "smollm2", offline=True, report=Silent()).path
    for part in options.part:
        facts = machine() | versions() | {"model": path.name}
        publish(f"structured {part}", PARTS[part](path), facts, write=options.write)


if __name__ == "__main__":
    main()
