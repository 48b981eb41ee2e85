"""Compares `gptcli serve` with llama-server under load: tokens a second, time to the first token and between tokens.

Run `python -m bench.serve --peers DIR` from the root of the checkout, on an idle machine. llama-server is measured with
each number of slots; ours is compared with the one that makes the most tokens a second.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import flags, load, server
from bench.batch_prompts import instructed, unrelated
from bench.pairs import Comparison
from bench.programs import native_version, program
from bench.results import Row, machine, publish, versions
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

AT_ONCE = (1, 4, 16, 64)
WORKS = {"unrelated": (unrelated, 256, 1.0), "shared": (instructed, 1024, 1.5)}
"""The prompts, the cells of a slot that hold one with its answer, and how many times as fast ours should be."""
TOKENS = 64
_WARM_UP = 2


@contextlib.contextmanager
def ours(model: str, threads: int, parallel: int | None) -> Iterator[int]:
    """The port of a running `gptcli serve`."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        command = [program(), "serve", "-m", model, "-t", str(threads), "--port", "0", "--queue", "4096"]
        command += [] if parallel is None else ["--parallel", str(parallel)]
        environment = os.environ | {"GPTCLI_RUNTIME_DIR": folder}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=log, text=True, env=environment)
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r":(\d+)/v1", line)
            if found is None:
                raise SystemExit(f"gptcli serve did not start: {line}")
            yield int(found[1])
        finally:
            process.terminate()
            process.wait()


def measure(port: int, work: str, at_once: int, requests: int) -> load.Load:
    """One run after a short one that warms up."""
    prompts = WORKS[work][0](requests + _WARM_UP)
    load.run(port, prompts[:_WARM_UP], 1, 8)
    return load.run(port, prompts[_WARM_UP:], at_once, TOKENS)


def compare(work: str, at_once: int, mine: list[load.Load], theirs: list[load.Load], slots: int) -> list[Row]:
    """The rows of one load, of which there are pairs of runs."""
    name, peer = f"{work}, {at_once} at once", f"llama-server -np {slots}"
    rates = [run.rate for run in mine], [run.rate for run in theirs]
    rows: list[Row] = [Comparison(f"{name}: rate", peer, "tokens/s", *rates, WORKS[work][2], more_is_better=True)]
    for what in ("first", "between"):
        for percent in (50, 99):
            pair = [[load.percentile(getattr(run, what), percent) * 1e3 for run in runs] for runs in (mine, theirs)]
            label = "first token" if what == "first" else what
            rows.append(Comparison(f"{name}: {label}, p{percent}", peer, "ms", *pair, 1.1))
    return rows


def main() -> None:
    parser = flags.parser("serve", __doc__ or "")
    parser.add_argument("--peers", type=Path, required=True, metavar="DIR", help="folder of llama-server")
    parser.add_argument("--slots", type=int, nargs="+", default=[4, 16, 64], help="of llama-server (default: 4 16 64)")
    parser.add_argument("--at-once", type=int, nargs="+", default=AT_ONCE, help="requests at once (default: 1 4 16 64)")
    parser.add_argument("--works", nargs="+", default=[*WORKS], choices=[*WORKS], help="prompts (default: both)")
    parser.add_argument("--parallel", type=int, help="of gptcli (default: its own)")
    parser.add_argument("--rounds", type=int, default=3, help="requests of each client (default: 3)")
    parser.add_argument("--least", type=int, default=6, help="requests of all clients, at least (default: 6)")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each server (default: 3)")
    args = parser.parse_args()
    rows = [row for work in args.works for row in _measure_work(args, work)]
    facts = machine() | versions() | native_version(args.peers) | {"threads": str(args.threads)}
    publish("serve", rows, facts, write=args.write)


def _measure_work(args: argparse.Namespace, work: str) -> list[Row]:
    """All servers wait while one is measured, so that ours and theirs are measured in turn."""
    model = args.model or "smollm2"
    file = str(resolve(model, offline=True, report=Silent()).path)
    rows = []
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(ours(model, args.threads, args.parallel))
        binary, cells = args.peers / "llama-server", WORKS[work][1]
        peers = {
            slots: stack.enter_context(server.server(binary, file, args.threads, slots, cells)) for slots in args.slots
        }
        for at_once in args.at_once:
            count = max(args.least, args.rounds * at_once)
            mine: list[load.Load] = []
            theirs: dict[int, list[load.Load]] = {slots: [] for slots in peers}
            for _ in range(args.pairs):
                mine.append(measure(own, work, at_once, count))
                for slots, port in peers.items():
                    theirs[slots].append(measure(port, work, at_once, count))
            best = max(peers, key=lambda slots: statistics.median(run.rate for run in theirs[slots]))
            rows += compare(work, at_once, mine, theirs[best], best)
    return rows


if __name__ == "__main__":
    main()
