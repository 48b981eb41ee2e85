"""The cost of reading and writing a row, without a model: `batch_rows.py [ROWS]` (default: 100,000).

Rows of one token on an engine that answers at once. Prints one JSON line: CPU microseconds per row in the second and
in the last tenth of the rows, journal and syncs included, and the process's memory after 1,000 rows and at the end, in
MB. Memory is read from /proc, so this needs Linux.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from gptcli.batch.formats import OpenAILines
from gptcli.batch.input import Input
from gptcli.batch.output import open_path
from gptcli.batch.request import RequestBuilder
from gptcli.batch.runner import Runner
from gptcli.render.batch import BatchProgress
from gptcli.types import Delta, Event, Finished, FinishReason, Request, Started, TextPrompt


class OneToken:
    """Answers every request with one token, and records time and memory."""

    def __init__(self, rows: int) -> None:
        self.marks = {rows // 10, rows // 5, rows * 9 // 10, rows - 1, 1000}
        self.seconds: dict[int, float] = {}
        self.memory: dict[int, float] = {}

    def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
        for number, request in enumerate(requests):
            if number in self.marks:
                self.seconds[number] = time.process_time()
                self.memory[number] = memory()
            yield Started(request.id, 5, 0)
            yield Delta(request.id, 0, "x", [])
            yield Finished(request.id, 0, FinishReason.LENGTH, 5, 0, 1, 1, 0.0, 0.0)


def memory() -> float:
    """Resident megabytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def write_rows(path: Path, count: int) -> None:
    with open(path, "w") as file:
        for number in range(count):
            body = {"model": "m", "messages": [{"role": "user", "content": f"hello {number}"}], "max_tokens": 1}
            line = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    engine = OneToken(rows)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.jsonl")
        write_rows(source, rows)
        given = Input((str(source),), "jsonl", io.BytesIO())
        out = Path(folder, "out")
        output = open_path(out, None, folder=False, settings={}, ordered=True, overwrite=False, created=1)
        builder = RequestBuilder(Request("", TextPrompt(b"")))
        Runner(lambda: engine, given.open(), builder, OpenAILines("m", 1), output, BatchProgress()).run()
        given.close()
    tenth = rows // 10
    early = (engine.seconds[2 * tenth] - engine.seconds[tenth]) / tenth
    late = (engine.seconds[rows - 1] - engine.seconds[9 * tenth]) / tenth
    print(
        json.dumps(
            {
                "rows": rows,
                "second_tenth_us": round(early * 1e6, 1),
                "last_tenth_us": round(late * 1e6, 1),
                "memory_1000_mb": round(engine.memory[1000], 1),
                "memory_end_mb": round(engine.memory[rows - 1], 1),
            }
        )
    )


main()
