"""llama-server as a peer: starts it, requests many completions at once, and stops it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Load:
    """Completions requested at once: seconds from the first request to the last answer."""

    seconds: float
    texts: list[str]
    tokens: int


@contextlib.contextmanager
def server(binary: Path, model: str, threads: int, slots: int, cells: int) -> Iterator[int]:
    """The port of a warmed-up llama-server with `cells` of KV cache per slot. Raises SystemExit."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work = ["-m", model, "-t", str(threads), "-np", str(slots), "-c", str(slots * cells)]
    command = [str(binary), *work, "--host", "127.0.0.1", "--port", str(port), "--no-webui"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait(process, port)
            complete(port, ["A first request"], 8)
            yield port
        except ConnectionError as problem:
            log.seek(0)
            raise SystemExit(f"{problem}\n{log.read()[-2000:].decode(errors='replace')}") from problem
        finally:
            process.terminate()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError):
            if asyncio.run(_exchange(port, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")):
                return
        time.sleep(0.05)
    raise ConnectionError("llama-server did not start.")


def complete(port: int, prompts: Sequence[str], tokens: int | Sequence[int]) -> Load:
    """Greedy completions of exactly `tokens` tokens, or as many as are given for each, all requested at once.
    Raises ConnectionError."""
    counts = [tokens] * len(prompts) if isinstance(tokens, int) else tokens
    requests = [_request(prompt, count) for prompt, count in zip(prompts, counts, strict=True)]
    started = time.perf_counter()
    answers = asyncio.run(_all(port, requests))
    seconds = time.perf_counter() - started
    found = [json.loads(answer) for answer in answers]
    return Load(seconds, [answer["content"] for answer in found], sum(answer["tokens_predicted"] for answer in found))


def _request(prompt: str, tokens: int) -> bytes:
    body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": True}
    data = json.dumps(body).encode()
    head = "POST /completion HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def _all(port: int, requests: list[bytes]) -> list[bytes]:
    # Connect one after the other: all 256 take some 50 ms, and none is dropped because the accept queue is full.
    streams = []
    for request in requests:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        streams.append((reader, writer))
    answers = await asyncio.gather(*(reader.read() for reader, _ in streams))
    for _, writer in streams:
        writer.close()
    return [_body(answer) for answer in answers]


async def _exchange(port: int, request: bytes) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer.startswith(b"HTTP/1.1 200")


def _body(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"llama-server answered {answer[:300].decode(errors='replace')}")
    return body
