"""Commands use a running server of the same model, give the same bytes, and never lose an answer in silence."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import Outcome, Shell, finish, interrupt

from gptcli.errors import ExitCode

TRACED = ("-X", "importtime", "-m", "gptcli")
BY_SERVER = "by the server"
ONE_THREAD = ("-m", "smollm2", "-t", "1")
ENDLESS = ("--ignore-eos", "-n", "5000", "--temp", "0")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, starter: Path, starter_places: dict[str, str]) -> Iterator[Shell]:
    """A user who has the starter model, and a folder for sockets: their paths must be short."""
    with tempfile.TemporaryDirectory(prefix="gptcli-") as folder:
        shell = Shell(tmp_path_factory.mktemp("home"), **starter_places, GPTCLI_RUNTIME_DIR=folder)
        yield shell
        shell.run("serve", "--stop")


@pytest.fixture
def server(shell: Shell) -> int:
    """The process of a server in the background, started where none runs."""
    if not (running := status(shell)):
        started = shell.run("serve", *ONE_THREAD, "--port", "0", "--background")
        assert started.code == 0, started.err
        running = status(shell)
    return running[0]["pid"]


def status(shell: Shell) -> list[dict]:
    return json.loads(shell.run("serve", "--status", "--json").out)


def answered_by_server(outcome: Outcome) -> bool:
    assert "load:" in outcome.err, outcome.err
    return BY_SERVER in outcome.err


def test_the_bytes_are_those_of_a_command_without_a_server(shell: Shell, server: int) -> None:
    for arguments in (
        ("complete", "-n", "8", "--temp", "0", "--samples", "2", "--format", "json", "--logprobs", "2", "The sea"),
        ("complete", "-n", "12", "--seed", "7", "--format", "jsonl", "--stop", ".", "Naïve 🙂 text"),
        ("chat", "--no-save", "--temp", "0", "-n", "12", "Say hello."),
    ):
        warm, cold = (shell.run(*arguments, *ONE_THREAD, *more) for more in ((), ("--no-server",)))
        assert without_ids(warm.out) == without_ids(cold.out)
        assert (warm.code, warm.err) == (cold.code, cold.err)
        assert warm.code == 0


def without_ids(data: bytes) -> bytes:
    return re.sub(rb'"(id|created)": ?[^,]+', b"", data)


def test_nothing_of_llama_cpp_is_loaded(shell: Shell, server: int) -> None:
    for arguments in (("complete", "--stats", "-n", "1", "Once"), ("chat", "--no-save", "-n", "1", "Hi")):
        warm = shell.run(*arguments, program=TRACED)
        assert warm.code == 0
        found = set(re.findall(r"^import time:.*\| +(\S+)$", warm.err, re.MULTILINE))
        assert "gptcli.runtime.remote" in found
        assert not {name.partition(".")[0] for name in found} & {"llama_cpp", "numpy", "httpx2", "starlette", "http"}
        assert not {name for name in found if name.startswith(("gptcli.llama", "gptcli.engine", "gptcli.server"))}


def test_a_plain_complete_does_not_even_load_typer(shell: Shell, server: int) -> None:
    warm = shell.run("complete", "-q", "-n", "1", "Once", program=TRACED)
    found = set(re.findall(r"^import time:.*\| +(\S+)$", warm.err, re.MULTILINE))
    assert "gptcli.cli.warm" in found
    assert not found & {"typer", "gptcli.types", "gptcli.runtime.remote"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", "12", "--temp", "0", "The sea"],
        ["-n", "6", "--seed", "7", "--top-k", "20", "--top-p", "0.9", "--min-p", "0", "--stop", ".", "Naïve 🙂 text"],
        ["-n", "4", "--temp=0", "--ignore-eos", "-f", "-"],
        ["--no-stdin"],
        ["-n", "4", "-f", "no such file", "x"],
        ["-n", "4", "word " * 9000],
    ],
    ids=["greedy", "sampled", "stdin", "no prompt", "no file", "too long"],
)
def test_a_plain_complete_does_what_the_ordinary_one_does(shell: Shell, server: int, arguments: list[str]) -> None:
    commands = (["complete", *arguments], ["complete", *arguments, "--no-stats"])
    plain, ordinary = (shell.run(*command, data=b"From stdin\n") for command in commands)
    assert (plain.code, plain.out, plain.err) == (ordinary.code, ordinary.out, ordinary.err)


def test_flags_that_a_running_server_cannot_honour_load_the_model_here(shell: Shell, server: int) -> None:
    ask = ("complete", "--stats", "-n", "1", "--temp", "0", "Once")
    assert answered_by_server(shell.run(*ask))
    for flags in (["--ctx-size", "512"], ["--cache-prompt"]):
        assert not answered_by_server(shell.run(*ask, *flags)), flags


def test_a_batch_of_a_few_rows(shell: Shell, server: int, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_bytes(b"Once upon\nThe sea\nIn the\n")
    arguments = ("batch", tmp_path / "rows.txt", "-n", "6", "--temp", "0", "--out-format", "simple")
    warm = shell.run(*arguments, program=TRACED)
    assert "gptcli.llama" not in warm.err
    assert warm.out == shell.run(*arguments, "--no-server", *ONE_THREAD).out
    assert warm.out.count(b"\n") == 3


def test_a_server_that_is_killed_in_the_middle_is_an_error(shell: Shell, server: int) -> None:
    with shell.start("complete", *ENDLESS, "Once upon a time", bufsize=0) as process:
        assert os.read(process.stdout.fileno(), 1)
        os.kill(server, signal.SIGKILL)
        outcome = finish(process)
    assert outcome.code == ExitCode.ENDPOINT
    assert outcome.err.splitlines() == [
        "gptcli: error: the server ended before the answer did.",
        "Send it again; with --no-server this command loads the model itself.",
    ]
    again = shell.run("complete", "--stats", "-n", "2", "Once")  # its socket is still there
    assert again.code == 0
    assert not answered_by_server(again)


def test_ctrl_c_ends_the_answer_and_not_the_server(shell: Shell, server: int) -> None:
    with shell.start("complete", *ENDLESS, "Once upon a time", bufsize=0) as process:
        assert os.read(process.stdout.fileno(), 1)
        outcome, seconds = interrupt(process)
    assert (outcome.code, outcome.err) == (ExitCode.INTERRUPTED, "")
    assert seconds < 3
    assert [one["pid"] for one in status(shell)] == [server]


def test_one_server_for_a_model_and_an_end_on_demand(shell: Shell, server: int) -> None:
    second = shell.run("serve", *ONE_THREAD, "--port", "0", "--background")
    assert second.code == ExitCode.USAGE
    assert "running already" in second.err
    assert shell.run("serve", "--stop").code == 0
    none = shell.run("serve", "--status")
    assert (none.code, none.out) == (1, b"")
    stopped = shell.run("serve", "--stop")
    assert stopped.code == 1
    assert "no server is running" in stopped.err


def test_a_server_that_cannot_start_says_why(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF and no more")
    outcome = shell.run("serve", "-m", tmp_path / "bad.gguf", "--port", "0", "--background")
    assert outcome.code == ExitCode.LOAD
    assert "gptcli: error:" in outcome.err
    assert "Traceback" not in outcome.err
