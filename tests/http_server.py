"""A whole server on the fake backend, in a thread: the real process, connections, application and engine thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fake_backend import END, FakeBackend, alphabet
from fake_engine import load_fake
from starlette.routing import BaseRoute

from gptcli.runtime.loaded import LoadedEngine
from gptcli.server.doors import tcp_door, unix_door
from gptcli.server.engine_thread import EngineThread
from gptcli.server.process import Server, ServerOptions, serve

Model = Callable[[list[int], int], int]
_ASSISTANT = b"assistant\n"
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def parrot(tokens: list[int], seed: int) -> int:
    """The model that repeats its prompt, which ends with `>` or with a chat's last turn, and then ends the text."""
    chat = bytes(tokens).rfind(_ASSISTANT)
    end = tokens.index(ord(">")) + 1 if chat < 0 else chat + len(_ASSISTANT)
    said = len(tokens) - end
    return tokens[said] if said < end - 1 else END


@dataclass
class Reply:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def error(self) -> dict:
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"message", "type", "param", "code"}
        return self.json["error"]

    @property
    def chunks(self) -> list[dict]:
        """The events of a stream, which ends as one must."""
        *events, last, rest = self.body.decode().split("\n\n")
        assert (last, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]


class HttpServer:
    """Listens on a port and on a Unix socket until it is closed."""

    def __init__(
        self,
        folder: Path,
        model: Model = alphabet,
        *,
        options: ServerOptions | None = None,
        parallel: int = 4,
        limit: int = 4096,
        private_routes: Callable[[EngineThread], Sequence[BaseRoute]] = lambda engine: (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = folder / "s.sock"
        self.backend = FakeBackend(model, trained_context=limit)
        self.options = options or ServerOptions(["fake"])
        self._parallel, self._private_routes, self._clock = parallel, private_routes, clock
        self._ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.thread.start()
        assert self._ready.wait(10)

    def __enter__(self) -> HttpServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        self.stop()
        self.thread.join()

    def stop(self) -> None:
        """What a signal does."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self.loop.call_soon_threadsafe(self.server.stop)

    def tick(self) -> None:
        """What uvicorn does ten times a second, and every tenth of which looks for what has been idle for too long."""
        asyncio.run_coroutine_threadsafe(self.server.on_tick(0), self.loop).result(10)

    async def _run(self) -> None:
        with unix_door(self.path) as private, tcp_door("127.0.0.1", 0) as public:
            self.port: int = public.getsockname()[1]
            more = {"ready": self._begin, "private_routes": self._private_routes, "signals": (), "clock": self._clock}
            self.ended_idle = await serve(self._open, [private, public], self.options, **more)

    def _begin(self, server: Server) -> None:
        self.server, self.loop = server, asyncio.get_running_loop()
        self.loop.call_later(0.02, self._ready.set)

    @contextlib.contextmanager
    def _open(self, before_step: Callable[[], None]) -> Iterator[LoadedEngine]:
        loaded = load_fake(self.backend, before_step, self._parallel)
        self.interrupt = loaded.interrupt
        yield loaded

    def connect(self, *, private: bool = False) -> socket.socket:
        """A connection; whoever opens it closes it."""
        if not private:
            return socket.create_connection(("127.0.0.1", self.port), 10)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        connection.connect(str(self.path))
        return connection

    def ask(self, path: str, body: object = None, *, method: str = "", private: bool = False, **headers: str) -> Reply:
        """Send one request and read the whole answer. A body that is no bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        with contextlib.closing(self.connect(private=private)) as connection:
            connection.sendall(request(method or ("GET" if body is None else "POST"), path, data, **headers))
            return read(connection)


def request(method: str, path: str, data: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request; `_` in the names of headers stands for `-`."""
    defaults = {"host": "localhost", "connection": "close"}
    if data or method == "POST":
        defaults |= {"content-type": "application/json", "content-length": str(len(data))}
    fields = defaults | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + data


def read(connection: socket.socket) -> Reply:
    """The answer on a connection that the server closes after it."""
    data = b""
    while piece := connection.recv(1 << 16):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    return Reply(int(first.split()[1]), headers, body)


def _unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return body
