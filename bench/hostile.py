"""200 hostile schemas, each checked by a process of its own: its computing time, its peak memory, its traceback if any.

    python -m bench.hostile [--part K/N] [--write]

They are those of `tests/unit/test_schema_values.py`. Both figures include the process in which a schema is tried."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import flags
from bench.results import Check, machine, publish, versions

SECONDS, MEMORY = 2.0, 200 << 20


def main() -> None:
    """Measure and print; with --write, update RESULTS.md."""
    parser = flags.parser("hostile", __doc__ or "")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="every Nth, beginning with the Kth (default: 1/1)")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests/unit"))
    from test_schema_values import hostile

    part, parts = map(int, options.part.split("/"))
    schemas = hostile()[part - 1 :: parts]
    found = [check(schema) for schema in schemas]
    for schema, (seconds, peak, error) in zip(schemas, found, strict=True):
        if seconds > SECONDS or peak > MEMORY or error:
            print(f"{seconds:.2f} s, {peak >> 20} MiB, {error[-300:]}: {str(schema)[:100]}")
    total = len(schemas)
    rows = [
        Check(f"checked within {SECONDS:.0f} s", "", sum(seconds <= SECONDS for seconds, _, _ in found), total),
        Check("within 200 MiB", "", sum(peak <= MEMORY for _, peak, _ in found), total),
        Check("without a traceback", "", sum(not error for _, _, error in found), total),
    ]
    longest, largest = max(seconds for seconds, _, _ in found), max(peak for _, peak, _ in found)
    facts = {"part": options.part, "longest": f"{longest:.2f} s", "largest": f"{largest >> 20} MiB"}
    publish("hostile", rows, machine() | versions() | facts, write=options.write)


def check(schema: object) -> tuple[float, int, str]:
    """Seconds of computing, bytes of memory, and the traceback."""
    with tempfile.TemporaryDirectory() as folder:
        file, errors = Path(folder, "schema.json"), Path(folder, "errors")
        file.write_text(json.dumps(schema))
        command = [sys.executable, "-m", "gptcli", "schema", "check", str(file)]
        with errors.open("wb") as stream:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stream)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        text = errors.read_text("utf-8", "replace")
    broken = "Traceback" in text or process.returncode not in (0, 2)
    return (
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * 1024,
        text or f"exit {process.returncode}" if broken else "",
    )


if __name__ == "__main__":
    main()
