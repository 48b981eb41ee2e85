"""Runs the application in this process until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from socket import socket

import uvicorn
from starlette.routing import BaseRoute

from gptcli.server.access import Keys
from gptcli.server.app import make_app
from gptcli.server.connections import IDLE_SECONDS, IdleConnections, allowed_connections, protocol
from gptcli.server.doors import BACKLOG
from gptcli.server.engine_thread import Clock, EngineThread, OpenEngine
from gptcli.server.metrics import Metrics
from gptcli.server.service import Limits, Service

if sys.platform == "win32":
    from asyncio import run as _run
else:
    from uvloop import run as _run

PrivateRoutes = Callable[[EngineThread], Sequence[BaseRoute]]
_ACCEPTED_AT_ONCE = 64
"""Connections that asyncio accepts before any of them, or of those closed for them, is looked at."""
_LAST_SECONDS = 5
"""Time for the last bytes of answers, after the grace."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server behaves; `app.make_app` and `access.Access` document the fields of the same names."""

    names: Sequence[str]
    """What clients may call the model."""
    limits: Limits = field(default_factory=Limits)
    queue_size: int = 256
    grace: float = 30.0
    """Seconds for running requests to end after a signal."""
    keys: Keys | None = None
    keep: float | None = None
    """Seconds without a request after which the server ends as idle; None: it never does."""
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()


class Server(uvicorn.Server):
    """uvicorn's server, with connections and signals of our own."""

    def __init__(
        self,
        config: uvicorn.Config,
        connections: IdleConnections,
        engine: EngineThread,
        grace: float,
        keep: float | None,
    ) -> None:
        super().__init__(config)
        self.connections = connections
        self.engine = engine
        self._grace = grace
        self._keep = keep
        self.idle = False
        """Whether it ended because no requests came."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `stop`: uvicorn would end the process by the same signal in the end."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)  # asyncio has made it as short as what it accepts at once

    def stop(self) -> None:
        """Let running requests end, for a while; the second time, end them now."""
        if self.should_exit:
            self.engine.abandon()
            return
        self.should_exit = True
        self.engine.stop()
        asyncio.get_running_loop().call_later(self._grace, self.engine.abandon)

    def end(self) -> None:
        """The engine has ended, by itself or because it was told to."""
        self.should_exit = True
        self.engine.abandon()

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self.connections.close_expired(asyncio.get_running_loop().time())
            if self._keep is not None and self.engine.idle_seconds > self._keep and not self.should_exit:
                self.should_exit = self.idle = True  # a request that still comes is answered
        return await super().on_tick(counter)


def run(
    open_engine: OpenEngine,
    listeners: Sequence[socket],
    options: ServerOptions,
    *,
    ready: Callable[[Server], None],
    private_routes: PrivateRoutes,
) -> bool:
    """Serve until SIGTERM or Ctrl-C, and let running requests end. `ready` gets the server once requests are answered;
    `private_routes` makes those of gptcli's own commands. The listeners stay open. Returns whether it ended because it
    was idle.

    Raises LoadError, RequestError, EngineError."""
    return _run(serve(open_engine, listeners, options, ready=ready, private_routes=private_routes))


async def serve(
    open_engine: OpenEngine,
    listeners: Sequence[socket],
    options: ServerOptions,
    *,
    ready: Callable[[Server], None],
    private_routes: PrivateRoutes,
    signals: Sequence[int] = (signal.SIGTERM, signal.SIGINT),
    clock: Clock = time.monotonic,
) -> bool:
    """The same for an event loop that runs already; only that of the main thread can be given `signals`."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its warnings are about what clients send
    metrics = Metrics()
    engine = EngineThread(open_engine, queue_size=options.queue_size, observer=metrics, clock=clock)
    metrics.gauge("requests_running", "Requests that the engine computes.", lambda: engine.running)
    metrics.gauge("requests_waiting", "Requests that wait for the engine.", lambda: engine.waiting)
    connections = IdleConnections(allowed_connections())
    metrics.gauge("connections", "Connections of clients.", lambda: connections.open)
    app = make_app(
        Service(engine, await engine.loaded(), options.names, options.limits, metrics),
        keys=options.keys,
        hosts=options.hosts,
        origins=options.origins,
        private_routes=private_routes(engine),
    )
    config = uvicorn.Config(
        app,
        http=protocol(connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_ACCEPTED_AT_ONCE,
        timeout_keep_alive=int(IDLE_SECONDS),
        timeout_graceful_shutdown=math.ceil(options.grace) + _LAST_SECONDS,
    )
    server = Server(config, connections, engine, options.grace, options.keep)
    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, server.stop)
    engine.ended.add_done_callback(lambda _: loop.call_soon_threadsafe(server.end))
    ready(server)
    await server.serve(sockets=[listener.dup() for listener in listeners])  # uvicorn closes what it is given
    await engine.close()
    return server.idle
