"""Runs gptcli as its users do: in this process on buffers, or as a program of its own with a home of its own.

It judges nothing; a program that does not end is killed after a minute, and the test with it.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gptcli.cli.main import main
from gptcli.terminal import Terminal

PATIENCE_SECONDS = 60
CLOSED_PORT = "http://127.0.0.1:9"
"""The discard port: nobody listens, and the refusal comes at once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An exit code, the bytes of stdout and the text of stderr."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "surrogateescape")


def call(*arguments: object, stdin: bytes = b"", tty: str = "", environment: dict[str, str] | None = None) -> Outcome:
    """`main` in this process; `tty` names the streams (`in`, `out`, `err`) that are terminals."""
    out, err = io.BytesIO(), io.StringIO()
    flags = {f"std{name}_tty": True for name in tty.split()}
    terminal = Terminal(io.BytesIO(stdin), out, err, environment=environment or {}, **flags)
    code = main([str(argument) for argument in arguments], terminal)
    return Outcome(code, out.getvalue(), err.getvalue())


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of somebody who has only just come to this machine, and has no network."""
    ours = ("HF_", "HUGGINGFACE_", "GPTCLI_", "PIP_", "XDG_", "NO_COLOR", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    closed = {"HF_ENDPOINT": CLOSED_PORT, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*"}
    own = {"HOME": str(home), "GPTCLI_RUNTIME_DIR": str(home / "run"), "TERM": "xterm-256color"}
    return {**kept, **own, **closed, **more}


class Shell:
    """Starts gptcli as a program, with one environment."""

    def __init__(self, home: Path, **more: str) -> None:
        self.environment = environment(home, **more)

    def start(self, *arguments: object, program: Sequence[str] = ("-m", "gptcli"), **more: object) -> subprocess.Popen:
        """The program, running; pipes for stdin, stdout and stderr where `more` does not say otherwise."""
        command = [sys.executable, *program, *map(str, arguments)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=self.environment, **{**pipes, **more})

    def run(self, *arguments: object, data: bytes | None = None, **more: object) -> Outcome:
        """The same to its end, with `data` on its standard input."""
        if data is not None:
            more["stdin"] = subprocess.PIPE
        with self.start(*arguments, **more) as process:
            return finish(process, data)


def finish(process: subprocess.Popen, data: bytes | None = None) -> Outcome:
    """Wait for a program to end by itself."""
    try:
        out, err = process.communicate(data, timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Outcome(process.returncode, out or b"", (err or b"").decode("utf-8", "surrogateescape"))


def interrupt(process: subprocess.Popen) -> tuple[Outcome, float]:
    """Press Ctrl-C; what came of it, and after how many seconds."""
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    outcome = finish(process)
    return outcome, time.monotonic() - pressed
