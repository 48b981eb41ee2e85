"""Whatever a body has in it, the answer is 200 or an error of the client's, and the server goes on."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest
from http_server import HttpServer

from gptcli.openai.request import request_param
from gptcli.params import PARAMS
from gptcli.server.process import ServerOptions
from gptcli.server.service import Limits

BODIES = 500
_PATHS = ("/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize")
_FIELDS = [
    *PARAMS,
    *("model", "prompt", "messages", "stream", "stream_options", "echo", "suffix", "best_of", "top_logprobs", "tools"),
    *("response_format", "chat_template_kwargs", "content", "tokens", "add_special", "with_pieces", "user", "metadata"),
]
_ATOMS = [
    *(None, True, False, 0, 1, -1, 3, 2**31, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e308, 1e-320, 1e400),
    *("", "a>", "\x00", "\ud800", "😀" * 9, "<|im_end|>", "a" * 3000, "{{ 1/0 }}", "%s%n", "root ::= root"),
]
_MESSAGE = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    options = ServerOptions(["fake"], Limits(seconds=20, tokens=64))
    with HttpServer(tmp_path_factory.mktemp("run"), options=options, limit=512) as one:
        yield one


def _value(choose: random.Random, depth: int = 0) -> object:
    kind = choose.random()
    if depth > 3 or kind < 0.6:
        return choose.choice(_ATOMS)
    if kind < 0.8:
        return [_value(choose, depth + 1) for _ in range(choose.randrange(4))]
    return {choose.choice(_FIELDS): _value(choose, depth + 1) for _ in range(choose.randrange(4))}


def _body(choose: random.Random, path: str) -> bytes:
    """A good body with some fields of another kind or another range, and sometimes with broken bytes."""
    body: dict[str, object] = {"max_tokens": 3, "seed": 1}
    body |= {"messages": [_MESSAGE]} if "chat" in path else {"prompt": "Hello"}
    if path == "/detokenize":
        body = {"tokens": [65, 66]}
    elif path == "/tokenize":
        body = {"prompt": "Hello"}
    for _ in range(choose.randrange(4)):
        name = choose.choice([*body, *_FIELDS])
        if choose.random() < 0.5 and (param := request_param(name)) is not None:
            body[name] = choose.choice([param.low, param.high, param.default, param.low - 1, param.high + 1])
        else:
            body[name] = _value(choose)
    data = json.dumps(body, default=list).encode()
    if choose.random() < 0.15:
        at = choose.randrange(len(data))
        data = data[:at] + choose.randbytes(choose.randrange(4)) + data[at + choose.randrange(3) :]
    return data


@pytest.mark.parametrize("path", _PATHS)
def test_no_body_ends_in_an_error_of_the_server(
    server: HttpServer, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    choose = random.Random(path)
    statuses = set()
    for _ in range(BODIES // len(_PATHS)):
        data = _body(choose, path)
        reply = server.ask(path, data)
        statuses.add(reply.status)
        assert reply.status == 200 or 400 <= reply.status < 500, (reply.status, reply.body, data)
        if reply.status != 200:
            assert reply.error["message"], data
        elif reply.headers["content-type"].startswith("text/event-stream"):
            assert b'"error"' not in reply.body, data
    assert {200, 400} <= statuses
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%zz%00 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET * HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"BREW /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
        bytes(range(256)) * 9,
    ],
)
def test_what_is_no_request(server: HttpServer, data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with server.connect() as connection:
        connection.sendall(data)
        connection.shutdown(1)
        reply = connection.recv(1 << 16)
    assert not reply.startswith(b"HTTP/1.1 5")
    assert server.ask("/health").status == 200
    assert capfd.readouterr().err == ""
