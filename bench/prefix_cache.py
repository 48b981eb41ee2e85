"""What the prefix cache on disk saves: resuming a long chat and completing a long prompt, with and without it.

Run `python -m bench.prefix_cache` from the root of the checkout, on an idle machine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import flags
from bench.pairs import Comparison, alternate, run
from bench.programs import program
from bench.results import Check, Row, machine, publish, versions
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

CHAT_TOKENS = 2000
PROMPT_TOKENS = 1000
ANSWER = ["-n", "16", "--temp", "0", "--no-stdin"]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements have in common."""

    model: str
    threads: int
    pairs: int
    home: Path

    def command(self, name: str, cache: str, *more: str) -> list[str]:
        """A command line of gptcli with its own cache folder; the conversations are shared."""
        places = [f"GPTCLI_CACHE_DIR={self.home / cache}", f"GPTCLI_DATA_DIR={self.home / 'data'}"]
        return ["env", *places, program(), name, "-m", self.model, "-t", str(self.threads), *ANSWER, *more]


def prose(sentences: int) -> str:
    """Text without repetitions that would make it cheap for a tokenizer or a model."""
    places = ["mill", "river", "tower", "market", "forest", "bridge", "harbour"]
    return " ".join(
        f"On day {number * number % 977} the clockmaker went to the {places[number % 7]} and counted {number} birds."
        for number in range(sentences)
    )


def prompt_tokens(command: Sequence[str]) -> int:
    """Run the command; returns the number of prompt tokens."""
    done = subprocess.run([*command, "--stats"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = re.search(r"prompt: +(\d+) tokens", done.stderr)
    if found is None:
        raise SystemExit(f"{' '.join(command[:5])} … ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return int(found[1])


def compare(bench: Bench, name: str, commands: tuple[list[str], list[str]], bound: float) -> list[Row]:
    """Time to first text and to the end of the process; the first command has the cached prefixes."""
    found = alternate(partial(run, commands[0]), partial(run, commands[1]), bench.pairs)
    first = [ours.first for ours, _ in found], [theirs.first for _, theirs in found]
    wall = [ours.seconds for ours, _ in found], [theirs.seconds for _, theirs in found]
    # Not required: an answer decoded token by token rounds differently from a prompt computed at once.
    same = sum(ours.output == theirs.output for ours, theirs in found)
    return [
        Comparison(f"{name}: first text", "no prefix", "s", *first, bound),
        Comparison(f"{name}: wall", "no prefix", "s", *wall),
        Check(f"{name}: same text", "no prefix", same, len(found), required=False),
    ]


def chat(bench: Bench) -> list[Row]:
    """A chat resumed in a new process."""
    asked = "Here is a diary. " + prose(CHAT_TOKENS // 19)
    tokens = prompt_tokens(bench.command("chat", "with", asked))
    assert tokens >= CHAT_TOKENS, tokens
    again = ["-c", "--no-save", "Where did the clockmaker go first?"]
    commands = bench.command("chat", "with", *again), bench.command("chat", "without", *again)
    return compare(bench, f"chat -c, {tokens} tokens", commands, 0.15)


def complete(bench: Bench) -> list[Row]:
    """A prompt that starts like a cached one."""
    beginning = prose(PROMPT_TOKENS // 19)
    tokens = prompt_tokens(bench.command("complete", "with", "--cache-prompt", beginning))
    assert tokens >= PROMPT_TOKENS, tokens
    text = f"{beginning} In the end"
    commands = bench.command("complete", "with", text), bench.command("complete", "without", text)
    return compare(bench, f"complete, {tokens} tokens cached", commands, 0.2)


def main() -> None:
    """Measure and print; with --write, update RESULTS.md."""
    parser = flags.parser("prefix_cache", __doc__)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs (default: 5)")
    arguments = parser.parse_args()
    model = resolve(arguments.model, offline=False, report=Silent())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as home:
        bench = Bench(str(model.path), arguments.threads, arguments.pairs, Path(home))
        for part in (chat, complete):
            print(f"measuring: {part.__name__} …", file=sys.stderr)
            rows += part(bench)
    load = f"{os.getloadavg()[0]:.1f}"
    facts = {"model": model.path.name, "threads": str(bench.threads), "pairs": str(bench.pairs), "load": load}
    publish("prefix_cache", rows, machine() | versions() | facts, write=arguments.write)


if __name__ == "__main__":
    main()
