"""The engine that computes in this process: requests in, events out, many sequences at once on one model."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Iterable, Iterator
from collections.abc import Sequence as Many
from functools import partial
from typing import TYPE_CHECKING

from gptcli.engine.backend import Backend, Decoded, MemoryKind
from gptcli.engine.backlog import Backlog, Entry, spread
from gptcli.engine.cache_config import MANY, MAX_CONTINUED, ROUND, CachePlanner, cores_to_fill, share_of, wider
from gptcli.engine.core import EngineCore
from gptcli.engine.draft_model import DraftModel
from gptcli.engine.drafting import MOST_DRAFT
from gptcli.engine.kv_cache import KVCacheManager, OpenPrefixCache
from gptcli.engine.speculation import Speculator
from gptcli.errors import EngineError, RequestError
from gptcli.interrupt import Interrupt
from gptcli.prompt.encoding import encode, tokenize
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Capabilities, Event, Prompt, Request, TokenPrompt

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor


_AHEAD = 4
"""Times as many requests as run at once are known before their turn: enough for 64 chats whose turns take turns."""


class LocalEngine:
    """Continuous batching on a KV cache that is kept between calls of `stream`.

    A prompt is computed from where it differs from what the cache still holds. With replicas of the backend there are
    as many caches, and as many steps are computed at the same time. `types.Engine` documents the methods."""

    def __init__(
        self,
        backend: Backend,
        *,
        replicas: Many[Backend] = (),
        context: int | None = None,
        parallel: int = 1,
        may_widen: bool = False,
        interrupt: Interrupt | None = None,
        template: ChatTemplate | None = None,
        open_prefix_cache: OpenPrefixCache | None = None,
        reuse: bool = True,
        serving: bool = False,
        before_step: Callable[[], None] | None = None,
        speculation: bool | None = False,
        draft_model: DraftModel | None = None,
    ) -> None:
        """`context`: tokens that one sequence may have (None: what it needs, up to what the model was trained for).

        `replicas`: further backends of the same model; each computes in a thread of its own. `parallel`: requests
        computed at once; with `may_widen`, more where that is faster. `template` renders chats.
        `open_prefix_cache` opens the store of prefixes that other processes computed, once it is needed. Without
        `reuse` every prompt is computed in full, so that no earlier request changes an answer, not even by rounding.
        `serving`: requests come for ever. `before_step` is called by the consumer's thread before it waits for a step.
        `speculation`: verify draft tokens where that is faster, those of `draft_model` too if there is one core; None:
        only where that changes no rounding.
        Raises RequestError where `context` is more than the model's."""
        trained = backend.trained_context
        if context is not None and context > trained:
            raise RequestError(
                f"the context of {context:,} tokens is larger than the {trained:,} that this model was trained for.",
                f"Use --ctx-size {trained} or less.",
            )
        self.limit = context or trained
        self.parallel = parallel
        self.capabilities = Capabilities(max_samples=backend.max_sequences)
        self._backend = backend
        self._template = template
        self._interrupt = interrupt or Interrupt()
        self._before_step = before_step
        self._serving = serving  # a few requests are computed faster, and in less memory, by all threads together
        self._cancelled: set[str] = set()  # the one object that other threads change; add and copy are atomic
        self._cores: list[EngineCore] = []
        backends = [backend, *replicas][:parallel]
        may_widen = may_widen and self._ahead > 1  # else nothing is known about those that wait
        self._wider = wider(backend, share_of(parallel, 0, len(backends))) if may_widen else ()
        for number, one in enumerate(backends):
            share = share_of(parallel, number, len(backends))
            one.share_threads(number, len(backends))
            planner = CachePlanner(one, self.limit, share, self._wider, serving=serving)
            rows = min(MOST_DRAFT, one.scored_rows) if speculation is not False else 0
            kv_cache = KVCacheManager(one, planner, context, open_prefix_cache, reuse=reuse, draft_rows=rows)
            core = EngineCore(one, kv_cache, self.limit, share, self._interrupt, template)
            if speculation is not False:
                core.keep_texts = speculation is None
                core.speculator = Speculator(draft_model if len(backends) == 1 else None)
            self._cores.append(core)

    @property
    def cells(self) -> int:
        """Tokens that all KV caches hold together."""
        return sum(core.backend.config.cells for core in self._cores)

    def encode(self, prompt: Prompt) -> TokenPrompt:
        return encode(prompt, self._backend.vocabulary, self._template)

    def tokenize(self, text: bytes, *, begins: bool = False) -> tuple[int, ...]:
        return tokenize(text, self._backend.vocabulary, begins=begins)

    def token_text(self, token: int) -> str:
        return self._backend.vocabulary.name(token)

    def save_prefix(self) -> None:
        self._cores[0].kv_cache.save_prefix()

    def cancel(self, request_id: str) -> None:
        self._cancelled.add(request_id)

    def stream(self, requests: Iterable[Request | None]) -> Generator[Event, None, None]:
        to_tokens = partial(encode, vocabulary=self._backend.vocabulary, template=self._template)
        backlog = Backlog(iter(requests), self._cores, self._ahead, to_tokens)
        executor = Executor(len(self._cores))
        try:
            while not self._interrupt.requested:
                yield from self._feed(backlog, executor)
                if not executor.busy:
                    break
                if self._before_step is not None:
                    self._before_step()
                core, outcome = executor.next()
                yield from core.process(outcome)
            executor.drain()
            for request in backlog.remove():
                yield from self._cores[0].enqueue(request)
            for core in self._cores:
                yield from core.cancel()
        finally:
            executor.close()
            for core in self._cores:
                core.abandon()

    def _end_cancelled(self, backlog: Backlog, executor: Executor) -> Iterator[Event]:
        """End the requests that were cancelled, except those whose step is being computed."""
        for request_id in self._cancelled.copy():
            core = next((core for core in self._cores if core.holds(request_id)), None)
            if core not in executor.busy:
                for request in backlog.remove(request_id):
                    core = self._cores[0]
                    yield from core.enqueue(request)
                self._cancelled.discard(request_id)
                if core is not None:
                    yield from core.cancel(request_id)

    def _feed(self, backlog: Backlog, executor: Executor) -> Iterator[Event]:
        """Admit requests to the cores that are not computing, and start their next steps."""
        yield from self._end_cancelled(backlog, executor)
        several = len(self._cores) > 1 or self._wider
        if several and not self._serving and all(core.idle for core in self._cores):
            yield from self._distribute(backlog)
            yield from self._end_cancelled(backlog, executor)  # those cancelled while others were pulled
        for core in self._cores:
            if core not in executor.busy:
                yield from core.admit(backlog.requests_for(core))
        active = [core for core in self._cores if core.running]
        for rank, core in enumerate(active):
            if core not in executor.busy:
                core.backend.share_threads(rank, len(active))
                core.schedule()
                executor.submit(core)

    @property
    def _ahead(self) -> int:
        """How many requests to know before their turn. A server answers them in order; where no prefix can be cut off
        or copied, there is nothing to choose by."""
        chooses = self.parallel > 1 and not self._serving
        return _AHEAD * self.parallel if chooses and self._backend.memory is MemoryKind.ATTENTION else 1

    def _distribute(self, backlog: Backlog) -> Iterator[Event]:
        """Spread the first requests: the first core would take all that it has room for, and leave others idle."""
        first: list[Entry] = []
        count = self._first_count(backlog)
        while len(first) < count and not self._interrupt.requested and (entry := backlog.first()):
            first.append(entry)
        cores = cores_to_fill(len(first), len(self._cores), self._backend.cpu_threads)
        shares = spread(first, [share_of(len(first), number, cores) for number in range(cores)])
        for core, requests in zip(self._cores, shares, strict=False):
            for request in requests:
                yield from core.enqueue(request)

    def _first_count(self, backlog: Backlog) -> int:
        """How many requests to begin with; `CachePlanner` lets them run together."""
        backlog.fill()
        for count in (times * self.parallel for times in self._wider):
            known = backlog.fill(MANY * count) if backlog.longest() <= ROUND else 0
            if known >= MANY * count and backlog.continued() <= MAX_CONTINUED:
                return count
        return self.parallel


class Executor:
    """Computes the steps of cores: in this thread if there is one core, else in a thread for each."""

    def __init__(self, cores: int) -> None:
        self.busy: list[EngineCore] = []
        """Cores whose step was submitted and not yet returned."""
        self._done: queue.SimpleQueue[tuple[EngineCore, Future[Decoded | EngineError]]] = queue.SimpleQueue()
        self._threads: ThreadPoolExecutor | None = None
        if cores > 1:
            from concurrent.futures import ThreadPoolExecutor  # 8 ms that one core need not wait for

            self._threads = ThreadPoolExecutor(cores, "core")

    def submit(self, core: EngineCore) -> None:
        """Start the step that the core has scheduled."""
        self.busy.append(core)
        if self._threads is not None:
            self._threads.submit(core.execute).add_done_callback(lambda future: self._done.put((core, future)))

    def next(self) -> tuple[EngineCore, Decoded | EngineError]:
        """Wait for a step to end; its core and its outcome."""
        if self._threads is None:
            core = self.busy.pop()
            return core, core.execute()
        core, future = self._done.get()
        self.busy.remove(core)
        return core, future.result()

    def drain(self) -> None:
        """Wait for the steps that are being computed, and ignore their outcomes."""
        while self._threads is not None and self.busy:
            self.busy.remove(self._done.get()[0])

    def close(self) -> None:
        """Wait for the steps and the threads to end."""
        if self._threads is not None:
            self._threads.shutdown()
