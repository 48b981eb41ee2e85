"""Scoring: perplexity against llama-perplexity, multiple choice as a tree against whole texts, memory of a long text.

Run `python -m bench.scoring` from the root of the checkout, on an idle machine.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench import flags
from bench.pairs import Comparison, Run, alternate, run
from bench.prefix_cache import prose
from bench.programs import native_version, program
from bench.results import Check, Row, machine, publish, versions
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

CHUNK = 512
"""llama-perplexity's default context."""
TOKENS_PER_SENTENCE = 19
MEMORY_BOUND = 50e6


def perplexity(pattern: str, output: Run) -> float:
    """The number behind `pattern`."""
    found = re.search(pattern + r"([\d.]+)", output.output.decode("utf-8", "replace"))
    if found is None:
        raise SystemExit(f"no perplexity in:\n{output.output[-2000:].decode('utf-8', 'replace')}")
    return float(found[1])


def against_llama(model: str, threads: int, peers: Path, chunks: int, pairs: int, folder: Path) -> list[Row]:
    """Perplexity and wall time on the same text, whole programs."""
    text = folder / "chunks.txt"
    text.write_text(prose(chunks * CHUNK // TOKENS_PER_SENTENCE + 30))
    ours = [program(), "score", "-m", model, "-t", str(threads), "--windows", "llama", "--format", "json", str(text)]
    native = f"{peers / 'llama-perplexity'} -m {model} -t {threads} -c {CHUNK} -f {text}"
    log = folder / "log"  # into a pipe, the program loses its last lines
    rounds = alternate(partial(run, ours), partial(run, ["sh", "-c", f"{native} > {log} 2>&1 && cat {log}"]), pairs)
    name = Path(model).stem
    values = [(perplexity('"perplexity": ', a), perplexity("PPL = ", b)) for a, b in rounds]
    seconds = [(a.seconds, b.seconds) for a, b in rounds]
    equal = sum(abs(a / b - 1) <= 0.001 for a, b in values)
    return [
        Comparison(f"perplexity, {name}", "llama-perplexity", "", *map(list, zip(*values, strict=True))),
        Check("perplexity within 0.1 %", "llama-perplexity", equal, len(values)),
        Comparison("wall time", "llama-perplexity", "s", *map(list, zip(*seconds, strict=True)), bound=1.0),
    ]


def choices(model: str, threads: int, items: int, pairs: int) -> list[Row]:
    """Four endings over one prefix of 500 tokens."""
    child = [sys.executable, "-m", "bench.choices", model, str(threads), str(items)]
    found = alternate(
        lambda: json.loads(run([*child, "tree"]).output), lambda: json.loads(run([*child, "whole"]).output), pairs
    )
    seconds = [[one["seconds"] for one in side] for side in zip(*found, strict=True)]
    tree, whole = found[0][0]["per_token"], found[0][1]["per_token"]
    mean = sum(tree[key] - whole[key] for key in tree) / len(tree)
    return [
        Comparison(f"{items} multiple choices, tree", "each whole", "s", *seconds, bound=1 / 3),
        Check(
            f"mean difference {mean:+.5f} nats a token, within 1e-3",
            "each whole",
            int(abs(mean) <= 1e-3),
            1,
            required=False,
        ),
    ]


def memory(model: str, threads: int, tokens: int, folder: Path) -> list[Row]:
    """Peak memory while a short and a long text are scored."""
    peaks = []
    for count in (tokens, 1000):
        text = folder / f"{count}.txt"
        text.write_text(prose(count // TOKENS_PER_SENTENCE))
        sizes = ["--ctx-size", "512", "--stride", "480"]
        peaks.append(run([program(), "score", "-m", model, "-t", str(threads), *sizes, str(text)]).peak)
    more = (peaks[0] - peaks[1]) / 1e6
    return [
        Comparison(f"peak memory, {tokens:,} tokens", "1,000 tokens", "MB", [peaks[0] / 1e6], [peaks[1] / 1e6]),
        Check(f"{more:+.0f} MB, within 50 MB", "1,000 tokens", int(more <= MEMORY_BOUND / 1e6), 1),
    ]


def main() -> None:
    parser = flags.parser("scoring", __doc__ or "")
    parser.add_argument("--peers", type=Path, help="folder of llama.cpp's own programs")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--chunks", type=int, default=24, help="chunks of 512 tokens for the perplexity (default: 24)")
    parser.add_argument("--items", type=int, default=200, help="multiple choices (default: 200)")
    parser.add_argument("--tokens", type=int, default=100_000, help="of the long text (default: 100,000)")
    parser.add_argument("--only", choices=["perplexity", "choices", "memory"])
    options = parser.parse_args()
    model = str(resolve(options.model, offline=True, report=Silent()).path)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only in (None, "memory"):
            rows += memory(model, options.threads, options.tokens, folder)
        if options.peers is not None and options.only in (None, "perplexity"):
            rows += against_llama(model, options.threads, options.peers, options.chunks, options.pairs, folder)
        if options.only in (None, "choices"):
            rows += choices(model, options.threads, options.items, options.pairs)
    facts = machine() | versions() | native_version(options.peers) | {"threads": str(options.threads)}
    publish(f"scoring, {Path(model).stem}", rows, facts, write=options.write)


if __name__ == "__main__":
    main()
