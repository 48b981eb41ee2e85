"""Which four-bit format suits this processor: prefill and decode rates of the same model in each format.

    python -m bench.quant_formats [--rounds 5] [--model FILE.gguf] [--write]

The other formats are made from FILE (default: the stored starter model) by `gptcli models quantize`; their quality does
not matter here. Each round runs every format once, in its own process, with gptcli's engine and default threads.
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
from gptcli.llama.devices import Offload, choose_threads
from gptcli.llama.model import Model
from gptcli.models.gguf.header import read_header
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve
from gptcli.params import Sampling
from gptcli.types import Finished, Request, TextPrompt, TokenPrompt

FORMATS = ("Q4_0", "Q4_1", "Q4_K_M", "Q8_0")
BASE = "Q4_K_M"
"""gptcli's default; the others are compared with it."""
PROMPT_TOKENS, DECODED_TOKENS = 512, 64
TEXT = b"Once upon a time there was a little village at the edge of a deep forest, where an old clockmaker lived. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--write", action="store_true", help="update bench/RESULTS.md")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    model = options.model or resolve("smollm2", offline=True, report=Silent()).path
    with tempfile.TemporaryDirectory() as folder:
        files = quantize_all(model.resolve(), Path(folder))
        rounds = [{name: child(file) for name, file in files.items()} for _ in range(options.rounds)]
        sizes = {name: f"{file.stat().st_size / 1e6:.1f} MB" for name, file in files.items()}
    rows = []
    for index, what in enumerate((f"prompt of {PROMPT_TOKENS} tokens", f"decoding {DECODED_TOKENS} tokens")):
        for name in FORMATS:
            ours, theirs = ([figures[kind][index] for figures in rounds] for kind in (name, BASE))
            rows.append(Comparison(f"{name} ({sizes[name]}), {what}", BASE, "tokens/s", ours, theirs))
    facts = {"model": model.name, **results.machine(), **results.versions()}
    results.publish("quant_formats", rows, facts, write=options.write)


def quantize_all(model: Path, folder: Path) -> dict[str, Path]:
    """`model` in every format."""
    own = read_header(model).quantization
    environment = {**os.environ, "GPTCLI_DATA_DIR": str(folder)}
    files = {}
    for name in FORMATS:
        if name == own:
            files[name] = model
            continue
        command = [sys.executable, "-m", "gptcli", "models", "quantize", str(model), name, "--name", name]
        subprocess.run([*command, "--requantize", "--quiet"], env=environment, check=True, stdout=subprocess.DEVNULL)
        files[name] = folder / "models" / f"{name}.gguf"
    return files


def child(file: Path) -> tuple[float, float]:
    """`measure` in its own process."""
    command = [sys.executable, "-m", "bench.quant_formats", "--one", str(file)]
    prompt, decode = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return prompt, decode


def measure(file: Path) -> tuple[float, float]:
    """Tokens per second of prefill and of decoding; the second of two runs, without cached tokens."""
    interrupt = Interrupt()
    with LlamaBackend(Model.load(file, Offload((), 0)), choose_threads(None, None), interrupt) as backend:
        engine = LocalEngine(backend, context=PROMPT_TOKENS + DECODED_TOKENS, interrupt=interrupt)
        tokens = engine.encode(TextPrompt(TEXT * 40)).tokens
        ends = []
        for start in (0, 7):  # another first token: nothing of the first prompt is reused
            prompt = TokenPrompt(tuple(tokens[start : start + PROMPT_TOKENS]))
            wanted = Request(str(start), prompt, Sampling(temperature=0), max_tokens=DECODED_TOKENS, ignore_eos=True)
            ends += [event for event in engine.stream([wanted]) if isinstance(event, Finished)]
    end = ends[-1]
    if end.reused_tokens or end.completion_tokens != DECODED_TOKENS:
        raise SystemExit(f"{end.reused_tokens} tokens were reused and {end.completion_tokens} generated")
    return end.prompt_tokens / end.prompt_seconds, (end.completion_tokens - 1) / end.decode_seconds


if __name__ == "__main__":
    main()
