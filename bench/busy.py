"""Decoding beside other programs: one endless process for each core, and gptcli, gptcli with one thread and
llama-completion in turn.

Run `python -m bench.busy --peers DIR` from the root of the checkout, on a machine that is idle but for this.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import flags
from bench.pairs import Comparison
from bench.programs import native_version, program
from bench.prompts import PROMPTS
from bench.results import machine, publish, versions
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that only compute."""
    endless = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in endless:
            process.kill()
            process.wait()


def rate(command: list[str], pattern: str) -> float:
    """The tokens a second that a program reports on stderr."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    found = re.search(pattern, done.stderr + done.stdout)
    if found is None:
        raise SystemExit(f"{' '.join(command[:3])} reported no rate:\n{done.stderr[-2000:]}")
    return float(found[1])


def main() -> None:
    parser = flags.parser("busy", __doc__ or "")
    parser.add_argument("--peers", type=Path, required=True, metavar="DIR", help="folder with llama.cpp's programs")
    parser.add_argument("--rounds", type=int, default=10, help="runs of each program, in turn (default: 10)")
    parser.add_argument("--tokens", type=int, default=64, help="to decode (default: 64)")
    parser.add_argument("--quiet", action="store_true", help="without other processes")
    options = parser.parse_args()
    model = str(resolve(options.model, offline=True, report=Silent()).path)
    count, prompt = str(options.tokens), PROMPTS[0]
    ours = [program(), "complete", "-m", model, "-n", count, "--temp", "0", "--ignore-eos", "--no-server", "--stats"]
    native = [str(options.peers / "llama-completion"), "-m", model, "-n", count, "--temp", "0", "--ignore-eos"]
    commands = {
        "gptcli": ([*ours, prompt], r"decode: .* ([\d.]+) tokens/s"),
        "gptcli -t 1": ([*ours, "-t", "1", prompt], r"decode: .* ([\d.]+) tokens/s"),
        "llama-completion": (
            [*native, "-no-cnv", "-p", prompt],
            r"\n.*eval time = .*runs.*?([\d.]+) tokens per second",
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in commands}
    others = 0 if options.quiet else os.cpu_count() or 1
    with busy(others):
        for _ in range(options.rounds):
            for name, (command, pattern) in commands.items():
                found[name].append(rate(command, pattern))
    name = f"decode, {others} busy processes"
    rows = [
        Comparison(name, "llama-completion", "tokens/s", found["gptcli"], found["llama-completion"], 2.5, True),
        Comparison(name, "gptcli -t 1", "tokens/s", found["gptcli"], found["gptcli -t 1"], 0.95, True),
    ]
    if options.quiet:
        rows = [Comparison("decode, quiet", "llama-completion", "tokens/s", found["gptcli"], found["llama-completion"])]
    facts = {"model": Path(model).name, **machine(), **versions(), **native_version(options.peers)}
    publish("quiet" if options.quiet else "busy", rows, facts, write=options.write)


if __name__ == "__main__":
    main()
