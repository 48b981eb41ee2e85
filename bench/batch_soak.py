"""Lets one `gptcli batch` answer thousands of rows of every kind, and looks whether its memory grows.

Run `python -m bench.batch_soak` from the root of the checkout; it takes half an hour. Prompts and answers are short and
long, a third of the rows have one of ten common beginnings, some have stop strings, and some fail.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import flags
from bench.programs import program
from bench.results import Check, machine, publish, versions
from bench.soak import MOST_GROWTH, WARM_UP, resident
from bench.works import sentence, text
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

_LONGEST_FIRST = 32
"""Rows that are computed at once with two threads."""


def row(number: int) -> dict[str, Any]:
    """A row; every hundredth asks for more than the model's context has.

    The first ones are the longest, so that the KV cache need not become larger later."""
    draw = random.Random(number)
    if number < _LONGEST_FIRST:
        return {"id": str(number), "prompt": text(draw, 800), "seed": number, "max_tokens": 300}
    prompt = text(draw, min(800, int(draw.lognormvariate(4.0, 1.0))))
    if draw.random() < 1 / 3:
        prompt = f"{text(random.Random(-draw.randrange(1, 11)), 150)}\n\n{sentence(draw)}"
    found: dict[str, Any] = {"id": str(number), "prompt": prompt, "seed": number}
    found["max_tokens"] = max(1, min(300, int(draw.lognormvariate(3.3, 1.0))))
    if draw.random() < 0.2:
        found["stop"] = draw.choice(["\n", ". ", "the"])
    if number % 100 == 99:
        found["prompt"] = sentence(draw) * 2000
    return found


def main() -> None:
    parser = flags.parser("batch_soak", __doc__ or "")
    parser.add_argument("--rows", type=int, default=2500, help="(default: 2500)")
    options = parser.parse_args()
    model = str(resolve(options.model, offline=True, report=Silent()).path)
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "rows.jsonl", Path(folder) / "out.jsonl"
        source.write_text("".join(json.dumps(row(number)) + "\n" for number in range(options.rows)), "utf-8")
        command = [program(), "batch", str(source), "-o", str(output), "-m", model, "-t", str(options.threads), "-q"]
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        memory: list[int] = []
        while process.poll() is None:
            memory.append(resident(process.pid))
            time.sleep(1.0)
        seconds = time.monotonic() - began
        answers = [json.loads(line) for line in output.open(encoding="utf-8")]
    settled = memory[int(len(memory) * WARM_UP) :]
    growth = max(settled) - settled[0]
    failed = {answer["custom_id"] for answer in answers if answer.get("error")}
    too_long = {str(number) for number in range(99, options.rows, 100)}
    rows = [
        Check("rows with one answer each", "batch", len({answer["custom_id"] for answer in answers}), options.rows),
        Check("no other answers", "batch", int(len(answers) == options.rows), 1),
        Check("rows that fail, as they must", "batch", int(failed == too_long), 1),
        Check("memory grew by less than 30 MiB", "batch", int(growth < MOST_GROWTH), 1),
    ]
    facts = {"seconds": f"{seconds:.0f}", "rows": str(options.rows), "failed": str(len(failed))}
    tenth = max(1, len(settled) // 10)
    means = [statistics.mean(settled[start : start + tenth]) / 2**20 for start in range(0, len(settled), tenth)]
    facts |= {"memory, MiB, means of a tenth of the time": ", ".join(f"{mean:.0f}" for mean in means[:10])}
    facts |= {"growth": f"{growth / 2**20:.1f} MiB"}
    publish("soak of a batch", rows, facts | machine() | versions(), write=options.write)


if __name__ == "__main__":
    main()
