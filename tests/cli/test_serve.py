"""`gptcli serve` as a program: its start, its refusals, its signals and its unit."""

from __future__ import annotations

import contextlib
import json
import os
import plistlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_server import request
from shell import Shell

from gptcli.server.unit import make_unit


@pytest.fixture
def serving(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen, int]]:
    """A server of the tiny model, and its port."""
    with start(tiny, tmp_path_factory.mktemp("s")) as started:
        yield started


@contextlib.contextmanager
def start(model: Path, folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen, int]]:
    """A server with that runtime folder, and its port."""
    command = [sys.executable, "-m", "gptcli", "serve", "-m", str(model), "-t", "1", "--parallel", "4", "--port", "0"]
    command += flags
    environment = os.environ | {"GPTCLI_RUNTIME_DIR": str(folder)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    with process:
        assert process.stderr is not None
        found = re.search(r"answers at http://127\.0\.0\.1:(\d+)/v1$", process.stderr.readline().strip())
        assert found is not None
        yield process, int(found[1])
        process.kill()


def begin(port: int, tokens: int) -> socket.socket:
    """A connection whose answer has begun."""
    body = {"prompt": "Hello", "max_tokens": tokens, "stream": True, "ignore_eos": True, "n": 2}
    connection = socket.create_connection(("127.0.0.1", port), 60)
    connection.sendall(request("POST", "/v1/completions", json.dumps(body).encode()))
    assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    return connection


def rest(connection: socket.socket) -> bytes:
    """All that still comes."""
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def test_sigterm_lets_answers_end(serving: tuple[subprocess.Popen, int]) -> None:
    process, port = serving
    with begin(port, 40) as connection:
        process.send_signal(signal.SIGTERM)
        assert b"data: [DONE]" in rest(connection)
    assert process.wait(20) == 0
    assert process.communicate() == ("", "")


def test_an_idle_model_is_unloaded_and_loaded_for_the_next_request(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("s")
    with start(tiny, folder, "--keep", "1") as (process, port):
        wait_until_unloaded(folder, process)
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            body = json.dumps({"prompt": "Hello", "max_tokens": 2}).encode()
            connection.sendall(request("POST", "/v1/completions", body))
            assert rest(connection).startswith(b"HTTP/1.1 200")
        assert not list(folder.rglob("*.resting"))
        wait_until_unloaded(folder, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not list(folder.rglob("*.resting"))


def wait_until_unloaded(folder: Path, process: subprocess.Popen) -> None:
    """A note says so beside the socket."""
    deadline = time.monotonic() + 20
    while not list(folder.rglob("*.resting")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_them(serving: tuple[subprocess.Popen, int], number: int) -> None:
    process, port = serving
    with begin(port, 100_000) as connection:
        process.send_signal(number)
        assert b"data" in connection.recv(1 << 16)
        process.send_signal(number)
        assert b"stopped before the answer was complete" in rest(connection)
    assert process.wait(20) == 0
    assert process.communicate() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0", "--port", "0"], "--host 0.0.0.0 lets other machines in, which needs --api-key-file."),
        (["--socket-only", "--port", "9"], "--socket-only and flags of the port contradict each other."),
        (["--api-key-file", "nowhere"], "--api-key-file: nowhere cannot be read."),
        (["--host", "not an address", "--port", "0"], "--host not an address is no address"),
    ],
)
def test_refusals(shell: Shell, tiny: Path, arguments: list[str], message: str) -> None:
    outcome = shell.run("serve", "-m", str(tiny), *arguments)
    assert outcome.code == 2
    assert message in outcome.err


class TestUnit:
    def test_systemd(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tiny.parent)
        unit = make_unit(["serve", "-m", tiny.name, "--alias", 'a "b" $c %d'], 30, system="linux")
        (command,) = re.findall("^ExecStart=(.*)$", unit, re.MULTILINE)
        program, rest = command.split(" ", 1)
        assert os.path.isabs(program)
        assert rest == f'serve -m {tiny} --alias "a \\"b\\" $$c %%d"'
        assert "TimeoutStopSec=45\n" in unit

    def test_launchd(self) -> None:
        values = plistlib.loads(make_unit(["serve", "--alias", "a b"], 5, system="darwin").encode())
        assert values["ProgramArguments"][1:] == ["serve", "--alias", "a b"]
        assert values["ExitTimeOut"] == 20

    def test_the_flag(self, shell: Shell) -> None:
        outcome = shell.run("serve", "--port", "9", "--print-unit", "--grace", "1")
        assert outcome.code == 0
        assert b"serve --port 9 --grace 1\n" in outcome.out
