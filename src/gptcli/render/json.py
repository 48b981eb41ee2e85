"""Answers as OpenAI's JSON on stdout: one object, or one stream chunk a line."""

from __future__ import annotations

import json
import time

from gptcli.openai.response import Answer, ResponseBuilder, usage
from gptcli.terminal import Terminal
from gptcli.types import Delta, Event, Finished


class JsonObject:
    """Writes one `text_completion` or `chat.completion` object when all samples have ended."""

    def __init__(self, terminal: Terminal, builder: ResponseBuilder) -> None:
        self._terminal, self._builder = terminal, builder
        self._answer = Answer()

    def show(self, event: Event) -> None:
        if isinstance(event, Delta):
            self._answer.delta(event)
        elif isinstance(event, Finished):
            self._answer.finished(event)

    def close(self) -> None:
        if self._answer.samples or not self._builder.chat:
            _write(self._terminal, self._builder.completion(self._answer))


class JsonLines:
    """Writes one chunk a line; the last one has the usage and no choices."""

    def __init__(self, terminal: Terminal, builder: ResponseBuilder) -> None:
        self._terminal, self._builder = terminal, builder
        self._ends: list[Finished] = []

    def show(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._ends.append(event)
        if isinstance(event, Delta | Finished):
            _write(self._terminal, self._builder.chunk(event))

    def close(self) -> None:
        if self._ends or not self._builder.chat:
            _write(self._terminal, self._builder.usage_chunk(usage(self._ends)))


def json_renderer(terminal: Terminal, model: str, *, lines: bool, chat: bool, logprobs: bool) -> JsonObject | JsonLines:
    """A renderer for an answer that is made now."""
    now = time.time()
    builder = ResponseBuilder(model, f"{int(now * 1000):x}", int(now), chat, logprobs)
    return JsonLines(terminal, builder) if lines else JsonObject(terminal, builder)


def _write(terminal: Terminal, value: dict[str, object]) -> None:
    terminal.write(json.dumps(value, ensure_ascii=False) + "\n")
