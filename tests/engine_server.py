"""A server on the fake backend, in a thread: the real application, engine thread and private socket."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from fake_backend import FakeBackend, alphabet
from fake_engine import load_fake

from gptcli.runtime import EngineOptions
from gptcli.runtime.loaded import LoadedEngine
from gptcli.runtime.remote import ServerInfo, describe_server
from gptcli.server.app import make_app
from gptcli.server.doors import unix_door
from gptcli.server.engine_thread import EngineThread
from gptcli.server.metrics import Metrics
from gptcli.server.private_routes import private_routes
from gptcli.server.service import Limits, Service


class EngineServer:
    """Answers on a Unix socket until `stop`."""

    def __init__(
        self,
        path: Path,
        model: Callable[[list[int], int], int] = alphabet,
        *,
        options: EngineOptions | None = None,
        parallel: int = 4,
        queue_size: int = 64,
        limit: int = 4096,
    ) -> None:
        self.path = path
        self.info: ServerInfo = describe_server("fake", options or EngineOptions(), "")
        self.backend = FakeBackend(model, trained_context=limit)
        self._parallel, self._queue_size = parallel, queue_size
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        """End at once: running requests are cancelled and their connections closed."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end)
            self._thread.join()

    def _end(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        for connection in [*self._server.server_state.connections]:
            connection.transport.abort()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        metrics = Metrics()
        self.engine = EngineThread(self._open, queue_size=self._queue_size, observer=metrics)
        service = Service(self.engine, await self.engine.loaded(), ["fake"], Limits(), metrics)
        app = make_app(service, private_routes=private_routes(self.engine, self.info))
        with unix_door(self.path) as listener:
            self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
            self._loop.call_later(0.02, self._ready.set)
            await self._server.serve(sockets=[listener])
        self.engine.stop()
        await asyncio.wrap_future(self.engine.ended)

    @contextlib.contextmanager
    def _open(self, before_step: Callable[[], None]) -> Iterator[LoadedEngine]:
        yield load_fake(self.backend, before_step, self._parallel)
