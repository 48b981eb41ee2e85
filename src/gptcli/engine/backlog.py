"""Requests that were pulled before their turn, so that each goes to an engine core that holds the beginning of its
prompt, while it holds it, and so that the longest answers do not begin last.

SGLang orders its queue by the longest prefix too (schedule_policy.py, "lpm"); here a request that shares nothing keeps
its place. To begin with the longest job is R. L. Graham's rule for machines that share a list of jobs (1969)."""

from __future__ import annotations

import itertools
import sys
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace

from gptcli.engine.core import EngineCore
from gptcli.engine.slots import common_prefix
from gptcli.errors import GptcliError
from gptcli.types import Prompt, Request, TokenPrompt

_GAIN = 16
"""Tokens of a prefix that are worth a place in the queue, or another core."""
_FOREIGN = 16
"""Of so many requests that other cores would compute sooner, one is taken all the same."""


@dataclass(slots=True, eq=False)
class Entry:
    """A request and the tokens of its prompt; none where they are not known."""

    request: Request
    tokens: list[int]

    @property
    def most_tokens(self) -> int:
        """Of its answer."""
        return sys.maxsize if self.request.max_tokens is None else self.request.max_tokens


class Backlog:
    """At most `size` requests, in the order in which they came; with one, they leave in that order too.

    Once no more come, those that may get the longest answers leave first: a long answer that begins last is computed
    alone in the end, at a fraction of the tokens a second (log-normal lengths: 1.06 to 1.12 times as fast).
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
        self._entries: list[Entry] = []
        self._sorted: list[Entry] = []
        """The same by their tokens: those that begin alike are neighbours."""
        self._passed = 0
        """How many requests were taken before the oldest one."""

    def first(self) -> Entry | None:
        """The request whose turn it is; None if there is none, now or at all."""
        if not self.fill():
            return None
        entry = self._turns()[0]
        self._take(entry)
        return entry

    def continued(self) -> float:
        """The part of the requests whose prompt is the beginning of another one's, as a turn of a chat."""
        count = sum(itertools.starmap(_continues, itertools.pairwise(map(_tokens, self._sorted))))
        return count / max(1, len(self._entries))

    def requests_for(self, core: EngineCore) -> Iterator[Request | None]:
        """What the core computes next, one after the other; None if there is nothing, now or at all, or if another core
        may be free sooner."""
        while True:
            waits = len(self._cores) > 1 and core.prompts_fill_step
            yield self._take(self._choose(core)) if self.fill() and not waits else None

    def remove(self, request_id: str | None = None) -> list[Request]:
        """Take the request with this id, if it is here, or all."""
        found = [entry for entry in self._entries if request_id in (None, entry.request.id)]
        return [self._take(entry) for entry in found]

    def longest(self) -> int:
        """The most tokens that a request may have with its answer."""
        return max((len(entry.tokens) + entry.most_tokens for entry in self._entries), default=0)

    def fill(self, least: int = 0) -> int:
        """Pull requests until there are `size`, or at least `least`, or no more now; how many there are."""
        while len(self._entries) < max(self._size, least) and (request := next(self._incoming, None)):
            entry = Entry(request, [])
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

    def _take(self, entry: Entry) -> Request:
        self._passed = 0 if entry is self._entries[0] else self._passed + 1
        self._entries.remove(entry)
        self._sorted.remove(entry)
        return entry.request

    def _choose(self, core: EngineCore) -> Entry:
        """The request that continues most of what the core has cached, which would be lost; else the next one that no
        other core holds more of."""
        if len(self._entries) == 1 or self._passed >= self._size:
            return self._entries[0]
        turns = self._turns()
        held = core.held(turns[0].tokens)
        nearest = map(self._nearest, core.kv_cache.cached_prompts())
        length, entry = max(nearest, key=lambda found: found[0], default=(0, turns[0]))
        if length >= held + _GAIN:
            return entry
        others = [other for other in self._cores if other is not core]
        for entry in turns[:_FOREIGN] if others else ():
            if not core.kv_cache.fits_partition(len(entry.tokens), entry.request.max_tokens):
                continue
            enough = core.held(entry.tokens) + _GAIN
            if all(other.held(entry.tokens) < enough for other in others):
                return entry
        return turns[0]

    def _turns(self) -> list[Entry]:
        """All of them, the one whose turn it is first."""
        if len(self._entries) >= self._size:
            return self._entries
        return sorted(self._entries, key=lambda entry: -entry.most_tokens)

    def _nearest(self, tokens: list[int]) -> tuple[int, Entry]:
        """The request that begins most like `tokens`, and for how many of them."""
        place = bisect_left(self._sorted, tokens, key=_tokens)
        neighbours = self._sorted[max(0, place - 1) : place + 1]
        return max(((common_prefix(tokens, one.tokens), one) for one in neighbours), key=lambda found: found[0])


def spread(first: Many[Entry], rooms: Many[int]) -> list[list[Request]]:
    """The first requests of cores that have room for so many each, together for all of them.

    Those that begin alike, with more than all have in common, go to the same core, which computes their common prefix
    once. Else each core gets as many tokens of answers as the others: the one with the longest would end last."""
    alike = sorted(range(len(first)), key=lambda index: first[index].tokens)
    common = common_prefix(first[alike[0]].tokens, first[alike[-1]].tokens) if first else 0
    groups = [alike[:1]]
    for before, index in itertools.pairwise(alike):
        if common_prefix(first[before].tokens, first[index].tokens) >= common + _GAIN:
            groups[-1].append(index)
        else:
            groups.append([index])
    groups.sort(key=lambda group: -sum(first[index].most_tokens for index in group))
    shares: list[list[int]] = [[] for _ in rooms]
    loads = [0] * len(rooms)
    for group in groups:
        core = -1
        for index in group:
            if core < 0 or len(shares[core]) == rooms[core]:
                core = min((one for one, room in enumerate(rooms) if len(shares[one]) < room), key=loads.__getitem__)
            shares[core].append(index)
            loads[core] += first[index].most_tokens
    return [[first[index].request for index in sorted(share)] for share in shares]


def _continues(one: list[int], other: list[int]) -> bool:
    """Whether the longer of two prompts continues the other. Where a word goes on, the last token is another one."""
    short, long = sorted([one, other], key=len)
    return len(short) + _GAIN <= len(long) and common_prefix(short, long) >= len(short) - 1


def _tokens(entry: Entry) -> list[int]:
    return entry.tokens
