"""How much worse a model gets in smaller formats: bits per byte and perplexity of one text in each.

    python -m bench.format_quality [--model FILE.gguf] [--text FILE] [--write]

The formats are made from FILE (default: the stored starter model, Q4_1) by `gptcli models quantize`. A format that has
more bits than FILE cannot be better than FILE, and one with fewer is a little worse than if it were made from F16. The
text (default: docs/architecture.md) is younger than the starter model, so it cannot have been trained on it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import results
from bench.pairs import Comparison
from bench.quant_formats import FORMATS, quantize_all
from gptcli.models.gguf.header import read_header
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

TEXT = Path(__file__).parents[1] / "docs" / "architecture.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--text", type=Path, default=TEXT)
    parser.add_argument("--write", action="store_true", help="update bench/RESULTS.md")
    options = parser.parse_args()
    model = (options.model or resolve("smollm2", offline=True, report=Silent()).path).resolve()
    own = read_header(model).quantization
    with tempfile.TemporaryDirectory() as folder:
        files = {own: model, **quantize_all(model, Path(folder))}
        scores = {name: score(file, options.text) for name, file in files.items()}
    rows = []
    for name in dict.fromkeys([own, *FORMATS]):
        for what, unit in (("bits_per_byte", "bits/byte"), ("perplexity", "")):
            label = what.replace("_", " ")
            rows.append(Comparison(f"{name}, {label}", own, unit, [scores[name][what]], [scores[own][what]]))
    facts = {"model": model.name, "text": options.text.name, **results.machine(), **results.versions()}
    results.publish("format_quality", rows, facts, write=options.write)


def score(file: Path, text: Path) -> dict[str, float]:
    """What `gptcli score` finds."""
    command = [sys.executable, "-m", "gptcli", "score", "--format", "json", "-m", str(file), str(text)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    first: dict[str, float] = found[0] if isinstance(found, list) else found
    return first


if __name__ == "__main__":
    main()
