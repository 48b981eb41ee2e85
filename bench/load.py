"""A load generator: clients that stream completions, each the next one when its last has ended, as vLLM's benchmark.

It speaks HTTP on sockets of its own, because the time of an HTTP library would be part of every measured number."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Streamed:
    """One answer: when it was asked for and when each of its tokens came, in seconds."""

    asked: float
    tokens: list[float] = field(default_factory=list)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """All answers of a run."""

    seconds: float
    answers: list[Streamed]

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return sum(len(answer.tokens) for answer in self.answers) / self.seconds

    @property
    def first(self) -> list[float]:
        """Seconds to the first token of each answer."""
        return [answer.tokens[0] - answer.asked for answer in self.answers]

    @property
    def between(self) -> list[float]:
        """Seconds between neighbouring tokens of all answers."""
        pairs = [zip(answer.tokens, answer.tokens[1:], strict=False) for answer in self.answers]
        return [later - earlier for pair in pairs for earlier, later in pair]


def percentile(values: Sequence[float], percent: int) -> float:
    """That percentile; the value itself if there is only one."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def run(port: int, prompts: Sequence[str], at_once: int, tokens: int) -> Load:
    """Ask for all prompts, `at_once` of them at any time, greedily and for exactly so many tokens."""
    return asyncio.run(_run(port, iter(prompts), at_once, tokens))


async def _run(port: int, prompts: Iterator[str], at_once: int, tokens: int) -> Load:
    answers: list[Streamed] = []

    async def client() -> None:
        answers.extend([await _ask(port, prompt, tokens) for prompt in prompts])

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(at_once)))
    return Load(time.perf_counter() - started, answers)


async def _ask(port: int, prompt: str, tokens: int) -> Streamed:
    body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True}
    data = json.dumps(body).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    answer = Streamed(time.perf_counter())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    received = []
    while piece := await reader.read(1 << 16):
        now = time.perf_counter()
        received.append(piece)
        answer.tokens += [now] * piece.count(b"data: {")
    writer.close()
    whole = b"".join(received)
    if not whole.startswith(b"HTTP/1.1 200") or b"[DONE]" not in whole:
        raise SystemExit(f"A request failed: {whole[:500]!r}")
    del answer.tokens[tokens:]  # the last event has the reason and no token
    return answer
