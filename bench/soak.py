"""Asks a `gptcli serve` thousands of times, leaves in the middle of a third of the answers, and looks at what is left.

Run `python -m bench.soak` from the root of the checkout. Each request's grammar allows one answer, a number of its own:
an answer with another number would be somebody else's. The model is the tests' tiny one, so that the server's own work
is most of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.programs import program
from bench.results import Check, machine, publish, versions

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from tiny_gpt2 import write_tiny_gpt2

WARM_UP = 0.1
"""Part of the requests after which memory is measured first."""
MOST_GROWTH = 30 << 20
"""Bytes that memory may grow by after that."""


@dataclass(slots=True)
class Outcome:
    """What became of the requests so far."""

    right: int = 0
    wrong: int = 0
    cut: int = 0


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--requests", type=int, default=10_000, help="(default: 10000)")
    parser.add_argument("--at-once", type=int, default=32, help="requests at once (default: 32)")
    parser.add_argument("--write", action="store_true", help="update bench/RESULTS.md")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = write_tiny_gpt2(folder / "tiny.gguf")
        command = [program(), "serve", "-m", str(model), "-t", "1", "--port", "0", "--parallel", "16"]
        environment = os.environ | {"GPTCLI_RUNTIME_DIR": str(folder / "run")}
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env=environment)
        try:
            assert process.stderr is not None
            found = re.search(rb":(\d+)/v1", await process.stderr.readline())
            assert found is not None, "the server did not start"
            await _soak(int(found[1]), process.pid, args)
        finally:
            process.terminate()
            await process.wait()


async def _soak(port: int, pid: int, args: argparse.Namespace) -> None:
    outcome = Outcome()
    numbers = iter(range(args.requests))
    memory: list[int] = []

    async def client() -> None:
        for number in numbers:
            await _ask(port, number, outcome)
            if number % 100 == 0:
                memory.append(resident(pid))

    await asyncio.gather(*(client() for _ in range(args.at_once)))
    metrics = await _metrics(port)
    settled = memory[int(len(memory) * WARM_UP) :]
    growth = max(settled) - settled[0]
    answered, left = outcome.right + outcome.wrong, metrics["requests_running"] + metrics["requests_waiting"]
    rows = [
        Check("answers with their own number", "serve", outcome.right, answered),
        Check("places free in the end", "serve", int(left == 0), 1),
        Check("memory grew by less than 30 MiB", "serve", int(growth < MOST_GROWTH), 1),
    ]
    facts = {"requests": str(args.requests), "cut by the client": str(outcome.cut), "at once": str(args.at_once)}
    facts |= {"memory after warming up": f"{settled[0] / 2**20:.0f} MiB", "growth": f"{growth / 2**20:.1f} MiB"}
    publish("soak", rows, machine() | versions() | facts, write=args.write)


async def _ask(port: int, number: int, outcome: Outcome) -> None:
    """One request; a third of them are cut off, before the answer or in its middle."""
    choose = random.Random(number)
    answer = f"{number:08d}"
    body = {"prompt": f"Say {answer}", "max_tokens": 40, "stream": True, "grammar": f'root ::= "{answer}"'}
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    if choose.random() < 1 / 3:
        if choose.random() < 0.5:
            await reader.read(choose.randrange(1, 2000))
        writer.transport.abort()
        outcome.cut += 1
        return
    received = await reader.read()
    writer.close()
    chunks = re.findall(rb"^data: (\{.*\})$", received, re.MULTILINE)
    text = "".join(json.loads(chunk)["choices"][0]["text"] for chunk in chunks)
    if text == answer and b"[DONE]" in received:
        outcome.right += 1
    else:
        outcome.wrong += 1
        sys.stderr.write(f"{answer}: {received[:2000]!r}\n")


async def _metrics(port: int) -> dict[str, float]:
    """The gauges of the server, once nothing runs any more or ten seconds have passed."""
    for _ in range(100):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        found = {name: float(value) for name, value in re.findall(r"^gptcli_(\w+) (\S+)$", text, re.MULTILINE)}
        if found["requests_running"] + found["requests_waiting"] == 0:
            break
        await asyncio.sleep(0.1)
    return found


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    asyncio.run(main())
