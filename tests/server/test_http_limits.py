"""Clients that are slow, greedy, idle or gone do not stop others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_backend import END
from fake_chat import endless
from http_server import CHAT, HttpServer, Model, parrot, read, request

from gptcli.server import connections, engine_thread
from gptcli.server.process import ServerOptions
from gptcli.server.service import Limits
from gptcli.types import Prompt, TextPrompt, TokenPrompt

Start = Callable[..., HttpServer]
_ENDLESS = json.dumps({"prompt": "a>", "max_tokens": 1_000_000, "stream": True}).encode()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server with these limits, which ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(model: Model = parrot, *, queue_size: int = 64, parallel: int = 4, **limits: float) -> HttpServer:
            options = ServerOptions(["fake"], Limits(**limits), queue_size=queue_size)
            server = HttpServer(tmp_path, model, options=options, parallel=parallel, limit=1 << 24)
            return stack.enter_context(server)

        yield start


def answers(server: HttpServer) -> bool:
    return server.ask("/v1/completions", {"prompt": "ok>"}).json["choices"][0]["text"] == "ok"


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again until it is so; the test's own timeout ends what never will be."""
    while not condition():
        time.sleep(0.001)  # the server's threads need the time


def begin_endless(server: HttpServer) -> socket.socket:
    """A connection whose answer has begun."""
    connection = server.connect()
    connection.sendall(request("POST", "/v1/completions", _ENDLESS))
    while b"data:" not in connection.recv(1 << 16):
        pass
    return connection


class TestBodies:
    def test_a_large_one_is_refused_before_it_is_read(self, start: Start) -> None:
        server = start(body=1000)
        with server.connect() as connection:
            head = request("POST", "/v1/completions", content_length=str(100 << 20), expect="100-continue")
            connection.sendall(head)
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100")
            connection.shutdown(socket.SHUT_WR)
        assert answers(server)

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_hundred_megabytes_are_dropped_and_answered(self, start: Start, chunked: bool) -> None:
        server = start()
        size = 100 << 20
        piece = bytes(1 << 20)
        headers = {"transfer_encoding": "chunked", "content_length": None} if chunked else {"content_length": str(size)}
        head = request("POST", "/v1/completions", **{name: value for name, value in headers.items() if value})
        if chunked:
            head = head.replace(b"content-length: 0\r\n", b"")
        with server.connect() as connection:
            connection.sendall(head)
            for number in range(size // len(piece)):
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                if number == 50:
                    assert answers(server)
            if chunked:
                connection.sendall(b"0\r\n\r\n")
            reply = read(connection)
        assert (reply.status, reply.headers["connection"]) == (413, "close")
        assert "4,194,304 bytes" in reply.error["message"]

    def test_one_that_never_arrives(self, start: Start) -> None:
        server = start(body_seconds=0.05)
        with server.connect() as connection:
            connection.sendall(request("POST", "/v1/completions", content_length="50") + b'{"prompt"')
            assert answers(server)
            reply = read(connection)
        assert (reply.status, "0.05 seconds" in reply.error["message"]) == (408, True)

    @pytest.mark.parametrize("encoding", ["gzip", "br"])
    def test_a_compressed_one(self, start: Start, encoding: str) -> None:
        assert start().ask("/v1/completions", {"prompt": "a>"}, content_encoding=encoding).status == 415


class TestQueue:
    def test_full(self, start: Start) -> None:
        server = start(endless, queue_size=1, parallel=1)
        with begin_endless(server), server.connect() as waiting:
            waiting.sendall(request("POST", "/v1/completions", _ENDLESS))
            wait_until(lambda: server.server.engine.waiting == 1)
            reply = server.ask("/v1/chat/completions", CHAT)
            assert (reply.status, reply.error["code"], reply.error["type"]) == (429, "queue_full", "rate_limit_error")
            assert 1 <= int(reply.headers["retry-after"]) <= 60
            assert server.ask("/health").status == 200

    def test_a_client_that_goes_frees_its_place_within_a_step(self, start: Start) -> None:
        server = start(endless, parallel=1)
        first = begin_endless(server)
        second = server.connect()
        second.sendall(request("POST", "/v1/completions", _ENDLESS))
        wait_until(lambda: server.server.engine.waiting == 1)
        steps = server.backend.decodes
        first.close()
        assert b"data:" in second.recv(1 << 16) + second.recv(1 << 16)  # it was the next one
        second.close()
        wait_until(lambda: server.server.engine.running == 0)
        assert server.backend.decodes > steps
        assert all(sampler.closed for sampler in server.backend.samplers)

    def test_a_client_that_goes_while_it_waits(self, start: Start) -> None:
        server = start(endless, parallel=1)
        with begin_endless(server):
            waiting = server.connect()
            waiting.sendall(request("POST", "/v1/completions", b'{"prompt": "never computed>"}'))
            wait_until(lambda: server.server.engine.waiting == 1)
            waiting.close()
            wait_until(lambda: server.server.engine.waiting == 0)
            wait_until(lambda: b'status="499"} 1.0' in server.ask("/metrics").body)

    @pytest.mark.parametrize("stream", [False, True])
    def test_an_answer_that_takes_too_long_says_so(self, start: Start, stream: bool) -> None:
        server = start(endless, seconds=0.2)
        reply = server.ask("/v1/completions", {"prompt": "a>", "max_tokens": 1_000_000, "stream": stream})
        if stream:
            *_, last, end = reply.body.decode().split("\n\n")
            assert (reply.status, end) == (200, "")
            error = json.loads(last.removeprefix("data: "))["error"]
        else:
            assert reply.status == 504
            error = reply.error
        assert (error["code"], "0.2 seconds" in error["message"]) == ("timeout", True)
        wait_until(lambda: server.server.engine.running == 0)


class TestConnections:
    def test_idle_ones_do_not_stop_others(self, start: Start) -> None:
        server = start()
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(server.connect()) for _ in range(300)]
            idle[7].sendall(b"GET /health HTTP/1.1\r\nhost: ")
            assert answers(server)

    def test_the_oldest_idle_one_makes_room(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gptcli.server.process.allowed_connections", lambda: 5)
        server = start(endless)
        with contextlib.ExitStack() as stack:
            busy = stack.enter_context(contextlib.closing(begin_endless(server)))
            idle = [stack.enter_context(server.connect()) for _ in range(4)]
            idle[3].sendall(b"GET")
            assert server.ask("/health").status == 200  # the sixth
            assert ended(idle[0])
            assert b"data:" in busy.recv(1 << 16)
            idle[3].sendall(b" /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert idle[3].recv(1 << 16).startswith(b"HTTP/1.1 200")

    def test_one_that_sends_nothing_is_closed(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "IDLE_SECONDS", 0.01)
        server = start()
        with server.connect() as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nx: ")
            assert ended(connection)

    def test_headers_without_end(self, start: Start) -> None:
        server = start()
        with server.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET /health HTTP/1.1\r\n")
                for _ in range(2000):
                    connection.sendall(b"x-%b: y\r\n" % (b"a" * 1000))
            wait_until(lambda: server.server.connections.open == 0)
        assert answers(server)

    def test_a_client_that_does_not_read_is_cut_off(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "STALLED_SECONDS", 0.05)
        server = start()
        with server.connect() as connection:
            body = json.dumps({"content": "a" * 400_000, "with_pieces": True}).encode()  # the answer has 10 MB
            connection.sendall(request("POST", "/tokenize", body))
            assert answers(server)
            wait_until(lambda: server.server.connections.open == 0)

    def test_a_connection_serves_many_requests(self, start: Start) -> None:
        server = start()
        body = b'{"prompt": "abc>"}'
        with server.connect() as connection:
            for _ in range(3):
                connection.sendall(request("POST", "/v1/completions", body, connection="keep-alive"))
                data = b""
                while not data.endswith(b"}"):
                    data += connection.recv(1 << 16)
                assert b'"text":"abc"' in data


def ended(connection: socket.socket) -> bool:
    """Whether the server closes the connection."""
    with contextlib.suppress(ConnectionError):
        return connection.recv(1 << 16) == b""
    return True


class TestStopping:
    def test_running_answers_end_and_new_ones_are_refused(self, start: Start) -> None:
        stopping = threading.Event()
        server = start(lambda tokens, seed: END if stopping.is_set() else endless(tokens, seed))
        with begin_endless(server) as running, server.connect() as kept:
            kept.sendall(request("GET", "/health", connection="keep-alive"))
            kept.recv(1 << 16)
            server.stop()
            wait_until(lambda: server.server.engine.stopping)
            stopping.set()
            rest = b""
            while piece := running.recv(1 << 16):
                rest += piece
            assert b'"finish_reason":"stop"' in rest
            assert b"data: [DONE]" in rest
        server.thread.join()
        with pytest.raises(ConnectionError):
            server.connect()

    def test_a_second_signal_ends_them_now(self, start: Start) -> None:
        server = start(endless)
        with begin_endless(server) as running:
            server.stop()
            server.stop()
            rest = b""
            while piece := running.recv(1 << 16):
                rest += piece
        assert b"stopped before the answer was complete" in rest
        assert b"[DONE]" not in rest
        server.thread.join()

    def test_grace_ends_too(self, tmp_path: Path) -> None:
        with HttpServer(tmp_path, endless, options=ServerOptions(["fake"], grace=0.05), limit=1 << 24) as server:
            with begin_endless(server) as running:
                server.stop()
                while running.recv(1 << 16):
                    pass
            server.thread.join()


def test_requests_that_ran_together_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_thread, "_GATHER_SECONDS", 60)
    monkeypatch.setattr(engine_thread, "_LONGEST_GATHER", 60)
    with HttpServer(tmp_path, parrot) as server, contextlib.ExitStack() as stack:
        engine = server.server.engine
        assert server.ask("/v1/completions", {"prompt": ["a>", "b>", "c>"]}).status == 200
        connections = [stack.enter_context(server.connect()) for _ in range(3)]
        for number, connection in enumerate(connections, 1):
            assert engine.running == 0
            connection.sendall(request("POST", "/v1/completions", json.dumps({"prompt": f"{number}>"}).encode()))
            wait_until(lambda wanted=number: engine.waiting == wanted or wanted == 3)  # type: ignore[misc]
        assert [read(one).json["choices"][0]["text"] for one in connections] == ["1", "2", "3"]
        monkeypatch.setattr(engine_thread, "_GATHER_SECONDS", 0.001)
        assert answers(server)  # nobody else comes


def test_one_that_is_being_encoded_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_thread, "_GATHER_SECONDS", 0.001)
    monkeypatch.setattr(engine_thread, "_LONGEST_GATHER", 60)
    with HttpServer(tmp_path, parrot) as server, contextlib.ExitStack() as stack:
        engine, encoded = server.server.engine, threading.Event()
        assert server.ask("/v1/completions", {"prompt": ["1>", "2>"]}).status == 200
        steps, encode = server.backend.decodes, engine.encode

        async def encode_late(prompt: Prompt) -> TokenPrompt:
            if isinstance(prompt, TextPrompt) and prompt.data == b"2>":
                await asyncio.to_thread(encoded.wait)
            return await encode(prompt)

        monkeypatch.setattr(engine, "encode", encode_late)
        connections = [stack.enter_context(server.connect()) for _ in range(2)]
        for number, connection in enumerate(connections, 1):
            connection.sendall(request("POST", "/v1/completions", json.dumps({"prompt": f"{number}>"}).encode()))
        wait_until(lambda: engine.waiting == 1 and engine._encoding == 1)
        encoded.set()
        assert [read(one).json["choices"][0]["text"] for one in connections] == ["1", "2"]
        assert server.backend.decodes - steps <= steps


def test_a_server_ends_as_idle_after_so_long_without_a_request(tmp_path: Path) -> None:
    now = 0.0
    options = ServerOptions(["fake"], keep=60)
    with HttpServer(tmp_path, endless, options=options, limit=1 << 24, clock=lambda: now) as server:
        with begin_endless(server):
            now = 1000.0
            server.tick()
            assert not server.server.should_exit  # it answers
        wait_until(lambda: server.server.engine.running == 0)
        now = 1060.0
        server.tick()
        assert not server.server.should_exit  # the last answer has ended only 60 seconds ago
        now = 1060.1
        server.tick()
        server.thread.join(10)
        assert server.ended_idle


def test_a_failed_step_fails_its_requests_and_no_others(tmp_path: Path) -> None:
    with HttpServer(tmp_path, parrot) as server:
        server.backend.fail_at = frozenset({server.backend.decodes + 1})
        reply = server.ask("/v1/completions", {"prompt": "abc>"})
        assert (reply.status, reply.error["type"]) == (500, "server_error")
        assert answers(server)


def test_an_engine_that_fails_for_good_is_started_again(tmp_path: Path) -> None:
    with HttpServer(tmp_path, parrot) as server:
        first = server.backend.decodes + 1
        server.backend.fail_at = frozenset({first, first + 1})
        statuses = {server.ask("/v1/completions", {"prompt": "abc>"}).status for _ in range(2)}
        assert statuses == {500}
        assert answers(server)
