"""What computed prefixes on disk save: a long chat resumed and a long prompt completed, with them and without.

`python -m bench.prefix_cache` from the root of the checkout, on a machine that does nothing else. It knows two sets of
folders, one that has the prefixes and one that has not, and what is promised about the time to the first text.
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
from gptcli.models.refs.resolve import resolve

CHAT_TOKENS = 2000
PROMPT_TOKENS = 1000
ANSWER = ["-n", "16", "--temp", "0", "--no-stdin"]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements share."""

    model: str
    threads: int
    pairs: int
    home: Path

    def command(self, name: str, cache: str, *more: str) -> list[str]:
        """A command line of gptcli with the caches of that name; the conversations are the same."""
        places = [f"GPTCLI_CACHE_DIR={self.home / cache}", f"GPTCLI_DATA_DIR={self.home / 'data'}"]
        return ["env", *places, program(), name, "-m", self.model, "-t", str(self.threads), *ANSWER, *more]


def prose(sentences: int) -> str:
    """Text in which nothing repeats itself so that a tokenizer or a model could make light of it."""
    places = ["mill", "river", "tower", "market", "forest", "bridge", "harbour"]
    return " ".join(
        f"On day {number * number % 977} the clockmaker went to the {places[number % 7]} and counted {number} birds."
        for number in range(sentences)
    )


def prompt_tokens(command: Sequence[str]) -> int:
    """Run it, and say how many tokens its prompt had."""
    said = subprocess.run([*command, "--stats"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = re.search(r"prompt: +(\d+) tokens", said.stderr)
    if found is None:
        raise SystemExit(f"{' '.join(command[:5])} … ended with {said.returncode}:\n{said.stderr[-2000:]}")
    return int(found[1])


def compare(bench: Bench, what: str, commands: tuple[list[str], list[str]], bound: float) -> list[Row]:
    """Time to the first text, from the start of the process, and to its end; the first command has the prefixes."""
    found = alternate(partial(run, commands[0]), partial(run, commands[1]), bench.pairs)
    first = [ours.first for ours, _ in found], [theirs.first for _, theirs in found]
    wall = [ours.seconds for ours, _ in found], [theirs.seconds for _, theirs in found]
    # Not promised: an answer that was computed token by token is another rounding than a prompt computed at once.
    same = sum(ours.output == theirs.output for ours, theirs in found)
    return [
        Comparison(f"{what}: first text", "no prefix", "s", *first, bound),
        Comparison(f"{what}: wall", "no prefix", "s", *wall),
        Check(f"{what}: same text", "no prefix", same, len(found), required=False),
    ]


def chat(bench: Bench) -> list[Row]:
    """A chat that is resumed in a new process."""
    asked = "Here is a diary. " + prose(CHAT_TOKENS // 19)
    tokens = prompt_tokens(bench.command("chat", "with", asked))
    assert tokens >= CHAT_TOKENS, tokens
    again = ["-c", "--no-save", "Where did the clockmaker go first?"]
    commands = bench.command("chat", "with", *again), bench.command("chat", "without", *again)
    return compare(bench, f"chat -c, {tokens} tokens", commands, 0.15)


def complete(bench: Bench) -> list[Row]:
    """A prompt that begins like one that was kept."""
    beginning = prose(PROMPT_TOKENS // 19)
    tokens = prompt_tokens(bench.command("complete", "with", "--cache-prompt", beginning))
    assert tokens >= PROMPT_TOKENS, tokens
    text = f"{beginning} In the end"
    commands = bench.command("complete", "with", text), bench.command("complete", "without", text)
    return compare(bench, f"complete, {tokens} tokens kept", commands, 0.2)


def main() -> None:
    """Measure, print, and with --write keep."""
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
