"""What constraints cost on the starter model: decode rates beside free text, rows of a batch, the first token.

`python -m bench.structured [--write]`: medians over pairs in one process, and over pairs of processes for the start."""

from __future__ import annotations

import argparse
import json
import sys

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
from gptcli.types import Constraint, ConstraintKind, Delta, Failed, Finished, Request, TextPrompt

ROUNDS = 5
TOKENS = 300
ROWS = 256
PROMPT = b"A record of a person, as JSON: "


def schema(properties: dict[str, object]) -> Constraint:
    """An object with exactly these properties."""
    value = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(value))


STORY = schema({"story": {"type": "string", "minLength": 300}})
FORM = schema({f"property_{number:02}": {"type": "string", "maxLength": 8} for number in range(20)})
ROW = schema({"name": {"type": "string"}, "age": {"type": "integer"}, "likes": {"type": "string"}})


def rates(engine: LocalEngine, constraint: Constraint | None, tokens: int, rows: int = 1) -> tuple[float, float]:
    """Tokens and characters a second, all rows together."""
    sampling = Sampling(seed=1)
    requests = [
        Request(str(n), TextPrompt(PROMPT), sampling, tokens, ignore_eos=True, constraint=constraint)
        for n in range(rows)
    ]
    characters, ends = 0, []
    for event in engine.stream(requests):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Delta):
            characters += len(event.text)
        elif isinstance(event, Finished):
            ends.append(event)
    seconds = sum(end.decode_seconds for end in ends) / len(ends) if rows == 1 else total_seconds(ends)
    return sum(end.completion_tokens for end in ends) / seconds, characters / seconds


def total_seconds(ends: list[Finished]) -> float:
    """About how long the rows took together: each waits for the others in every step."""
    return sum(end.prompt_seconds + end.decode_seconds for end in ends) / 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the results to bench/RESULTS.md")
    write = parser.parse_args().write
    path = resolve("smollm2", offline=True, report=Silent()).path
    rows = start_up(str(path))
    interrupt = Interrupt()
    with LlamaBackend(Model.load(path, Offload((), 0)), choose_threads(None, None), interrupt) as backend:
        engine = LocalEngine(backend, interrupt=interrupt)
        many = LocalEngine(backend, parallel=16, interrupt=interrupt, reuse=False)
        for one, count in ((engine, 1), (many, 16)):
            for constraint in (None, ROW):
                rates(one, constraint, 64, count)
        pairs = [(rates(engine, STORY, TOKENS), rates(engine, None, TOKENS)) for _ in range(ROUNDS)]
        forms = [(rates(engine, FORM, 500), rates(engine, None, TOKENS)) for _ in range(ROUNDS)]
        batches = [(rates(many, ROW, 40, ROWS), rates(many, None, 40, ROWS)) for _ in range(2)]
    ours, theirs = ([pair[side][0] for pair in pairs] for side in (0, 1))
    rows.append(Comparison("decode with a schema", "free text", "tokens/s", ours, theirs, 0.95, more_is_better=True))
    ours, theirs = ([pair[side][1] for pair in forms] for side in (0, 1))
    rows.append(Comparison("form of 20 keys", "free text", "characters/s", ours, theirs, 1.5, more_is_better=True))
    ours, theirs = ([pair[side][0] for pair in batches] for side in (0, 1))
    rows.append(Comparison(f"{ROWS} rows", "free rows", "tokens/s", ours, theirs, 0.85, more_is_better=True))
    publish("structured", rows, machine() | versions(), write=write)


def start_up(path: str) -> list[Comparison]:
    """The first byte of the program with a constraint and without, after a first run of each."""
    free = [sys.executable, "-m", "gptcli", "complete", "--no-server", "-m", path, "-n", "40", "--no-stdin", "Hello"]
    bound = [*free, "--json-schema", "name, age int"]
    for command in (free, bound):
        run(command)
    pairs = [(run(bound).first, run(free).first) for _ in range(ROUNDS)]
    later = [ours - theirs + 0.04 for ours, theirs in pairs]
    print("first byte, seconds later than without a constraint:", [round(one - 0.04, 3) for one in later])
    return [Comparison("first byte", "no constraint", "s", [one for one, _ in pairs], [one for _, one in pairs])]


main()
