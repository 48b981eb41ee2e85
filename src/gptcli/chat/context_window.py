"""Which messages the model is shown when a conversation no longer fits into the context.

It knows messages and a way to count them, and no engine. The conversation itself is never shortened, only what is
shown of it; and it is always said.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from enum import Enum

from gptcli.errors import ContextFull
from gptcli.types import Message

ANSWER_ROOM = 256
"""Tokens kept free for an answer whose length nobody said."""
_SUMMARY_TOKENS = 300
_SPARE = 0.75
"""How full a shortened prompt may be: were it full, the next turn would shorten again and compute all of it anew."""

Messages = tuple[Message, ...]
Count = Callable[[Messages], int]


class Overflow(str, Enum):
    """The user's choice for a full context."""

    ASK = "ask"
    REFUSE = "refuse"
    OLDEST = "oldest"
    SUMMARIZE = "summarize"


def answer_room(limit: int, max_tokens: int | None) -> int:
    """Tokens of a context of `limit` that are kept for the answer; never more than half of it."""
    return min(max_tokens or ANSWER_ROOM, limit // 2)


def summary_room(limit: int) -> int:
    """Tokens that a summary may have, in a context of `limit`."""
    return min(_SUMMARY_TOKENS, limit // 8)


def too_long(count: int, limit: int, kept: int) -> ContextFull:
    """The error that names all three numbers and what to do."""
    return ContextFull(
        f"The conversation has {count:,} tokens; the context holds {limit:,}, and {kept:,} are kept for the answer.",
        "Use --overflow (or /set overflow) oldest or summarize, a larger --ctx-size, or begin a new one.",
    )


def parted(messages: Messages) -> tuple[Messages, Messages]:
    """The system message, if there is one, and the others."""
    at = int(bool(messages) and messages[0].role == "system")
    return messages[:at], messages[at:]


def shorten(messages: Messages, count: Count, limit: int, kept: int, before: int = 0) -> tuple[int, Messages]:
    """How many of the oldest messages to leave out, and the messages without them; `before` were left out so far, and
    are again while that will do.

    Whole turns only: a question goes with its answer. The system message and the newest question stay.
    Raises ContextFull where even those are too long."""
    system, rest = parted(messages)
    starts = [index for index, message in enumerate(rest) if message.role == "user" and index > 0]
    if not starts:
        raise too_long(count(messages), limit, kept)
    if before in starts and count(system + rest[before:]) <= limit - kept:
        return before, system + rest[before:]
    room = int((limit - kept) * _SPARE)
    at = bisect_left(starts, True, key=lambda start: count(system + rest[start:]) <= room)
    start = starts[min(at, len(starts) - 1)]
    if at == len(starts) and (size := count(system + rest[start:])) > limit - kept:
        raise too_long(size, limit, kept)
    return start, system + rest[start:]


def with_summary(messages: Messages, summary: str) -> Messages:
    """The messages with what came before them, in words, at the end of the system message."""
    system, rest = parted(messages)
    told = f"Earlier in this conversation: {summary}"
    return (Message("system", f"{system[0].content}\n\n{told}" if system else told), *rest)


class ContextWindow:
    """What of one conversation the model is shown, from turn to turn."""

    def __init__(self, count: Count, summarize: Callable[[Messages], str], say: Callable[[str], None]) -> None:
        """`summarize` has the model put messages into a few words; `say` tells what is left out."""
        self.left_out = 0
        """Messages that the model was not shown the last time."""
        self._count = count
        self._summarize = summarize
        self._say = say
        self._summarized: Messages = ()
        self._summary = ""

    def fit(
        self, messages: Messages, limit: int, max_tokens: int | None, choose: Callable[[str], Overflow]
    ) -> Messages:
        """All messages where they fit, else what the choice leaves of them; it is asked for with what to say.

        Raises ContextFull where that is to refuse, or nothing fits."""
        kept = answer_room(limit, max_tokens)
        size = self._count(messages)
        if size <= limit - kept:
            self.left_out = 0
            return messages
        refusal = too_long(size, limit, kept)
        left_out, shown = shorten(messages, self._count, limit, kept, self.left_out)  # else there is nothing to choose
        choice = choose(refusal.message)
        if choice in (Overflow.REFUSE, Overflow.ASK):  # asking where nobody answers is refusing
            raise refusal
        summing = choice is Overflow.SUMMARIZE
        if summing:
            left_out, shown = shorten(messages, self._count, limit, kept + summary_room(limit), self.left_out)
        if left_out != self.left_out:
            self._say(
                f"The context is full ({size:,} of {limit:,} tokens, {kept:,} kept for the answer): "
                f"from now on the model is not shown the {left_out} oldest messages."
            )
        self.left_out = left_out
        if not summing:
            return shown
        system, rest = parted(messages)
        return with_summary(shown, self._told(system, rest[:left_out], limit))

    def _told(self, system: Messages, left_out: Messages, limit: int) -> str:
        """The model's own summary of messages, made once; of more of them, from the last one and what was added."""
        if left_out != self._summarized:
            self._say("The model summarizes them first.")
            known = len(self._summarized)
            told = system + left_out
            if known and left_out[:known] == self._summarized:
                told = with_summary(system + left_out[known:], self._summary)
            if self._count(told) > limit - 2 * summary_room(limit):  # the question and the answer need room too
                _, told = shorten(told, self._count, limit, 2 * summary_room(limit))
                self._say("The oldest of them are too long even for that, and are left out of the summary.")
            self._summary = self._summarize(told)
            self._summarized = left_out
        return self._summary
