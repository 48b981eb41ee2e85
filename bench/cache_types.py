"""What types of the KV cache cost and save: perplexity, rates behind a long prompt, and memory.

Run `python -m bench.cache_types` from the root of the checkout, on an idle machine.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

from bench import flags
from bench.pairs import Comparison, run
from bench.prefix_cache import prose
from bench.programs import program
from bench.results import Row, machine, publish, versions
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

TYPES = (("f16", "f16"), ("q8_0", "q8_0"), ("q8_0", "f16"), ("q5_1", "q5_1"), ("q4_0", "q4_0"))
"""Of the keys and of the values; the first pair is what the others are compared with."""
TEXT = Path(__file__).parents[1] / "docs" / "architecture.md"
"""It is younger than the starter model, so that cannot have been trained on it."""
DECODED = 48


def measure(common: list[str], prompt: Path, text: Path) -> dict[str, float]:
    """One run of `score` and one of `complete`."""
    scored = run([program(), "score", *common, "--ctx-size", "1024", "--format", "json", str(text)])
    found = json.loads(scored.output)
    command = [program(), "complete", *common, "-f", str(prompt), "--no-stdin", "--no-server", "--stats", "--temp", "0"]
    command += ["-n", str(DECODED), "--ignore-eos"]
    peak = run(command).peak
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    rates = dict(re.findall(r"(prompt|decode): .* ([\d.,]+) tokens/s", done.stderr))
    first = found[0] if isinstance(found, list) else found
    return {
        "perplexity": first["perplexity"],
        "prompt rate": float(rates["prompt"].replace(",", "")),
        "decode rate": float(rates["decode"].replace(",", "")),
        "peak memory": peak / 2**20,
    }


UNITS = {"perplexity": "", "prompt rate": "tokens/s", "decode rate": "tokens/s", "peak memory": "MiB"}


def main() -> None:
    parser = flags.parser("cache_types", __doc__ or "")
    parser.add_argument("--rounds", type=int, default=3, help="runs with each pair of types, in turn (default: 3)")
    parser.add_argument("--tokens", type=int, default=3000, help="of the prompt (default: 3,000)")
    options = parser.parse_args()
    model = str(resolve(options.model, offline=True, report=Silent()).path)
    found: dict[tuple[str, str], list[dict[str, float]]] = {types: [] for types in TYPES}
    with tempfile.TemporaryDirectory() as folder:
        prompt, text = Path(folder) / "prompt.txt", Path(folder) / "text.txt"
        prompt.write_text(prose(options.tokens // 19))
        text.write_text(TEXT.read_text("utf-8")[:6000], "utf-8")
        for _ in range(options.rounds):
            for (keys, values), runs in found.items():
                types = ["--cache-type-k", keys, "--cache-type-v", values]
                runs.append(measure(["-m", model, "-t", str(options.threads), *types], prompt, text))
    rows: list[Row] = []
    usual = found[TYPES[0]]
    for types, runs in list(found.items())[1:]:
        for what, unit in UNITS.items():
            ours, theirs = [one[what] for one in runs], [one[what] for one in usual]
            name = f"keys {types[0]}, values {types[1]}: {what}"
            rows.append(Comparison(name, "f16", unit, ours, theirs, None, what.endswith("rate")))
    facts = {"model": Path(model).name, "prompt": f"{options.tokens} tokens", **machine(), **versions()}
    publish("cache_types", rows, facts, write=options.write)


if __name__ == "__main__":
    main()
