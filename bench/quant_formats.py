"""Which four-bit format suits this processor: tokens per second of prompts and of decoding, the same model in each.

    python -m bench.quant_formats [--rounds 5] [--model FILE.gguf] [--write]

The other formats are made of FILE (the stored starter model) by `gptcli models quantize`; what they answer is of no
account here. Each round runs every format once, in a process of its own, through gptcli's engine and its usual threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import results
from bench.pairs import Comparison
from gptcli.engine.engine import LocalEngine
from gptcli.interrupt import Interrupt
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.devices import Offload
from gptcli.llama.threads import choose_threads
from gptcli.models.gguf.header import read_header
from gptcli.models.refs.resolve import resolve
from gptcli.models.report import Silent
from gptcli.params import Sampling
from gptcli.types import Finished, Request, TextPrompt, TokenPrompt

FORMATS = ("Q4_0", "Q4_1", "Q4_K_M", "Q8_0")
BASE = "Q4_K_M"
"""What gptcli takes where nothing is asked for; the others are compared with it."""
PROMPT_TOKENS, DECODED_TOKENS = 512, 64
TEXT = b"Once upon a time there was a little village at the edge of a deep forest, where an old clockmaker lived. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--write", action="store_true", help="replace this benchmark's part of RESULTS.md")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    model = options.model or resolve("smollm2", offline=True, report=Silent()).path
    with tempfile.TemporaryDirectory() as folder:
        files = made(model.resolve(), Path(folder))
        rounds = [{name: child(file) for name, file in files.items()} for _ in range(options.rounds)]
        sizes = {name: f"{file.stat().st_size / 1e6:.1f} MB" for name, file in files.items()}
    rows = []
    for index, what in enumerate((f"prompt of {PROMPT_TOKENS} tokens", f"decoding {DECODED_TOKENS} tokens")):
        for name in FORMATS:
            ours, theirs = ([figures[kind][index] for figures in rounds] for kind in (name, BASE))
            rows.append(Comparison(f"{name} ({sizes[name]}), {what}", BASE, "tokens/s", ours, theirs))
    facts = {"model": model.name, **results.machine(), **results.versions()}
    results.publish("quant_formats", rows, facts, write=options.write)


def made(model: Path, folder: Path) -> dict[str, Path]:
    """`model` in every format."""
    have = read_header(model).quantization
    environment = {**os.environ, "GPTCLI_DATA_DIR": str(folder)}
    files = {}
    for name in FORMATS:
        if name == have:
            files[name] = model
            continue
        command = [sys.executable, "-m", "gptcli", "models", "quantize", str(model), name, "--name", name]
        subprocess.run([*command, "--requantize", "--quiet"], env=environment, check=True, stdout=subprocess.DEVNULL)
        files[name] = folder / "models" / f"{name}.gguf"
    return files


def child(file: Path) -> tuple[float, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "bench.quant_formats", "--one", str(file)]
    prompt, decode = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return prompt, decode


def measure(file: Path) -> tuple[float, float]:
    """Tokens per second of a prompt, and of decoding after it; the second of two runs, without its cache."""
    interrupt = Interrupt()
    with LlamaBackend.open(file, Offload((), 0), choose_threads(None, None), interrupt) as backend:
        engine = LocalEngine(backend, context=PROMPT_TOKENS + DECODED_TOKENS, interrupt=interrupt)
        tokens = engine.encode(TextPrompt(TEXT * 40)).tokens
        ends = []
        for start in (0, 7):  # another first token: nothing of the first run's prompt is used again
            prompt = TokenPrompt(tokens[start : start + PROMPT_TOKENS])
            wanted = Request(str(start), prompt, Sampling(temperature=0), max_tokens=DECODED_TOKENS, ignore_eos=True)
            ends += [event for event in engine.stream([wanted]) if isinstance(event, Finished)]
    end = ends[-1]
    if end.reused_tokens or end.completion_tokens != DECODED_TOKENS:
        raise SystemExit(f"{end.reused_tokens} tokens were reused and {end.completion_tokens} made")
    return end.prompt_tokens / end.prompt_seconds, (end.completion_tokens - 1) / end.decode_seconds


if __name__ == "__main__":
    main()
