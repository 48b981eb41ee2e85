"""Requests that were pulled before their turn, so that each goes to an engine core that holds the beginning of its
prompt, while it holds it.

SGLang orders its queue by the longest prefix too (schedule_policy.py, "lpm"); here a request that shares nothing keeps
its place."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace

from gptcli.engine.cache_config import shared_tokens
from gptcli.engine.core import EngineCore
from gptcli.engine.slots import common_prefix
from gptcli.errors import GptcliError
from gptcli.types import Prompt, Request, TokenPrompt

_GAIN = 16
"""Tokens of a prefix that are worth a place in the queue, or another core."""
_FOREIGN = 16
"""Of so many requests that other cores would compute sooner, one is taken all the same."""


@dataclass(slots=True, eq=False)
class _Entry:
    request: Request
    tokens: list[int]


class Backlog:
    """At most `size` requests, in the order in which they came; with one, they leave in that order too.

    `encode` turns a prompt into tokens, and raises GptcliError."""

    def __init__(
        self,
        incoming: Iterator[Request | None],
        cores: Many[EngineCore],
        size: int,
        encode: Callable[[Prompt], TokenPrompt],
    ) -> None:
        self._incoming = incoming
        self._cores = cores
        self._size = size
        self._encode = encode
        self._entries: list[_Entry] = []
        self._sorted: list[_Entry] = []
        """The same by their tokens: those that begin alike are neighbours."""
        self._passed = 0
        """How many requests were taken before the oldest one."""

    def first(self) -> Request | None:
        """The oldest request; None if there is none, now or at all."""
        return self._take(self._entries[0]) if self.fill() else None

    def shared(self) -> float:
        """The part of all tokens that need not be computed if each prefix that is worth a place is computed once."""
        tokens = [entry.tokens for entry in self._sorted]
        return shared_tokens(tokens, _GAIN) / max(1, sum(map(len, tokens)))

    def requests_for(self, core: EngineCore) -> Iterator[Request | None]:
        """What the core computes next, one after the other; None if there is nothing, now or at all."""
        while True:
            yield self._take(self._choose(core)) if self.fill() else None

    def remove(self, request_id: str | None = None) -> list[Request]:
        """Take the request with this id, if it is here, or all."""
        found = [entry for entry in self._entries if request_id in (None, entry.request.id)]
        return [self._take(entry) for entry in found]

    def fill(self) -> int:
        """Pull requests until there are `size`, or no more now; how many there are."""
        while len(self._entries) < self._size and (request := next(self._incoming, None)):
            entry = _Entry(request, [])
            if self._size > 1:
                try:
                    prompt = self._encode(request.prompt)
                except GptcliError:  # it will fail in its turn
                    pass
                else:
                    entry.tokens = list(prompt.tokens)
                    entry.request = request if request.echo else replace(request, prompt=prompt)
            self._entries.append(entry)
            insort(self._sorted, entry, key=_tokens)
        return len(self._entries)

    def _take(self, entry: _Entry) -> Request:
        self._passed = 0 if entry is self._entries[0] else self._passed + 1
        self._entries.remove(entry)
        self._sorted.remove(entry)
        return entry.request

    def _choose(self, core: EngineCore) -> _Entry:
        """The request that continues most of what the core has cached, which would be lost; else the oldest one that no
        other core holds more of."""
        oldest = self._entries[0]
        if len(self._entries) == 1 or self._passed >= self._size:
            return oldest
        held = core.held(oldest.tokens)
        nearest = map(self._nearest, core.kv_cache.cached_prompts())
        length, entry = max(nearest, key=lambda found: found[0], default=(0, oldest))
        if length >= held + _GAIN:
            return entry
        others = [other for other in self._cores if other is not core]
        for entry in self._entries[:_FOREIGN] if others else ():
            enough = core.held(entry.tokens) + _GAIN
            if all(other.held(entry.tokens) < enough for other in others):
                return entry
        return oldest

    def _nearest(self, tokens: list[int]) -> tuple[int, _Entry]:
        """The request that begins most like `tokens`, and for how many of them."""
        place = bisect_left(self._sorted, tokens, key=_tokens)
        neighbours = self._sorted[max(0, place - 1) : place + 1]
        return max(((common_prefix(tokens, one.tokens), one) for one in neighbours), key=lambda found: found[0])


def _tokens(entry: _Entry) -> list[int]:
    return entry.tokens
