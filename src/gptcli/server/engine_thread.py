"""Runs the engine in a thread of its own: requests come from the server's event loop, events go back to it."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from typing import Protocol

from gptcli.errors import ContextFull, EngineError, GptcliError
from gptcli.runtime.loaded import LoadedEngine
from gptcli.server.errors import Busy, Stopping
from gptcli.types import Delta, Event, Failed, Finished, FinishReason, Prompt, Request, TokenPrompt

OpenEngine = Callable[[Callable[[], None]], AbstractContextManager[LoadedEngine]]
"""Opens the engine; it calls the function that it is given before each step."""


_GATHER_SECONDS = 0.01
"""Between two requests that are computed together: sixteen clients that send their next ones pause for up to 7 ms."""
_LONGEST_GATHER = 0.1
"""Seconds until the first of them is computed, at most; a long prompt may take longer to encode."""
Clock = Callable[[], float]
"""Seconds that never go back, as `time.monotonic`."""


class Observer(Protocol):
    """Counts what happens; called by the engine's thread."""

    def first_text(self, seconds: float) -> None:
        """A request's first text came, so long after it arrived."""

    def finished(self, event: Finished) -> None:
        """A sample has ended."""

    def ended(self, seconds: float, *, failed: bool) -> None:
        """A request has ended, so long after it arrived."""


class EventStream:
    """The events of some requests, in the order in which they come. For the event loop's thread only.

    Iterating ends when all of the requests have. Closing it or letting it fail before that cancels them."""

    def __init__(self, thread: EngineThread, requests: Sequence[Request]) -> None:
        self._thread = thread
        self._samples = {request.id: request.n for request in requests}
        self._events: list[Event] = []
        self._arrival: asyncio.Future[None] | None = None
        self._error: GptcliError | None = None

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> list[Event]:
        """All events that have come since the last call, at least one. Raises the error of `fail`."""
        while not self._events:
            if self._error is not None:
                raise self._error
            if not self._samples:
                raise StopAsyncIteration
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        events, self._events = self._events, []
        return events

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the requests that have not ended, within a step; no more events come."""
        unfinished = [*self._samples]
        self._samples.clear()
        for request_id in unfinished:
            self._thread.cancel(request_id)
        self._wake()

    def fail(self, error: GptcliError) -> None:
        """The same, and who reads the events gets this error, if anything is still to come."""
        if self._samples:
            self._error = error
            self._events.clear()
            self.close()

    def put(self, event: Event) -> None:
        """Add an event; wakes who waits for it."""
        if event.id not in self._samples:
            return
        if isinstance(event, Failed):
            del self._samples[event.id]
        elif isinstance(event, Finished):
            self._samples[event.id] -= 1
            if not self._samples[event.id]:
                del self._samples[event.id]
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


@dataclass(slots=True)
class _Entry:
    """A request that waits or is being answered."""

    request: Request
    stream: EventStream
    arrived: float
    samples: int
    """Those that have not ended."""
    has_text: bool = False


class EngineThread:
    """Answers the requests of all connections with one engine.

    `submit`, `cancel` and `stop` belong to the event loop; the engine's thread takes requests from a queue and hands
    events back in batches."""

    def __init__(
        self, open_engine: OpenEngine, *, queue_size: int, observer: Observer, clock: Clock = time.monotonic
    ) -> None:
        """`queue_size`: requests that may wait for the engine, at most."""
        self._open_engine = open_engine
        self._queue_size = queue_size
        self._observer = observer
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._waiting: deque[_Entry] = deque()
        self._active: dict[str, _Entry] = {}
        self._outbox: deque[tuple[EventStream, Event]] = deque()
        self._delivering = False  # the event loop has been asked to, and has not begun
        self._last_end = self._clock()
        self._seconds = 1.0  # a moving average of what a request takes
        self._together = 0  # most requests at once since the engine was idle
        self._encoding = 0  # requests that will wait as soon as they are tokens
        self.stopping = False
        """Whether no more requests are taken."""
        self._encoder = ThreadPoolExecutor(1, "encode")
        self._thread = ThreadPoolExecutor(1, "engine")
        self._ready: asyncio.Future[LoadedEngine] = self._loop.create_future()
        self.ended: Future[None] = self._thread.submit(self._run)
        """Done when the thread has ended; has the error that ended it, if one did."""

    async def loaded(self) -> LoadedEngine:
        """The engine, once it is loaded. Raises LoadError, RequestError."""
        return await asyncio.shield(self._ready)

    @property
    def waiting(self) -> int:
        """Requests that no engine core has taken."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that the engine has."""
        return len(self._active)

    @property
    def idle_seconds(self) -> float:
        """How long there has been no request."""
        return 0.0 if self._waiting or self._active else self._clock() - self._last_end

    async def encode(self, prompt: Prompt) -> TokenPrompt:
        """The tokens of a prompt, made in a thread so that a long one stops nobody. Raises RequestError, LoadError."""
        engine = (await self.loaded()).engine
        return await self._loop.run_in_executor(self._encoder, engine.encode, prompt)

    async def submit(self, requests: Sequence[Request]) -> EventStream:
        """Queue requests, all or none. Raises Busy, Stopping, and RequestError for a prompt that cannot be answered."""
        self._check_room(len(requests))
        engine = (await self.loaded()).engine
        self._encoding += len(requests)
        try:
            encoded = [await self._encoded(request, engine.limit) for request in requests]
            self._check_room(len(requests))
            stream = EventStream(self, encoded)
            arrived = self._clock()
            with self._changed:
                self._waiting.extend(_Entry(request, stream, arrived, request.n) for request in encoded)
                self._changed.notify()
        finally:
            self._encoding -= len(requests)
        return stream

    async def _encoded(self, request: Request, limit: int) -> Request:
        prompt = await self.encode(request.prompt)
        if len(prompt.tokens) >= limit:
            raise ContextFull(
                f"the prompt has {len(prompt.tokens):,} tokens; the context holds {limit:,}, and the answer "
                "needs at least one."
            )
        return replace(request, prompt=prompt)

    def cancel(self, request_id: str) -> None:
        """End a request within a step; its samples end with `FinishReason.CANCELLED`. An unknown id does nothing."""
        with self._changed:
            for entry in self._waiting:
                if entry.request.id == request_id:
                    self._waiting.remove(entry)
                    for index in range(entry.samples):
                        entry.stream.put(_cancelled(entry.request, index))
                    return
            if request_id in self._active:
                self._ready.result().engine.cancel(request_id)

    def stop(self) -> None:
        """Take no more requests; the thread ends once it has answered those that it has."""
        with self._changed:
            self.stopping = True
            self._changed.notify()

    def abandon(self) -> None:
        """The same, but end them within a step."""
        self.stop()
        streams = {entry.stream for entry in [*self._waiting, *self._active.values()]}
        for stream in streams:
            stream.fail(Stopping("the server stopped before the answer was complete."))

    async def close(self) -> None:
        """Abandon what still runs and wait for the thread to end. Raises the error that ended it, if one did."""
        self.abandon()
        self._encoder.shutdown(wait=False)
        self._thread.shutdown(wait=False)
        await asyncio.wrap_future(self.ended)

    def _check_room(self, count: int) -> None:
        if self.stopping:
            raise Stopping("the server is stopping.")
        if self._waiting and len(self._waiting) + count > self._queue_size:
            parallel = self._ready.result().engine.parallel if self._ready.done() else 1
            seconds = math.ceil(self._seconds * (1 + len(self._waiting) / parallel))
            raise Busy(f"{len(self._waiting):,} requests are waiting already.", min(max(1, seconds), 60))

    def _run(self) -> None:
        """The thread: answer requests until it is stopped."""
        try:
            with self._open_engine(self._flush) as loaded:
                self._last_end = self._clock()  # loading was no idling
                self._loop.call_soon_threadsafe(self._ready.set_result, loaded)
                while not self.stopping or self._waiting:
                    self._answer(loaded)
        except GptcliError as error:
            if not self._ready.done():
                self._loop.call_soon_threadsafe(self._ready.set_exception, error)
                return
            raise

    def _answer(self, loaded: LoadedEngine) -> None:
        """Run the engine until it is stopped or fails; a failure ends what it was answering and nothing else."""
        try:
            with closing(loaded.engine.stream(self._requests())) as events:
                for event in events:
                    self._handle(event)
        except EngineError as error:
            for request_id in [*self._active]:
                self._handle(Failed(request_id, error))
        finally:
            self._flush()

    def _requests(self) -> Iterator[Request | None]:
        """The next request that waits; None while others run, else it waits for one."""
        while True:
            with self._changed:
                while not self._waiting and not self._active and not self.stopping:
                    self._flush()
                    self._changed.wait()
                if not self._active:
                    self._gather()
                request = None
                if self._waiting:
                    entry = self._waiting.popleft()
                    request = entry.request
                    self._active[request.id] = entry
                    self._together = max(self._together, len(self._active))
                elif not self._active:
                    if self.stopping:
                        return
                    continue  # those that were waiting have been cancelled
            yield request

    def _gather(self) -> None:
        """Before an idle engine starts, wait for as many requests as it had at once, while they keep coming: clients
        whose answers end in the same step come back one after the other, and those whose prompts are computed together
        stay together. Else each of them would interrupt the answers of the others."""
        self._flush()
        before, deadline = -1, time.monotonic() + _LONGEST_GATHER
        while len(self._waiting) < self._together and not self.stopping and time.monotonic() < deadline:
            if before == len(self._waiting) and not self._encoding:
                break
            before = len(self._waiting)
            self._changed.wait(_GATHER_SECONDS)
        self._together = 0

    def _handle(self, event: Event) -> None:
        entry = self._active[event.id]
        self._outbox.append((entry.stream, event))
        if isinstance(event, Delta):
            if not entry.has_text:
                entry.has_text = True
                self._observer.first_text(self._clock() - entry.arrived)
            return
        if isinstance(event, Finished):
            entry.samples -= 1
            self._observer.finished(event)
        if isinstance(event, Failed) or not entry.samples:
            del self._active[event.id]
            self._last_end = self._clock()
            seconds = self._clock() - entry.arrived
            self._seconds += 0.1 * (seconds - self._seconds)
            self._observer.ended(seconds, failed=isinstance(event, Failed))

    def _flush(self) -> None:
        """Hand the events so far to the event loop: before each step, whose computing needs no GIL.

        The loop is woken once for all that it has not taken. Waking it is a system call without the GIL, and a thread
        that makes one every 50 us can keep the GIL from all others for seconds: each of them starts its 5 ms wait anew.
        """
        if self._outbox and not self._delivering:
            self._delivering = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        """On the event loop: what comes after the flag is lowered is delivered now or by the next call."""
        self._delivering = False
        for _ in range(len(self._outbox)):
            stream, event = self._outbox.popleft()
            stream.put(event)


def _cancelled(request: Request, index: int) -> Finished:
    """The end of a sample that was never begun."""
    return Finished(request.id, index, FinishReason.CANCELLED, 0, 0, 0, request.sampling.seed or 0, 0.0, 0.0)
