"""Answers of a chat as JSON in the shape of OpenAI's chat completions: one object, or one stream chunk a line.

It knows that shape (platform.openai.com, "The chat completion object" and its chunk); reasoning goes into
`reasoning_content`, where other servers of open models put it.
"""

from __future__ import annotations

from typing import Any

from gptcli.render.completion import finish_reason, heading, readable, usage, write_line
from gptcli.render.logprobs import chat_logprobs
from gptcli.terminal import Terminal
from gptcli.types import Channel, Delta, Event, Finished, TokenInfo

_FIELD = {Channel.ANSWER: "content", Channel.REASONING: "reasoning_content"}


class ChatJson:
    """One `chat.completion` object when the answer has ended."""

    def __init__(self, terminal: Terminal, model: str, *, with_logprobs: bool) -> None:
        self._terminal = terminal
        self._head = heading(model, "chat.completion")
        self._with_logprobs = with_logprobs
        self._pieces: dict[Channel, list[str]] = {channel: [] for channel in Channel}
        self._tokens: list[TokenInfo] = []
        self._ended: list[Finished] = []

    def show(self, event: Event) -> None:
        if isinstance(event, Delta):
            self._pieces[event.channel].append(event.text)
            self._tokens += event.tokens
        elif isinstance(event, Finished):
            self._ended.append(event)

    def close(self) -> None:
        if not self._ended:
            return
        message = {"role": "assistant", "content": readable("".join(self._pieces[Channel.ANSWER]))}
        if reasoning := "".join(self._pieces[Channel.REASONING]):
            message["reasoning_content"] = readable(reasoning)
        choice = {
            "index": 0,
            "message": message,
            "logprobs": chat_logprobs(self._tokens) if self._with_logprobs else None,
            "finish_reason": finish_reason(self._ended[0].reason),
        }
        write_line(self._terminal, {**self._head, "choices": [choice], "usage": usage(self._ended)})


class ChatLines:
    """One `chat.completion.chunk` a line; the first says the role, the last has the usage and no choices."""

    def __init__(self, terminal: Terminal, model: str, *, with_logprobs: bool) -> None:
        self._terminal = terminal
        self._head = heading(model, "chat.completion.chunk")
        self._with_logprobs = with_logprobs
        self._ended: list[Finished] = []
        self._begun = False

    def show(self, event: Event) -> None:
        if isinstance(event, Delta):
            delta = {} if self._begun else {"role": "assistant"}
            self._begun = True
            found = chat_logprobs(event.tokens) if self._with_logprobs else None
            self._chunk({**delta, _FIELD[event.channel]: readable(event.text)}, found, None)
        elif isinstance(event, Finished):
            self._ended.append(event)
            self._chunk({} if self._begun else {"role": "assistant"}, None, finish_reason(event.reason))

    def close(self) -> None:
        if self._ended:
            write_line(self._terminal, {**self._head, "choices": [], "usage": usage(self._ended)})

    def _chunk(self, delta: dict[str, str], found: dict[str, Any] | None, reason: str | None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": found, "finish_reason": reason}
        write_line(self._terminal, {**self._head, "choices": [choice]})
