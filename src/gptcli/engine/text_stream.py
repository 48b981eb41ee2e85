"""Decodes the bytes of tokens into text: whole characters only, and never a stop string or a part of one."""

from __future__ import annotations

import codecs
from collections import deque

from gptcli.types import TokenInfo

_utf8 = codecs.getincrementaldecoder("utf-8")


class TextStream:
    """Decodes pieces incrementally and holds back what could still become a stop string.

    Invalid bytes become lone surrogates (`surrogateescape`), so that nothing is lost; an incomplete character waits for
    its last byte. No text is decoded twice."""

    __slots__ = ("_decoded", "_decoder", "_held", "_infos", "_released", "_stops", "stop")

    def __init__(self, stops: tuple[str, ...] = ()) -> None:
        self._decoder = _utf8("surrogateescape")
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self._decoded = 0
        self._released = 0
        self._infos: deque[tuple[int, int, TokenInfo]] = deque()  # offsets of each token's start and end in the text
        self.stop: str | None = None
        """The stop string that was found; no text follows it."""

    def skip(self, piece: bytes) -> str:
        """Decode a piece that was delivered before; its last character may end in the next one. Returns its text."""
        return self._decoder.decode(piece)

    def push(self, piece: bytes, info: TokenInfo | None = None) -> str:
        """Add a token's bytes; returns the text that is certain now. Sets `stop` when a stop string is complete."""
        if self.stop is not None:
            return ""
        text = self._decoder.decode(piece)
        if info is not None:
            end = self._decoded + len(text) + (1 if self.unfinished else 0)
            self._infos.append((self._decoded, end, info))
        self._decoded += len(text)
        if not self._stops:
            self._released += len(text)
            return text
        self._held += text
        found = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            # The one that is complete first, so that the result does not depend on how the text is cut into tokens.
            at, self.stop = min(found, key=lambda hit: (hit[0] + len(hit[1]), hit[0]))
            return self._release(at)
        return self._release(len(self._held) - self._possible_stop())

    def finish(self) -> str:
        """The text still held back, if the generation ended without a stop string."""
        return "" if self.stop is not None else self._release(len(self._held))

    @property
    def unfinished(self) -> int:
        """Bytes of an incomplete character at the end."""
        return len(self._decoder.getstate()[0])

    def tokens(self) -> list[TokenInfo]:
        """Tokens whose text was completed since the last call."""
        ready: list[TokenInfo] = []
        while self._infos and self._infos[0][1] <= self._released:
            ready.append(self._infos.popleft()[2])
        return ready

    def last_tokens(self) -> list[TokenInfo]:
        """The other tokens of a text that has ended: all, or those that start before the stop string."""
        limit = self._decoded + 1 if self.stop is None else self._released
        return [info for start, _, info in self._infos if start < limit]

    def _release(self, count: int) -> str:
        text, self._held = self._held[:count], self._held[count:]
        self._released += count
        return text

    def _possible_stop(self) -> int:
        """Number of characters at the end of the held text that may be the start of a stop string."""
        sizes = (size for stop in self._stops for size in range(1, len(stop)) if self._held.endswith(stop[:size]))
        return max(sizes, default=0)
