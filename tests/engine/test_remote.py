"""A remote engine answers exactly what the server's own engine would, and says so when it cannot."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_server import EngineServer
from fake_backend import END, FakeBackend, alphabet
from fake_chat import endless

from gptcli.engine.engine import LocalEngine
from gptcli.errors import ContextFull, EndpointError
from gptcli.interrupt import Interrupt
from gptcli.params import Sampling
from gptcli.prompt.template import ChatTemplate
from gptcli.runtime import EngineOptions
from gptcli.runtime.remote import RemoteEngine, Server, find_server
from gptcli.runtime.sockets import socket_path
from gptcli.runtime.wire import dump
from gptcli.types import (
    ChatPrompt,
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    Message,
    Request,
    Started,
    TextPrompt,
    TokenPrompt,
)


@pytest.fixture
def folder(home: Path) -> Path:
    """Where sockets may be: their paths must be short."""
    return home / "run"


@pytest.fixture
def server(folder: Path) -> Iterator[EngineServer]:
    one = EngineServer(folder / "a.sock")
    yield one
    one.stop()


@pytest.fixture
def slow(folder: Path) -> Iterator[EngineServer]:
    """Its answers have no end but the context's."""
    one = EngineServer(folder / "b.sock", endless, limit=1 << 20, parallel=1)
    yield one
    one.stop()


def remote(server: EngineServer, parallel: int = 4, interrupt: Interrupt | None = None) -> RemoteEngine:
    return RemoteEngine(Server(server.path), parallel, interrupt or Interrupt())


def ask(text: str, id: str = "0", **more: object) -> Request:
    return Request(id, TextPrompt(text.encode("utf-8", "surrogateescape")), Sampling(seed=1), **more)


def without_times(event: Event) -> object:
    if isinstance(event, Finished):
        return dataclasses.replace(event, prompt_seconds=0.0, decode_seconds=0.0)
    return (event.id, type(event.error), event.error.message) if isinstance(event, Failed) else event


@pytest.mark.parametrize(
    "request_",
    [
        ask("Hello"),
        ask("Hello", n=3, max_tokens=9),
        ask("Hello", logprobs=2, max_tokens=5),
        ask("Hello", stop=("e", "a")),
        ask("Hello", stream=False),
        ask("\udcff\udc80 no UTF-8"),
        ask("x" * 5000),
        Request("0", ChatPrompt((Message("user", "Ä \U0001f600"),)), Sampling(seed=3), max_tokens=20),
        Request("0", TokenPrompt((65, 66)), Sampling(seed=3), max_tokens=0),
    ],
    ids=["text", "samples", "logprobs", "stop", "whole", "no UTF-8", "too long", "chat", "nothing to generate"],
)
def test_the_events_are_those_of_a_local_engine(server: EngineServer, request_: Request) -> None:
    local = LocalEngine(FakeBackend(alphabet, trained_context=4096), template=ChatTemplate(None), parallel=4)
    expected = [without_times(event) for event in local.stream([request_])]
    assert [without_times(event) for event in remote(server).stream([request_])] == expected


def test_bytes_that_are_no_text_arrive_as_they_are(folder: Path) -> None:
    server = EngineServer(folder / "c.sock", lambda tokens, seed: [0xE4, 0xFF, 0x80, END][len(tokens) - 1])
    try:
        deltas = [event.text for event in remote(server).stream([ask("a")]) if isinstance(event, Delta)]
    finally:
        server.stop()
    assert "".join(deltas).encode("utf-8", "surrogateescape") == b"\xe4\xff\x80"


def test_many_requests_at_once_keep_their_own_ids(server: EngineServer) -> None:
    requests = [ask(f"Question {number}", str(number), max_tokens=8) for number in range(40)]
    texts: dict[str, str] = {}
    most = 0
    running: set[str] = set()
    for event in remote(server, parallel=4).stream(requests):
        if isinstance(event, Started):
            running.add(event.id)
        elif isinstance(event, Delta):
            texts[event.id] = texts.get(event.id, "") + event.text
        elif isinstance(event, Finished):
            running.discard(event.id)
        most = max(most, len(running))
    local = LocalEngine(FakeBackend(alphabet, trained_context=4096))
    expected: dict[str, str] = {}
    for event in local.stream(requests):
        if isinstance(event, Delta):
            expected[event.id] = expected.get(event.id, "") + event.text
    assert texts == expected
    assert most <= 4


def test_prompts_are_encoded_by_the_server(server: EngineServer) -> None:
    engine = remote(server)
    prompt = ChatPrompt((Message("user", "Hi"),))
    local = LocalEngine(FakeBackend(), template=ChatTemplate(None))
    assert engine.encode(prompt) == local.encode(prompt)
    assert engine.tokenize(b"a\xff") == local.tokenize(b"a\xff")
    assert [engine.token_text(token) for token in (*b"Hi", END)] == ["H", "i", "<end>"]


def test_an_error_of_the_request_is_the_same_error(server: EngineServer) -> None:
    (event,) = remote(server).stream([ask("x" * 4096)])
    assert isinstance(event, Failed)
    assert event.id == "0"
    assert isinstance(event.error, ContextFull)
    assert "4,096 tokens" in event.error.message


def test_a_cancelled_request_ends_with_what_it_has_said(slow: EngineServer) -> None:
    engine = remote(slow)
    events = []
    for event in engine.stream([ask("Hello")]):
        events.append(event)
        if isinstance(event, Delta):
            engine.cancel("0")
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is FinishReason.CANCELLED
    assert events[-1].completion_tokens >= 1


def test_ctrl_c_ends_all_requests_also_those_that_wait(slow: EngineServer) -> None:
    interrupt = Interrupt()
    reasons = {}
    for event in remote(slow, 2, interrupt).stream([ask("Hello", "0"), ask("You", "1")]):  # the server runs one
        if isinstance(event, Delta):
            interrupt.request()
        if isinstance(event, Finished):
            reasons[event.id] = event.reason
    assert reasons == {"0": FinishReason.CANCELLED, "1": FinishReason.CANCELLED}


def test_closing_the_stream_frees_the_place(slow: EngineServer) -> None:
    with contextlib.closing(remote(slow).stream([ask("Hello")])) as events:
        next(event for event in events if isinstance(event, Delta))
    answered = list(remote(slow).stream([ask("Next", max_tokens=3)]))  # it has the only lane
    assert answered[-1].reason is FinishReason.LENGTH


def test_a_server_that_dies_in_the_middle_is_an_error_and_nothing_is_sent_again(slow: EngineServer) -> None:
    events = remote(slow).stream([ask("Hello")])
    next(event for event in events if isinstance(event, Delta))
    slow.stop()
    with pytest.raises(EndpointError, match="ended before the answer"):
        list(events)
    with pytest.raises(EndpointError, match="cannot be reached"):
        list(remote_of(slow).stream([ask("Hello")]))


def remote_of(stopped: EngineServer) -> RemoteEngine:
    """An engine of a server that has gone since."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stopped.path))
        listener.listen()
        answer = threading.Thread(target=_answer_info, args=(listener, stopped))
        answer.start()
        found = Server(stopped.path)
        answer.join()
    stopped.path.unlink()
    return RemoteEngine(found, 1, Interrupt())


def _answer_info(listener: socket.socket, server: EngineServer) -> None:
    connection, _ = listener.accept()
    body = dump(server.info)
    connection.recv(1 << 16)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    connection.close()


@pytest.mark.parametrize("method", ["stream", "cancel", "encode", "token_texts", "tokenize"])
@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b"[" * 9999, b'{"type":"Request","id":"0"}', b"[1e999]"])
def test_a_body_that_is_none_is_refused(server: EngineServer, method: str, body: bytes) -> None:
    with pytest.raises(Exception, match="not what this route takes") as refusal:
        Server(server.path).ask("POST", f"/gptcli/{method}", body)
    assert type(refusal.value).__name__ == "InvalidRequest"


def test_a_number_out_of_range_never_reaches_the_engine(server: EngineServer) -> None:
    bad = dataclasses.replace(ask("a"), n=100_000)
    (event,) = remote(server).stream([bad])
    assert isinstance(event, Failed)
    assert "n must be" in event.error.message


class TestFindServer:
    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        (tmp_path / "model.gguf").write_bytes(b"weights")
        return tmp_path / "model.gguf"

    @pytest.fixture
    def serve(self, model: Path) -> Iterator[object]:
        with contextlib.ExitStack() as stack:

            def start(**options: object) -> None:
                server = EngineServer(socket_path(model), options=EngineOptions(**options))
                stack.callback(server.stop)

            yield start

    def test_no_server(self, model: Path) -> None:
        assert find_server(model, EngineOptions()) is None

    def test_a_server_of_this_model(self, model: Path, serve) -> None:
        serve()
        assert find_server(model, EngineOptions()) is not None
        mode = stat.S_IMODE(socket_path(model).stat().st_mode), stat.S_IMODE(socket_path(model).parent.stat().st_mode)
        assert mode == (0o600, 0o700)

    def test_not_of_a_model_that_has_changed(self, model: Path, serve) -> None:
        serve()
        os.utime(model, (1, 1))
        assert find_server(model, EngineOptions()) is None

    @pytest.mark.parametrize(
        ("started", "wanted", "honoured"),
        [
            ({}, {"ctx_size": 512}, False),
            ({"ctx_size": 512}, {"ctx_size": 512}, True),
            ({"ctx_size": 512}, {}, False),
            ({"threads": 2}, {}, True),
            ({"threads": 2}, {"threads": 1}, False),
            ({}, {"threads_batch": 1}, False),
            ({"device": "cpu"}, {}, True),
            ({}, {"device": "cpu"}, False),
            ({}, {"gpu_layers": 3}, False),
            ({}, {"verbose": True}, False),
            ({}, {"force": True, "offline": True}, True),
            ({"speculation": None}, {"speculation": None}, True),
            ({"speculation": None}, {"speculation": False}, True),
            ({"speculation": None}, {"speculation": True}, False),
            ({"speculation": True}, {"speculation": None}, True),
            ({"speculation": True}, {"speculation": False}, False),
            ({"draft": "small"}, {}, True),
            ({}, {"draft": "small"}, False),
        ],
    )
    def test_flags_that_it_cannot_honour(
        self, model: Path, serve, started: dict[str, object], wanted: dict[str, object], honoured: bool
    ) -> None:
        serve(**started)
        assert (find_server(model, EngineOptions(**wanted)) is not None) is honoured
        if not wanted:
            assert Server(socket_path(model)).info.plain is honoured

    def test_an_adapter(self, model: Path, serve, tmp_path: Path) -> None:
        (tmp_path / "lora.gguf").write_bytes(b"adapter")
        serve(adapters=((tmp_path / "lora.gguf", 1.0),))
        assert find_server(model, EngineOptions()) is None
        assert find_server(model, EngineOptions(adapters=((tmp_path / "lora.gguf", 0.5),))) is None
        assert find_server(model, EngineOptions(adapters=((tmp_path / "lora.gguf", 1.0),))) is not None

    def test_a_folder_that_others_may_write_to(self, model: Path, serve) -> None:
        serve()
        socket_path(model).parent.chmod(0o777)
        assert find_server(model, EngineOptions()) is None

    def test_a_socket_that_nobody_listens_on(self, model: Path) -> None:
        path = socket_path(model)
        path.parent.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(str(path))
        assert path.exists()
        assert find_server(model, EngineOptions()) is None
