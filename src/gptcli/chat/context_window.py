"""Chooses the messages that the model is shown when a conversation no longer fits into the context.

The conversation itself is never shortened, and the user is told whenever messages are left out."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Callable
from enum import Enum

from gptcli.errors import ContextFull
from gptcli.types import Message, TokenPrompt

ANSWER_TOKENS = 256  # reserved for an answer without a limit of its own
_SUMMARY_TOKENS = 300
_TARGET = 0.75
"""How full a shortened prompt may be. If it were full, the next turn would have to shorten it and compute it again."""

Messages = tuple[Message, ...]
Count = Callable[[Messages], int]


class Overflow(str, Enum):
    """The user's choice for a full context."""

    ASK = "ask"
    REFUSE = "refuse"
    OLDEST = "oldest"
    SUMMARIZE = "summarize"


def reserved_tokens(limit: int, max_tokens: int | None) -> int:
    """Tokens of a context of `limit` that are reserved for the answer: never more than half of it."""
    return min(max_tokens or ANSWER_TOKENS, limit // 2)


def summary_tokens(limit: int) -> int:
    """Tokens that a summary may have in a context of `limit`."""
    return min(_SUMMARY_TOKENS, limit // 8)


def _context_full(count: int, limit: int, reserved: int) -> ContextFull:
    return ContextFull(
        f"The conversation has {count:,} tokens; the context holds {limit:,}, {reserved:,} of them reserved for the"
        " answer.",
        "Use --overflow (or /set overflow) oldest or summarize, a larger --ctx-size, or a new conversation.",
    )


def _split(messages: Messages) -> tuple[Messages, Messages]:
    """The system message, if there is one, and the others."""
    at = int(bool(messages) and messages[0].role == "system")
    return messages[:at], messages[at:]


def shorten(messages: Messages, count: Count, limit: int, reserved: int, previous: int = 0) -> tuple[int, Messages]:
    """The number of oldest messages to leave out, and the messages without them. `previous` were left out last time,
    and are again while that is enough. A question goes with its answer; the system message and the newest question
    stay. Raises ContextFull if these are too long."""
    system, rest = _split(messages)
    starts = [index for index, message in enumerate(rest) if message.role == "user" and index > 0]
    if not starts:
        raise _context_full(count(messages), limit, reserved)
    if previous in starts and count(system + rest[previous:]) <= limit - reserved:
        return previous, system + rest[previous:]
    target = int((limit - reserved) * _TARGET)
    at = bisect_left(starts, True, key=lambda start: count(system + rest[start:]) <= target)
    start = starts[min(at, len(starts) - 1)]
    if at == len(starts) and (size := count(system + rest[start:])) > limit - reserved:
        raise _context_full(size, limit, reserved)
    return start, system + rest[start:]


def with_summary(messages: Messages, summary: str) -> Messages:
    """The messages, with a summary of earlier ones at the end of the system message."""
    system, rest = _split(messages)
    text = f"Earlier in this conversation: {summary}"
    return (Message("system", f"{system[0].content}\n\n{text}" if system else text), *rest)


class ContextWindow:
    """What the model is shown of one conversation, from turn to turn."""

    def __init__(self, count: Count, summarize: Callable[[Messages], str], notify: Callable[[str], None]) -> None:
        """`count` gives the tokens of a prompt, `summarize` the model's summary; `notify` reports what is left out."""
        self.left_out = 0  # messages left out of the last prompt
        self._count = count
        self._summarize = summarize
        self._notify = notify
        self._summarized: Messages = ()
        self._summary = ""

    def fit(
        self,
        messages: Messages,
        encode: Callable[[Messages], TokenPrompt],
        limit: int,
        max_tokens: int | None,
        choose: Callable[[str], Overflow],
    ) -> TokenPrompt:
        """The prompt of all messages if they fit, else of those that the user's choice leaves; `choose` asks for it.
        Raises ContextFull if the choice is to refuse, or nothing fits."""
        encode = functools.cache(encode)

        def count(shown: Messages) -> int:
            return len(encode(shown).tokens)

        reserved = reserved_tokens(limit, max_tokens)
        size = count(messages)
        if size <= limit - reserved:
            self.left_out = 0
            return encode(messages)
        left_out, shown = shorten(messages, count, limit, reserved, self.left_out)  # or there is nothing to choose
        refusal = _context_full(size, limit, reserved)
        choice = choose(refusal.message)
        if choice in (Overflow.REFUSE, Overflow.ASK):  # ask: there is nobody to ask
            raise refusal
        if choice is Overflow.SUMMARIZE:
            left_out, shown = shorten(messages, count, limit, reserved + summary_tokens(limit), self.left_out)
        if left_out != self.left_out:
            self._notify(
                f"The context is full ({size:,} of {limit:,} tokens, {reserved:,} reserved for the answer).\n"
                f"The model no longer sees the {left_out} oldest messages."
            )
        self.left_out = left_out
        if choice is Overflow.SUMMARIZE:
            system, rest = _split(messages)
            shown = with_summary(shown, self._summary_of(system, rest[:left_out], limit))
        return encode(shown)

    def _summary_of(self, system: Messages, messages: Messages, limit: int) -> str:
        """The model's summary of messages, made once; for more of them, from the last summary and the new ones."""
        if messages != self._summarized:
            self._notify("The model is summarizing them.")
            known = len(self._summarized)
            text = system + messages
            if known and messages[:known] == self._summarized:
                text = with_summary(system + messages[known:], self._summary)
            reserved = 2 * summary_tokens(limit)  # for the request to summarize, and the summary
            if self._count(text) > limit - reserved:
                _, text = shorten(text, self._count, limit, reserved)
                self._notify("The oldest of them do not fit into the summary and are left out of it.")
            self._summary = self._summarize(text)
            self._summarized = messages
        return self._summary
