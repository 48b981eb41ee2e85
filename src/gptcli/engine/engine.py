"""The one engine: requests in, events out, many sequences at once on one model.

It knows lanes and who computes them; what a request is for (a pipe, a chat, a row of a file) it does not know, and must
never ask.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from collections.abc import Sequence as Many

from gptcli.engine.backend import Backend, share_of
from gptcli.engine.core import EngineCore
from gptcli.engine.executor import Executor
from gptcli.engine.kv_cache import KVCacheManager
from gptcli.engine.prefix_restore import OpenPrefixCache
from gptcli.errors import RequestError
from gptcli.interrupt import Interrupt
from gptcli.prompt.encoding import encode
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Event, Prompt, Request


class LocalEngine:
    """Continuous batching over a KV cache, which the engine keeps between calls of `stream`.

    A prompt that begins like something that the cache still holds is computed only from where it differs. With
    replicas of the backend there are as many caches, and as many steps are computed at the same time.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        replicas: Many[Backend] = (),
        context: int | None = None,
        parallel: int = 1,
        narrow: bool = False,
        interrupt: Interrupt | None = None,
        template: ChatTemplate | None = None,
        shelf: OpenPrefixCache | None = None,
        reuse: bool = True,
    ) -> None:
        """`context`: tokens one text may have (None: what it needs, up to what the model was trained for).

        `replicas`: further backends of the same model; each computes in a thread of its own, and texts are dealt out
        among them all. `parallel`: requests computed at once, at most; with `narrow` fewer where that is faster.
        `template` makes prompts of chats; `shelf` opens the one that has what other processes computed, once there is
        use for it. Without `reuse` every prompt is computed whole: what comes out then depends on no request before,
        not even by a rounding. Raises RequestError where `context` is more than the model's.
        """
        trained = backend.trained_context
        if context is not None and context > trained:
            raise RequestError(
                f"a context of {context:,} tokens was asked for, this model was trained for {trained:,}.",
                f"Use --ctx-size {trained} or less.",
            )
        self.limit = context or trained
        """Tokens that one text may have, prompt and answer together."""
        self.parallel = parallel
        """Requests computed at once, at most."""
        self._template = template
        self._backend = backend
        self._interrupt = interrupt or Interrupt()
        self._lanes: list[EngineCore] = []
        backends = [backend, *replicas][:parallel]
        for number, one in enumerate(backends):
            share = share_of(parallel, number, len(backends))
            one.share_threads(number, len(backends))
            placement = KVCacheManager(one, self.limit, context, share, shelf, narrow=narrow, reuse=reuse)
            self._lanes.append(EngineCore(one, placement, self.limit, share, self._interrupt, template))

    @property
    def cells(self) -> int:
        """Tokens that the KV caches hold, all together."""
        return sum(lane.backend.cells for lane in self._lanes)

    def tokens(self, prompt: Prompt) -> list[int]:
        """The exact token ids that a text with this prompt begins with. Raises RequestError, LoadError."""
        return list(encode(prompt, self._backend.vocabulary, self._template).tokens)

    def shelve(self) -> None:
        """Keep what the last text computed on the shelf. Raises OSError where there is no place for it."""
        self._lanes[0].placement.shelve()

    def stream(self, requests: Iterable[Request | None]) -> Generator[Event, None, None]:
        """Answer requests, pulling the next one when there is room for it; closing the generator cancels the rest.

        An iterator of requests may give None while others run: nothing has come yet, it is asked again after a step.
        Every request ends with one `Finished` for each sample, or with one `Failed`."""
        incoming = iter(requests)
        with Executor(len(self._lanes)) as crew:
            try:
                while not self._interrupt.requested:
                    yield from self._feed(incoming, crew)
                    if not crew.busy:
                        break
                    lane, outcome = crew.next()
                    yield from lane.take_up(outcome)
                crew.rest()
                for lane in self._lanes:
                    yield from lane.cancel()
            finally:
                crew.rest()
                for lane in self._lanes:
                    lane.leave()

    def _feed(self, incoming: Iterator[Request | None], crew: Executor) -> Iterator[Event]:
        """Let requests into the lanes that are not computing, and start these."""
        if len(self._lanes) > 1 and all(lane.idle for lane in self._lanes):
            yield from self._deal(incoming)
        for lane in self._lanes:
            if lane not in crew.busy:
                yield from lane.admit(incoming)
        active = [lane for lane in self._lanes if lane.running]
        for rank, lane in enumerate(active):
            if lane not in crew.busy:
                lane.backend.share_threads(rank, len(active))
                lane.begin()
                crew.start(lane)

    def _deal(self, incoming: Iterator[Request | None]) -> Iterator[Event]:
        """Deal out evenly what comes first: a lane that is asked first would take all of a few requests, and leave the
        others with nothing to do. Neighbours, which may share a prefix, stay together."""
        first: list[Request] = []
        while len(first) < self.parallel and not self._interrupt.requested and (request := next(incoming, None)):
            first.append(request)
        rest = iter(first)
        for number, lane in enumerate(self._lanes):
            for request in itertools.islice(rest, share_of(len(first), number, len(self._lanes))):
                yield from lane.enqueue(request)
