"""The engine of a `gptcli serve` of the same user, model and version, over its private Unix socket.

It sends the requests and yields the events of `types.Engine`. llama.cpp and the model are only in the server."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from gptcli import __version__
from gptcli.errors import EndpointError, GptcliError
from gptcli.interrupt import Interrupt
from gptcli.runtime import EngineOptions
from gptcli.runtime.http_client import Exchange
from gptcli.runtime.sockets import LOST, file_state, is_private, socket_path
from gptcli.runtime.wire import WireError, dump, load
from gptcli.types import Capabilities, Event, Failed, Finished, Prompt, Request, TokenPrompt

_ANSWER_SECONDS = 5.0
"""For a server to say what it is; one that does not is stopped, or still loads its model."""
_POLL_SECONDS = 0.05
"""How long Ctrl-C or a cancelled request waits at most while no event comes."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is, and how it was started."""

    version: str
    pid: int
    model: str
    """Its name, as the server's user wrote it."""
    address: str
    """Of its HTTP door, for people; empty if there is none."""
    started: float
    """Seconds since 1970."""
    ctx_size: int | None
    threads: int | None
    threads_batch: int | None
    requested_device: str
    gpu_layers: int | None
    cache_types: tuple[str, str]
    """Types of the keys and of the values in its KV cache."""
    speculation: bool | None
    draft: str | None
    adapters: tuple[tuple[str, float], ...]
    """LoRA files with their real paths, sizes and modification times, and their scales."""
    loaded: bool = True
    """False: the model is loaded again for the next request."""
    device: str = ""
    chat_template: str | None = None
    limit: int = 0
    parallel: int = 0
    cells: int = 0
    capabilities: Capabilities = field(default_factory=Capabilities)
    plain: bool = False
    """Whether it honours a command line without options of the model; for `cli/warm.py`."""

    def honours(self, options: EngineOptions) -> bool:
        """Whether an answer is what an engine with these options would give, on what was asked for."""
        return (
            self.version == __version__
            and not options.verbose
            and options.chat_template is None
            and self.ctx_size == options.ctx_size
            and self.cache_types == options.cache_types
            # A server without a choice drafts only where that changes nothing, as one that never does.
            and options.speculation in (None, bool(self.speculation))
            and options.draft in (None, self.draft)
            and self.adapters == adapter_states(options)
            and options.threads in (None, self.threads)
            and options.threads_batch in (None, self.threads_batch)
            and options.device in ("auto", self.requested_device)
            and options.gpu_layers in (None, self.gpu_layers)
        )


def describe_server(model: str, options: EngineOptions, address: str) -> ServerInfo:
    """This process as a server that has not loaded its model yet."""
    info = ServerInfo(
        version=__version__,
        pid=os.getpid(),
        model=model,
        address=address,
        started=time.time(),
        ctx_size=options.ctx_size,
        threads=options.threads,
        threads_batch=options.threads_batch,
        requested_device=options.device,
        gpu_layers=options.gpu_layers,
        cache_types=options.cache_types,
        speculation=options.speculation,
        draft=options.draft,
        adapters=adapter_states(options),
    )
    return replace(info, plain=info.honours(EngineOptions(speculation=None)))


def adapter_states(options: EngineOptions) -> tuple[tuple[str, float], ...]:
    """The LoRA files of the options as they are now, and their scales."""
    return tuple((repr(file_state(path)), scale) for path, scale in options.adapters)


def find_server(model: Path, options: EngineOptions) -> Server | None:
    """A running server of this user that has the model and honours the options."""
    try:
        path = socket_path(model)
        if not hasattr(socket, "AF_UNIX") or not is_private(path.parent):
            return None
        server = Server(path)
    except (EndpointError, OSError):
        return None
    return server if server.info.honours(options) else None


class Server:
    """A server's socket, and what it says of itself."""

    def __init__(self, path: Path) -> None:
        """Raises EndpointError if nobody listens there, or does not answer."""
        self.path = path
        started = time.perf_counter()
        answer = self.ask("GET", "/gptcli/info", seconds=_ANSWER_SECONDS)
        try:
            self.info: ServerInfo = load(ServerInfo, answer)
        except WireError as error:  # a development version of the same number
            raise EndpointError(f"the server at {path} is not of this gptcli: {error}.", LOST) from error
        self.seconds = time.perf_counter() - started

    def send(self, method: str, path: str, body: bytes = b"", seconds: float | None = None) -> Exchange:
        """Send a request. Raises EndpointError."""
        try:
            return Exchange(str(self.path), method, path, body, seconds)
        except OSError as error:
            reason = error.strerror or "it does not answer"
            raise EndpointError(f"the server at {self.path} cannot be reached: {reason}.", LOST) from error

    def ask(self, method: str, path: str, body: bytes = b"", seconds: float | None = None) -> bytes:
        """Send a request and wait for its whole answer. Raises EndpointError, or the error that the server answers."""
        exchange = self.send(method, path, body, seconds)
        try:
            lines: list[bytes] = []
            while not exchange.complete:
                lines += exchange.receive()
        except OSError as error:
            raise EndpointError(f"the server at {self.path} does not answer.", LOST) from error
        finally:
            exchange.close()
        answer = b"".join(lines)
        if exchange.status != 200:
            raise _error(exchange.status, answer)
        return answer


class RemoteEngine:
    """Lets a server answer requests. `types.Engine` documents the methods."""

    def __init__(self, server: Server, parallel: int, interrupt: Interrupt) -> None:
        info = server.info
        self.capabilities, self.limit, self.parallel = info.capabilities, info.limit, parallel
        self._server = server
        self._interrupt = interrupt
        self._cancelled: set[str] = set()  # other threads add to it, which is atomic
        self._encoded: tuple[int, ...] = ()
        self._texts: dict[int, str] = {}

    def encode(self, prompt: Prompt) -> TokenPrompt:
        if isinstance(prompt, TokenPrompt) and prompt.tokens:
            return prompt
        encoded: TokenPrompt = load(TokenPrompt, self._server.ask("POST", "/gptcli/encode", dump(prompt)))
        self._encoded = encoded.tokens
        return encoded

    def tokenize(self, text: bytes, *, begins: bool = False) -> tuple[int, ...]:
        target = f"/gptcli/tokenize?begins={int(begins)}"
        tokens: tuple[int, ...] = load(tuple[int, ...], self._server.ask("POST", target, dump(text)))
        return tokens

    def token_text(self, token: int) -> str:
        if token not in self._texts:  # those of the last prompt are likely to be asked for, one by one
            tokens = tuple({token, *self._encoded})
            texts = load(tuple[str, ...], self._server.ask("POST", "/gptcli/token_texts", dump(tokens)))
            self._texts |= zip(tokens, texts, strict=True)
        return self._texts[token]

    def save_prefix(self) -> None:
        """The server has it in memory, for every command."""

    def cancel(self, request_id: str) -> None:
        self._cancelled.add(request_id)

    def stream(self, requests: Iterable[Request | None]) -> Generator[Event, None, None]:
        """Raises EndpointError when the server is lost; nothing is sent again."""
        incoming = iter(requests)
        running: list[_Answer] = []
        stopped = False
        try:
            while True:
                while len(running) < self.parallel and not stopped and (request := next(incoming, None)):
                    running.append(_Answer(self._server, request))
                if not running:
                    return
                stopped = self._pass_on_cancels(running, stopped)
                for answer in _readable(running):
                    yield from answer.events()
                    if not answer.samples:
                        answer.close()
                        running.remove(answer)
        finally:
            for answer in running:  # the server ends what nobody listens to
                answer.close()

    def _pass_on_cancels(self, running: list[_Answer], stopped: bool) -> bool:
        """Tell the server which requests are cancelled: all, once Ctrl-C was pressed. Returns whether it was."""
        everything = self._interrupt.requested and not stopped
        for answer in running:
            if everything or answer.request_id in self._cancelled:
                answer.cancel()
        self._cancelled.clear()
        return stopped or everything


class _Answer:
    """One request that was sent, until all its samples have ended."""

    def __init__(self, server: Server, request: Request) -> None:
        self.request_id = request.id
        self.samples = request.n
        self._server = server
        self._key = os.urandom(16).hex()  # no other request of any process has it
        self._exchange = server.send("POST", "/gptcli/stream", dump(replace(request, id=self._key)))

    def fileno(self) -> int:
        return self._exchange.fileno()

    def events(self) -> Iterator[Event]:
        """The events that have arrived. Raises EndpointError if the server has gone."""
        try:
            lines = self._exchange.receive()
        except OSError as error:
            raise EndpointError("the server ended before the answer did.", LOST) from error
        if self._exchange.status not in (None, 200):
            if self._exchange.complete:
                yield self._end(Failed(self.request_id, _error(self._exchange.status, b"".join(lines))))
            return
        for line in lines:
            try:
                event: Event = load(Event, line)
            except WireError as error:
                raise EndpointError(f"the server answered nonsense: {error}.", LOST) from error
            event.id = self.request_id
            yield self._end(event)
        if self._exchange.complete and self.samples:
            raise EndpointError("the server ended before the answer did.", LOST)

    def cancel(self) -> None:
        self._server.ask("POST", "/gptcli/cancel", dump(self._key), _ANSWER_SECONDS)

    def close(self) -> None:
        self._exchange.close()

    def _end(self, event: Event) -> Event:
        """Count the samples that have ended."""
        if isinstance(event, Failed):
            self.samples = 0
        elif isinstance(event, Finished):
            self.samples -= 1
        return event


def _readable(answers: list[_Answer]) -> list[_Answer]:
    return select.select(answers, [], [], _POLL_SECONDS)[0]


def _error(status: int | None, answer: bytes) -> GptcliError:
    """The error in an answer that is none."""
    try:
        error: GptcliError = load(GptcliError, answer)
        return error
    except WireError:
        text = answer[:200].decode("utf-8", "replace")
        return EndpointError(f"the server answered with HTTP status {status}: {text}", LOST)
