"""Answers as JSON in the shape of OpenAI's text completions: one object, or one stream chunk a line.

It knows that shape (platform.openai.com, "Completions" and "The completion object") and nothing of how tokens are made.
Bytes that are no UTF-8 become U+FFFD, for JSON has no other place for them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from gptcli.render.logprobs import Alignment
from gptcli.terminal import Terminal
from gptcli.types import Delta, Event, Finished, FinishReason, TokenInfo


def readable(text: str) -> str:
    """`text` with U+FFFD for every byte that was no UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def finish_reason(reason: FinishReason) -> str:
    """OpenAI's word for why a text ended; its API has no word for an interrupt."""
    return "stop" if reason is FinishReason.STOP else "length"


def usage(ended: list[Finished]) -> dict[str, Any]:
    """Token counts of a whole request; the prompt counts once."""
    prompt = ended[0].prompt_tokens if ended else 0
    completion = sum(event.completion_tokens for event in ended)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": ended[0].reused_tokens if ended else 0},
    }


@dataclass(slots=True)
class _Choice:
    pieces: list[str] = field(default_factory=list)
    tokens: list[TokenInfo] = field(default_factory=list)
    ended: Finished | None = None


class CompletionJson:
    """One `text_completion` object when everything has ended."""

    def __init__(self, terminal: Terminal, model: str, *, with_logprobs: bool, before: str = "") -> None:
        self._terminal = terminal
        self._head = heading(model, "text_completion")
        self._with_logprobs = with_logprobs
        self._before = before
        self._choices: dict[int, _Choice] = {}

    def show(self, event: Event) -> None:
        if isinstance(event, Delta):
            choice = self._choices.setdefault(event.index, _Choice())
            choice.pieces.append(event.text)
            choice.tokens += event.tokens
        elif isinstance(event, Finished):
            self._choices.setdefault(event.index, _Choice()).ended = event

    def close(self) -> None:
        choices, ended = [], []
        for index, choice in sorted(self._choices.items()):
            assert choice.ended is not None
            ended.append(choice.ended)
            text = readable(self._before + "".join(choice.pieces))
            choices.append(
                {
                    "text": text,
                    "index": index,
                    "logprobs": Alignment().logprobs(choice.tokens, len(text)) if self._with_logprobs else None,
                    "finish_reason": finish_reason(choice.ended.reason),
                }
            )
        write_line(self._terminal, {**self._head, "choices": choices, "usage": usage(ended)})


class CompletionLines:
    """One chunk a line, as the stream of the API has them; the last one has the usage and no choices."""

    def __init__(self, terminal: Terminal, model: str, *, with_logprobs: bool, before: str = "") -> None:
        self._terminal = terminal
        self._head = heading(model, "text_completion")
        self._with_logprobs = with_logprobs
        self._before = before
        self._lengths: dict[int, int] = {}
        self._alignments: dict[int, Alignment] = {}
        self._ended: list[Finished] = []

    def show(self, event: Event) -> None:
        if isinstance(event, Delta):
            text = readable(self._start(event.index) + event.text)
            self._lengths[event.index] += len(text)
            found = None
            if self._with_logprobs:
                alignment = self._alignments.setdefault(event.index, Alignment())
                found = alignment.logprobs(event.tokens, self._lengths[event.index])
            self._chunk(text, event.index, found, None)
        elif isinstance(event, Finished):
            self._ended.append(event)
            self._chunk(readable(self._start(event.index)), event.index, None, finish_reason(event.reason))

    def _start(self, index: int) -> str:
        """What stands before a sample's first piece of text."""
        if index in self._lengths:
            return ""
        self._lengths[index] = 0
        return self._before

    def close(self) -> None:
        write_line(self._terminal, {**self._head, "choices": [], "usage": usage(self._ended)})

    def _chunk(self, text: str, index: int, found: dict[str, Any] | None, reason: str | None) -> None:
        choice = {"text": text, "index": index, "logprobs": found, "finish_reason": reason}
        write_line(self._terminal, {**self._head, "choices": [choice]})


def heading(model: str, kind: str) -> dict[str, Any]:
    """The fields that every object of the API begins with; `kind` is its name there."""
    created = time.time()
    return {
        "id": f"{'cmpl' if kind == 'text_completion' else 'chatcmpl'}-{int(created * 1000):x}",
        "object": kind,
        "created": int(created),
        "model": model,
    }


def write_line(terminal: Terminal, value: dict[str, Any]) -> None:
    """One JSON object on a line of its own."""
    terminal.write(json.dumps(value, ensure_ascii=False) + "\n")
