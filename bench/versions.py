"""Compares this gptcli with another version of it, so that a change that costs time or memory shows.

Run `python -m bench.versions --other PROGRAM` from the root of the checkout, on an idle machine.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import flags
from bench.batch_prompts import instructed, unrelated
from bench.pairs import Comparison, Run, alternate, run
from bench.programs import program
from bench.prompts import PROMPTS
from bench.results import Row, machine, publish, versions
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

BOUND = 1.05
"""The noise of a median of pairs on a shared machine."""


def compare(name: str, command: Callable[[str], list[str]], other: str, pairs: int, figures: list[str]) -> list[Row]:
    """Figures of `Run` for both programs, which `command` makes the command line of."""
    runs = alternate(lambda: run(command(program())), lambda: run(command(other)), pairs)
    return [_row(f"{name}: {figure}", figure, runs) for figure in figures]


def _row(name: str, figure: str, runs: list[tuple[Run, Run]]) -> Row:
    scale, unit = (2**20, "MiB") if figure == "peak" else (1, "s")
    ours, theirs = ([getattr(one, figure) / scale for one in side] for side in zip(*runs, strict=True))
    return Comparison(name, "other version", unit, ours, theirs, BOUND)


def main() -> None:
    parser = flags.parser("versions", __doc__ or "")
    parser.add_argument("--other", required=True, metavar="PROGRAM", help="the gptcli to compare with")
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    model = str(resolve(arguments.model, offline=False, report=Silent()).path)
    shared = ["-m", model, "-t", str(arguments.threads), "--temp", "0", "--seed", "1"]
    with tempfile.TemporaryDirectory() as folder:

        def batch(name: str, prompts: list[str], tokens: int) -> Callable[[str], list[str]]:
            path = Path(folder) / f"{name}.jsonl"
            path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
            return lambda gptcli: [gptcli, "batch", str(path), *shared, "-n", str(tokens), "--ignore-eos", "-q"]

        rows: list[Row] = []
        for name, command, figures in (
            ("--version", lambda gptcli: [gptcli, "--version"], ["seconds"]),
            ("--help", lambda gptcli: [gptcli, "complete", "--help"], ["seconds"]),
            ("cold", lambda g: [g, "complete", *shared, "-n", "64", PROMPTS[0]], ["seconds", "first", "peak"]),
            ("decode", lambda g: [g, "complete", *shared, "-n", "384", "--ignore-eos", PROMPTS[1]], ["streaming"]),
            ("unrelated rows", batch("unrelated", unrelated(64), 32), ["seconds", "peak"]),
            ("one instruction", batch("instructed", instructed(48), 16), ["seconds", "peak"]),
        ):
            rows += compare(name, command, arguments.other, arguments.pairs, figures)
    done = subprocess.run([arguments.other, "--version"], capture_output=True, text=True, check=True)
    facts = machine() | versions() | {"other": done.stdout.strip(), "pairs": str(arguments.pairs)}
    publish("versions", rows, facts, write=arguments.write)


if __name__ == "__main__":
    main()
