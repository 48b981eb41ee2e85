"""Answers as HTTP responses: one object, or a stream of server-sent events. Both end when the client goes away."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gptcli.errors import Cancelled, GptcliError
from gptcli.openai.response import Answer, ResponseBuilder, add_usage, join_completions, usage
from gptcli.server.engine_thread import EventStream
from gptcli.server.errors import Stopping, TimedOut, describe
from gptcli.types import Delta, Event, Failed, Finished, FinishReason

_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(slots=True)
class Part:
    """One prompt of a body: what builds its objects, and its answer so far."""

    builder: ResponseBuilder
    answer: Answer = field(default_factory=Answer)


@dataclass(slots=True)
class Answering:
    """The requests of one body while they are answered."""

    events: EventStream
    parts: dict[str, Part]
    """By the id of the request."""
    seconds: float
    """How long it may take."""

    @contextlib.asynccontextmanager
    async def watch(self, receive: Receive) -> AsyncIterator[None]:
        """Cancel the requests when the client goes away, when they take too long, and in the end."""
        watcher = asyncio.create_task(self._wait_for_disconnect(receive))
        late = TimedOut(f"the answer took longer than the {self.seconds:g} seconds that this server allows.")
        timer = asyncio.get_running_loop().call_later(self.seconds, self.events.fail, late)
        try:
            yield
        finally:
            timer.cancel()
            watcher.cancel()
            self.events.close()

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.events.fail(Cancelled("the client has gone."))

    def check(self, event: Event) -> None:
        """Raise the error that an event means for the whole body."""
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Finished) and event.reason is FinishReason.CANCELLED:
            raise Stopping("the server stopped before the answer was complete.")

    async def whole(self, receive: Receive) -> Response:
        """The whole answer as one object. Raises the error of any of its requests."""
        async with self.watch(receive):
            async for batch in self.events:
                for event in batch:
                    self.check(event)
                    if isinstance(event, Delta):
                        self.parts[event.id].answer.delta(event)
                    elif isinstance(event, Finished):
                        self.parts[event.id].answer.finished(event)
        return JSONResponse(join_completions([part.builder.completion(part.answer) for part in self.parts.values()]))


class StreamedAnswer(Response):
    """The answer as server-sent events. It begins with the first event, so that a request that fails at once has the
    status of its error; a later error is the last event."""

    def __init__(self, answering: Answering, *, include_usage: bool) -> None:
        super().__init__(media_type="text/event-stream")
        self._answering = answering
        self._include_usage = include_usage
        self._ends: dict[str, list[Finished]] = {key: [] for key in answering.parts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False
        async with self._answering.watch(receive):
            try:
                async for batch in self._answering.events:
                    body = b"".join(self._chunks(batch))
                    if not started:
                        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
                        started = True
                    if body:
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                tail = self._usage() + b"data: [DONE]\n\n"
            except GptcliError as error:
                if not started:
                    raise
                tail = _event(describe(error)[1])
            await send({"type": "http.response.body", "body": tail, "more_body": False})

    def _chunks(self, batch: Sequence[Event]) -> Iterator[bytes]:
        for event in batch:
            self._answering.check(event)
            if isinstance(event, (Delta, Finished)):
                builder = self._answering.parts[event.id].builder
                for chunk in (builder.role_chunk(event.index), builder.chunk(event)):
                    if chunk is not None:
                        yield _event(chunk | {"usage": None} if self._include_usage else chunk)
            if isinstance(event, Finished):
                self._ends[event.id].append(event)

    def _usage(self) -> bytes:
        if not self._include_usage:
            return b""
        builder = next(iter(self._answering.parts.values())).builder
        counts = add_usage([usage(ends) for ends in self._ends.values()])
        return _event(builder.usage_chunk(counts))


def _event(value: object) -> bytes:
    return f"data: {_encode(value)}\n\n".encode()
