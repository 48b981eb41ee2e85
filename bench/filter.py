"""`gptcli filter` on many lines against a loop of `gptcli chat`, a call a line; how soon a piped line is answered.

python -m bench.filter [--write] [--lines 1000] [--model REF]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.pairs import Comparison
from bench.results import machine, publish, versions

CRITERION = "is a complaint"
LOOPED = 12
"""Lines of the loop that are timed; all would take a quarter of an hour."""
SENTENCES = (
    "My order number {} still has not arrived and nobody answers my emails.",
    "The meeting about project {} has been moved to Thursday at ten.",
    "I was charged twice for ticket {}.",
    "The bridge at kilometre {} was built in 1894.",
    "Machine {} gets so hot that it burns my hands.",
    "Please send invoice {} to the address below.",
)


def run(*arguments: str, data: bytes = b"") -> float:
    """Seconds of a call of gptcli."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "gptcli", *arguments], input=data, stdout=subprocess.PIPE, check=False)
    assert done.returncode in (0, 1), done
    return time.perf_counter() - start


def latencies(model: str, count: int) -> list[float]:
    """Seconds from each of `count` lines, written one at a time, to its answer."""
    command = [sys.executable, "-m", "gptcli", "filter", CRITERION, "--threshold", "0", "--model", model]
    found = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(count + 1):
            start = time.perf_counter()
            process.stdin.write(SENTENCES[number % len(SENTENCES)].format(number).encode() + b"\n")
            process.stdout.readline()
            found.append(time.perf_counter() - start)
        process.stdin.close()
    return found[1:]  # the first one waits for the model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--model", default="smollm2")
    given = parser.parse_args()
    lines = [SENTENCES[number % len(SENTENCES)].format(number) for number in range(given.lines)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.txt"
        path.write_text("".join(f"{line}\n" for line in lines))
        ours = run("filter", CRITERION, str(path), "--model", given.model) / given.lines
    question = "Is this a complaint? Answer yes or no.\n\n"
    flags = ("--model", given.model, "-n", "4", "--temp", "0", "--no-stdin", "-q")
    looped = [run("chat", *flags, question + line) for line in lines[:LOOPED]]
    theirs = statistics.median(looped)
    waits = latencies(given.model, 20)
    rows = [
        Comparison(f"filter, {given.lines:,} lines: a line", "gptcli chat, a call a line", "s", [ours], [theirs], 0.2),
        Comparison("filter, a line from a pipe: until it is out", "the same loop", "s", waits, [theirs] * len(waits)),
    ]
    publish("filter", rows, machine() | versions() | {"model": given.model}, write=given.write)


if __name__ == "__main__":
    main()
