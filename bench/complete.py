"""Compares `gptcli complete` and its engine with a bare loop, the high-level class and llama.cpp's own programs.

Run `python -m bench.complete --peers DIR` from the root of the checkout, on an idle machine.
"""

from __future__ import annotations

import codecs
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import flags
from bench.pairs import Comparison, Run, alternate, run
from bench.programs import native_version, program
from bench.prompts import PROMPTS
from bench.results import Check, Row, machine, publish, versions
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

HERE = Path(__file__).parent
TOKENS = 64
CONTEXT = 2048
SEQUENCES = 8
RATE_TOKENS = 128
PREFIX_TOKENS = 32
ROUNDS = 3
"""Measurements of a rate in one process after its warm-up; the median counts."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements have in common."""

    model: str
    threads: int
    pairs: int
    peers: Path | None

    def gptcli(self, prompt: str, context: int) -> list[str]:
        size = ["--ctx-size", str(context)] if context else []
        sampling = ["--temp", "0", "--seed", "1"]
        command = [program(), "complete", "-m", self.model, "-n", str(TOKENS), *sampling, *size]
        return [*command, "-t", str(self.threads), prompt]

    def script(self, name: str, prompt: str, context: int) -> list[str]:
        return [sys.executable, str(HERE / name), self.model, str(self.threads), str(context), prompt]

    def llama_completion(self, prompt: str, context: int) -> list[str]:
        size = ["-c", str(context)] if context else []
        raw = ["-no-cnv", "--no-display-prompt", "--no-escape", "-n", str(TOKENS), "--temp", "0", *size]
        return [self.tool("llama-completion"), "-m", self.model, *raw, "-t", str(self.threads), "-p", prompt]

    def tool(self, name: str) -> str:
        assert self.peers is not None
        return str(self.peers / name)


def cold(bench: Bench) -> list[Row]:
    """Whole processes with 64 greedy tokens: time, memory, time to first text, and the time it streams."""
    peers: list[tuple[str, Callable[[str, int], list[str]]]] = [
        ("bare loop", partial(bench.script, "bare_loop.py")),
        ("high-level class", partial(bench.script, "high_level.py")),
    ]
    if bench.peers:
        peers.append(("llama-completion", bench.llama_completion))
    rows: list[Row] = []
    for context in (CONTEXT, 0):
        for name, command in peers:
            ours, theirs = bench.gptcli(PROMPTS[0], context), command(PROMPTS[0], context)
            found = alternate(partial(run, ours), partial(run, theirs), bench.pairs)
            rows += _cold_rows(name, context, found)
    return rows


def _cold_rows(peer: str, context: int, found: list[tuple[Run, Run]]) -> list[Row]:
    native = peer == "llama-completion"
    what = f"cold, context {context}" if context else "cold, own context"
    their_text = native_text if native else bytes
    same = sum(whole(ours.output) == whole(their_text(theirs.output)) for ours, theirs in found)

    def compare(name: str, unit: str, figure: Callable[[Run], float], bound: float | None = None) -> Comparison:
        ours, theirs = [figure(a) for a, _ in found], [figure(b) for _, b in found]
        return Comparison(f"{what}: {name}", peer, unit, ours, theirs, bound if native else None)

    return [
        compare("wall", "s", lambda run: run.seconds, 0.95 if context else 0.8),
        compare("peak memory", "MiB", lambda run: run.peak / 2**20, 1.15 if context else None),
        compare("first text", "s", lambda run: run.first),
        compare("streaming", "s", lambda run: run.streaming),
        Check(f"{what}: same text", peer, same, len(found)),
    ]


def whole(output: bytes) -> bytes:
    """`output` without an incomplete final character, which gptcli drops and others print."""
    return codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(output).encode("utf-8", "surrogateescape")


def native_text(output: bytes) -> bytes:
    """llama-completion's text, without what it prints after it (tools/completion/completion.cpp)."""
    return output.removesuffix(b"\n\n").removesuffix(b" [end of text]\n")


def rates(bench: Bench) -> list[Row]:
    """Decoding alone, with one sequence and with eight, against llama.cpp's own benchmarks."""

    def engine(prompt: int, samples: int) -> float:
        numbers = [bench.threads, CONTEXT, prompt, samples, RATE_TOKENS, ROUNDS]
        output = run([sys.executable, str(HERE / "decode_rate.py"), bench.model, *map(str, numbers)]).output
        return statistics.median(json.loads(output))

    def single() -> float:
        size = ["-p", "0", "-n", str(RATE_TOKENS), "-r", str(ROUNDS), "-o", "json"]
        output = run([bench.tool("llama-bench"), "-m", bench.model, "-t", str(bench.threads), *size]).output
        return statistics.median(json.loads(output)[0]["samples_ts"])

    def batched() -> float:
        each = ",".join([str(SEQUENCES)] * ROUNDS)
        size = ["-c", str(CONTEXT), "-npp", str(PREFIX_TOKENS), "-ntg", str(RATE_TOKENS), "-npl", each]
        command = [bench.tool("llama-batched-bench"), "-m", bench.model, "-t", str(bench.threads), *size]
        lines = run([*command, "-pps", "--output-format", "jsonl"]).output.decode().splitlines()
        return statistics.median(json.loads(line)["speed_tg"] for line in lines if line.startswith("{"))

    def compare(name: str, peer: str, ours: Callable[[], float], theirs: Callable[[], float], bound: float) -> Row:
        found = alternate(ours, theirs, bench.pairs)
        figures = [a for a, _ in found], [b for _, b in found]
        return Comparison(name, peer, "tokens/s", *figures, bound, more_is_better=True)

    return [
        compare("decode rate", f"llama-bench tg{RATE_TOKENS}", partial(engine, 1, 1), single, 0.97),
        compare(
            f"decode rate, {SEQUENCES} samples",
            "llama-batched-bench",
            partial(engine, PREFIX_TOKENS, SEQUENCES),
            batched,
            0.9,
        ),
    ]


def start_up(bench: Bench) -> list[Row]:
    """--version and --help against an empty Typer program in the same Python."""
    null = [sys.executable, str(HERE / "null_typer.py")]
    cases = [("--version", null, 1.3), ("--help", null, 1.3), ("--help", [*null, "--help"], None)]
    rows: list[Row] = []
    for flag, peer, bound in cases:
        found = alternate(partial(run, [program(), flag]), partial(run, peer), 2 * bench.pairs)
        ours, theirs = [a.seconds * 1000 for a, _ in found], [b.seconds * 1000 for _, b in found]
        name = " ".join(["empty Typer program", *peer[2:]])
        rows.append(Comparison(f"start-up, {flag}", name, "ms", ours, theirs, bound))
    return rows


def equality(bench: Bench) -> list[Row]:
    """Greedy text of twenty prompts, byte for byte."""
    same = 0
    for prompt in PROMPTS:
        ours = whole(run(bench.gptcli(prompt, CONTEXT)).output)
        theirs = whole(native_text(run(bench.llama_completion(prompt, CONTEXT)).output))
        same += ours == theirs
        if ours != theirs:
            print(f"{prompt!r}\n  ours   {ours!r}\n  theirs {theirs!r}", file=sys.stderr)
    return [Check(f"greedy text, {TOKENS} tokens", "llama-completion", same, len(PROMPTS))]


def main() -> None:
    """Measure and print; with --write, update RESULTS.md."""
    parser = flags.parser("complete", __doc__)
    parser.add_argument("--peers", type=Path, metavar="DIR", help="folder with llama.cpp's programs (default: none)")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs (default: 5)")
    arguments = parser.parse_args()
    model = resolve(arguments.model, offline=False, report=Silent())
    bench = Bench(str(model.path), arguments.threads, arguments.pairs, arguments.peers)
    parts = [cold, start_up] if bench.peers is None else [cold, rates, start_up, equality]
    rows: list[Row] = []
    for part in parts:
        print(f"measuring: {part.__name__} …", file=sys.stderr)
        rows += part(bench)
    facts = {"model": model.path.name, "threads": str(bench.threads), "pairs": str(bench.pairs)}
    publish("complete", rows, machine() | versions() | native_version(bench.peers) | facts, write=arguments.write)


if __name__ == "__main__":
    main()
