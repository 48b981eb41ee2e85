"""The grammars of llama.cpp's `grammars/` folder: greedy text against llama-completion's with the same grammar.

    python -m bench.grammars PEERS FOLDER [--tokens 60] [--write]

PEERS has llama.cpp's programs, and FOLDER the .gbnf files. llama-completion stops at its limit wherever it is; gptcli
closes the text. So gptcli gets twice the tokens, and the other text must be how its own begins."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from bench.programs import native_version, program
from bench.results import Check, Row, machine, publish, versions
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

PROMPTS = ("Here is what you asked for:\n", "The answer: ")


def main() -> None:
    """Compare and print; with --write, update RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=60, help="tokens of llama-completion (default: 60)")
    parser.add_argument("--write", action="store_true", help="update bench/RESULTS.md")
    options = parser.parse_args()
    model = str(resolve("smollm2", offline=True, report=Silent()).path)
    rows: list[Row] = []
    for file in sorted(options.folder.glob("*.gbnf")):
        same = 0
        for prompt in PROMPTS:
            theirs = llama_completion(options.peers, model, prompt, file, options.tokens)
            ours = gptcli(model, prompt, file, 2 * options.tokens)
            if equal := ours.startswith(theirs):
                same += 1
            common = next((at for at, pair in enumerate(zip(ours, theirs, strict=False)) if len({*pair}) > 1), 0)
            print(f"{file.name}: {'same' if equal else f'same for {common} of {len(theirs)} characters'}")
            if not equal:
                print(f"  ours   {ours[max(0, common - 20) : common + 40]!r}")
                print(f"  theirs {theirs[max(0, common - 20) : common + 40]!r}")
        rows.append(Check(file.name, "llama-completion", same, len(PROMPTS)))
    facts = machine() | versions() | native_version(options.peers) | {"tokens": str(options.tokens)}
    publish("grammars", rows, facts, write=options.write)


def llama_completion(peers: Path, model: str, prompt: str, grammar: Path, tokens: int) -> str:
    """Its greedy text."""
    flags = ["--temp", "0", "--no-display-prompt", "-no-cnv", "--no-warmup", "-t", "2", "--simple-io"]
    command = [str(peers / "llama-completion"), "-m", model, "-p", prompt, "-n", str(tokens), *flags]
    command += ["--grammar-file", str(grammar)]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=True)
    return done.stdout.decode("utf-8", "ignore").removesuffix("\n\n").removesuffix(" [end of text]\n")


def gptcli(model: str, prompt: str, grammar: Path, tokens: int) -> str:
    """Ours."""
    flags = ["--temp", "0", "--no-server", "--no-stdin", "-q", "-t", "2", "--repeat-penalty", "1"]
    command = [program(), "complete", "-m", model, "-n", str(tokens), *flags, "--grammar-file", str(grammar), prompt]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "ignore") or done.stderr.decode()


if __name__ == "__main__":
    main()
