"""Runs the application in this process until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from socket import socket

import uvicorn
from starlette.routing import BaseRoute

from gptcli.server.app import Service, make_app
from gptcli.server.engine_thread import EngineThread, OpenEngine


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are handled here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(
    open_engine: OpenEngine,
    listeners: Sequence[socket],
    *,
    queue_size: int,
    grace: float,
    ready: Callable[[], None],
    private_routes: Callable[[EngineThread], Sequence[BaseRoute]],
) -> None:
    """Serve until SIGTERM or Ctrl-C; running requests then have `grace` seconds to end. `ready` is called once requests
    are answered; `private_routes` are those of gptcli's own commands. Raises LoadError, RequestError, EngineError."""
    asyncio.run(
        _serve(open_engine, listeners, queue_size=queue_size, grace=grace, ready=ready, private_routes=private_routes)
    )


async def _serve(
    open_engine: OpenEngine,
    listeners: Sequence[socket],
    *,
    queue_size: int,
    grace: float,
    ready: Callable[[], None],
    private_routes: Callable[[EngineThread], Sequence[BaseRoute]],
) -> None:
    engine = EngineThread(open_engine, queue_size=queue_size)
    await engine.loaded()
    app = make_app(Service(engine), private_routes(engine))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=int(grace))
    server = _Server(config)

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    ready()
    await server.serve(sockets=list(listeners))
    engine.stop()
    await asyncio.wrap_future(engine.ended)
