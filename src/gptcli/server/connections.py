"""One connection of a client, guarded against those that take up room and do nothing.

uvicorn itself lets a connection be idle for ever before its first request, lets headers grow without end, and waits for
ever for a client that does not read."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

IDLE_SECONDS = 75.0
"""A connection without a request is closed after so long; the same as nginx's keepalive_timeout."""
STALLED_SECONDS = 60.0
"""A client that has read nothing for so long while its answer waits is cut off; nginx's send_timeout."""
MAX_HEADER_BYTES = 64 * 1024
_RESERVED_FILES = 256
"""File descriptors for the model, the prefix cache and the like, and for connections that are accepted or closed just
now: too many would let asyncio accept none for a second."""


class IdleConnections:
    """All connections that have no request, oldest first; the oldest is closed when there are too many."""

    def __init__(self, most: int) -> None:
        """`most`: connections of any kind."""
        self._most = most
        self._idle: dict[Connection, float] = {}
        self.open = 0
        """Connections, idle or not."""

    def add(self, connection: Connection) -> None:
        """It has no request from now on."""
        self._idle[connection] = connection.loop.time()
        if self.open > self._most:
            self._close_oldest()

    def remove(self, connection: Connection) -> None:
        """It has a request, or has been closed."""
        self._idle.pop(connection, None)

    def close_expired(self, now: float) -> None:
        """Close those that have been idle too long."""
        for connection, since in [*self._idle.items()]:
            if now - since < IDLE_SECONDS:
                break
            self.remove(connection)
            connection.transport.close()

    def _close_oldest(self) -> None:
        oldest = next(iter(self._idle))
        self.remove(oldest)
        oldest.transport.abort()


class Connection(HttpToolsProtocol):
    """uvicorn's connection with limits. Use `protocol`, which gives all of a server's connections one register."""

    register: IdleConnections
    _header_bytes = 0
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.register.open += 1
        if not _may_enter(transport.get_extra_info("socket")):
            transport.abort()
            return
        self.register.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.register.open -= 1
        self.register.remove(self)
        self._end_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.parser is None:  # data of a connection that was refused
            return
        if self.cycle is None or self.cycle.response_complete:  # the data may belong to a head
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES + len(data):
                self.send_400_response("The headers are too large.")
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._header_bytes = 0
        self.register.remove(self)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and not self.pipeline:
            self.register.add(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()

    def _end_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


def protocol(register: IdleConnections) -> type[Connection]:
    """The class of a server's connections."""
    return type("ServerConnection", (Connection,), {"register": register})


def allowed_connections() -> int:
    """How many connections the system lets this process have, after raising its own limit as far as it may."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(64, (65536 if soft == resource.RLIM_INFINITY else soft) - _RESERVED_FILES)


def _may_enter(peer: socket.socket) -> bool:
    """Whether a Unix socket's other end is this user (or root): a second lock behind the folder's permissions."""
    if peer.family != getattr(socket, "AF_UNIX", None) or not sys.platform.startswith("linux"):
        return True
    data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", data)
    return user in (0, os.getuid())
