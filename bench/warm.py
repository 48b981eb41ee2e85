"""What a running server saves a command: time to first text, eight at once, and memory.

Eight commands are started by `xargs -P 8` with a server, by the same without one, and without one after the other.
Memory is measured in runs of its own: reading it takes as much time as a command does."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

import gptcli
from bench.pairs import Comparison
from bench.results import Row, machine, publish, versions

GPTCLI = str(Path(sys.executable).with_name("gptcli"))
ASK = [GPTCLI, "complete", "-q", "-m", "smollm2", "--temp", "0", "--ignore-eos", "-n"]
PROMPT = "Once upon a time"
AT_ONCE = 8
LENGTHS = (1, 8, 32)
"""Tokens of an answer: a warm command saves loading, and no computing."""


def first_text(*flags: str) -> float:
    """Seconds until the first byte of an answer."""
    started = time.perf_counter()
    with subprocess.Popen([*ASK, "1", "--no-stdin", *flags, PROMPT], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.communicate()
    return seconds


@contextmanager
def eight(tokens: int, at_once: int, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """Eight commands with different prompts. Raises SystemExit if one of them fails: what fails is fast."""
    command = ["xargs", "-P", str(at_once), "-I{}", *ASK, str(tokens), "--no-stdin", *flags, "{}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("".join(f"{number} times upon\n" for number in range(AT_ONCE)))
        process.stdin.close()
        yield process
    if process.returncode:
        raise SystemExit("A command failed.")


def seconds_of_eight(tokens: int, at_once: int, *flags: str) -> float:
    """From the start of the first to the end of the last."""
    started = time.perf_counter()
    with eight(tokens, at_once, *flags):
        pass
    return time.perf_counter() - started


def memory_of_eight(server: psutil.Process) -> float:
    """The most MiB that they and the server use together; shared pages count once (PSS)."""
    most = 0
    with eight(LENGTHS[-1], AT_ONCE) as process:
        while process.poll() is None:
            most = max(most, memory(server) + sum(map(memory, psutil.Process(process.pid).children())))
            time.sleep(0.05)
    return most / 2**20


def memory_of_one() -> float:
    """The most MiB that a command without a server uses; no server runs."""
    most = 0
    with subprocess.Popen([*ASK, str(LENGTHS[-1]), "--no-stdin", PROMPT], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, memory(psutil.Process(process.pid)))
            time.sleep(0.02)
    return most / 2**20


def memory(process: psutil.Process) -> int:
    """Bytes of a process; what it shares with others counts in part."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def measure(rounds: int, lengths: Sequence[int]) -> list[Row]:
    """The rows of the table, in pairs that are taken in turn."""
    one = [memory_of_one() for _ in range(rounds)]
    subprocess.run([GPTCLI, "serve", "-m", "smollm2", "--socket-only", "-q", "--background"], check=True)
    try:
        status = subprocess.run([GPTCLI, "serve", "--status", "--json"], capture_output=True, check=True)
        server = psutil.Process(json.loads(status.stdout)[0]["pid"])
        first_text(), first_text("--no-server")
        firsts = [(first_text(), first_text("--no-server")) for _ in range(2 * rounds + 1)]
        rows: list[Row] = [Comparison("first text", "cold", "s", *map(list, zip(*firsts, strict=True)), 0.5)]
        for tokens in lengths:
            seconds_of_eight(tokens, AT_ONCE)
            times = [
                (
                    seconds_of_eight(tokens, AT_ONCE),
                    seconds_of_eight(tokens, AT_ONCE, "--no-server"),
                    seconds_of_eight(tokens, 1, "--no-server"),
                )
                for _ in range(rounds)
            ]
            warm, together, in_turn = map(list, zip(*times, strict=True))
            name = f"eight of {tokens} tokens"
            rows.append(Comparison(name, "eight cold, -P 8", "s", warm, together, 0.333))
            rows.append(Comparison(name, "eight cold, in turn", "s", warm, in_turn, 0.333))
        used = [memory_of_eight(server) for _ in range(rounds)]
        rows.append(Comparison("memory of eight and the server", "one cold", "MiB", used, one, 2.0))
    finally:
        subprocess.run([GPTCLI, "serve", "--stop"], check=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.warm", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, nargs="+", default=LENGTHS, help="of each answer (default: 1 8 32)")
    parser.add_argument("--write", action="store_true", help="update bench/RESULTS.md")
    args = parser.parse_args()
    os.environ["GPTCLI_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="gptcli-")
    compileall.compile_dir(Path(gptcli.__file__).parent, quiet=1)  # as an installed package is
    rows = measure(args.rounds, args.tokens)
    facts = machine() | versions() | {"rounds": str(args.rounds)}
    publish("warm commands", rows, facts, write=args.write)


if __name__ == "__main__":
    main()
