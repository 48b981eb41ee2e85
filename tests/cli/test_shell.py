"""The key bindings in the shells they are for: the line becomes what gptcli writes, and nothing is run.

`gptcli` is a program here that keeps its arguments and writes what the test wants, for a model would write something
else each time.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pyte
import pytest
from shell import call

from gptcli.cli.shell import script
from gptcli.errors import ExitCode

# forkpty in a process with threads; the child execs at once
pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")

SHELLS = ("bash", "zsh", "fish")
KEY = "\x1be"
PATIENCE_SECONDS = 20
PROGRAM = """#!/bin/sh
for argument; do printf '%s\\0' "$argument" >>asked.part; done
[ -e wait ] && { mv asked.part asked; exec sleep 600; }
cat answer
cat complaint >&2
mv asked.part asked
exit "$(cat code)"
"""


class Line:
    """The line editor of one shell, with the binding loaded; its folder is where it runs."""

    def __init__(self, name: str, folder: Path, program_text: str = PROGRAM, **more: str) -> None:
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"{name} is not installed here, so its binding cannot be tried in it")
        self.folder = folder
        self.writes()
        programs = folder / "programs"
        programs.mkdir()
        (programs / "gptcli").write_text(program_text)
        (programs / "gptcli").chmod(0o755)
        (folder / "binding").write_text(script(name, "alt-e"), "utf-8")
        prompt = "function fish_prompt; printf 'READY> '; end; function fish_right_prompt; end"
        quiet = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config", "-C", prompt]}[name]
        environment = {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "TERM": "xterm"}
        environment |= {"LC_ALL": "C.UTF-8", "PS1": "READY> ", "fish_greeting": "", **more}
        self.process = pexpect.spawn(
            program, [*quiet, "-i"], cwd=str(folder), env=environment, dimensions=(40, 80), timeout=PATIENCE_SECONDS
        )
        self.process.delaybeforesend = None
        self._screen = pyte.Screen(80, 40)
        self._stream = pyte.ByteStream(self._screen)
        self.until("^READY>$")
        self.type(" . ./binding; echo load''ed\r")
        self.until(r"^loaded\n(.*\n)*READY>$")

    def writes(self, text: str = "", *, complaint: str = "", code: int = 0) -> None:
        """What gptcli will write, and how it will end."""
        for name, content in (("answer", text), ("complaint", complaint), ("code", str(code))):
            (self.folder / name).write_text(content, "utf-8")

    @property
    def asked(self) -> list[str]:
        """The arguments that gptcli was called with."""
        return (self.folder / "asked").read_text("utf-8").split("\0")[:-1]

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def type(self, keys: str) -> None:
        self.process.send(keys)

    def until(self, pattern: str) -> None:
        """Read output until the screen matches."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not re.search(pattern, self.text, re.MULTILINE):
            assert time.monotonic() < deadline, f"{pattern!r} never came:\n{self.text}"
            try:
                self._stream.feed(self.process.read_nonblocking(65536, timeout=0.2))
            except pexpect.TIMEOUT:
                continue


@pytest.fixture(params=SHELLS)
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Line]:
    """A shell's line editor, in a new folder."""
    opened = Line(request.param, tmp_path)
    yield opened
    opened.process.close(force=True)


def test_the_line_becomes_a_command_that_is_shown_and_run_only_by_enter(line: Line) -> None:
    line.writes("touch made; echo it is do''ne")
    line.type("make a file" + KEY)
    line.until(r"^READY> touch made; echo it is do''ne$")
    assert line.asked[-2:] == ["--", "make a file"]
    assert not (line.folder / "made").exists()
    line.type("\r")
    line.until("^it is done")
    assert (line.folder / "made").exists()


def test_what_was_typed_is_one_argument_and_never_evaluated(line: Line) -> None:
    typed = "-x $(touch pwned) `touch pwned` 'it''s' \"q\" \\ * ; ü"
    line.writes("echo fi''ne")
    line.type(typed + KEY)
    line.until(r"^READY> echo fi''ne$")
    assert line.asked[-2:] == ["--", typed]
    assert not (line.folder / "pwned").exists()


def test_a_command_of_two_lines_is_not_run_and_control_characters_do_not_reach_the_line(line: Line) -> None:
    line.writes("echo one\ntouch pwned\x1b[2J\r\x07\x08 # end")
    line.type("two lines" + KEY)
    line.until(r"echo one\s+(>\s+)?touch pwned\[2J # end$|echo one\^Jtouch pwned\[2J # end$")
    assert not (line.folder / "pwned").exists()


def test_the_cursor_is_at_the_end_after_letters_of_two_bytes(line: Line) -> None:
    line.writes("echo ümläut")
    line.type("umlauts" + KEY)
    line.until("^READY> echo ümläut$")
    line.type("''-end\r")
    line.until("^ümläut-end$")


def test_an_error_is_shown_and_the_line_stays(line: Line) -> None:
    line.writes(complaint="gptcli: error: there is no model.\n", code=3)
    line.type("make a file" + KEY)
    line.until(r"gptcli: error: there is no model\.")
    line.until(r"READY> make a file")


def test_nothing_is_asked_for_an_empty_line(line: Line) -> None:
    line.type(KEY + "  " + KEY)
    line.writes("echo second")
    line.type("x" + KEY)
    line.until("^READY> echo second$")
    assert line.asked.count("--") == 1


def test_ctrl_c_stops_gptcli_and_the_shell_goes_on(line: Line) -> None:
    (line.folder / "wait").touch()
    line.type("make a file" + KEY)
    while not (line.folder / "asked").exists():
        line.until("")
    line.type("\x03")
    line.until(r"READY>( make a file)?$")
    line.type("\x15echo al''ive\r")
    line.until("^alive$")


def test_the_role_and_the_starter_model_write_a_command(
    starter: Path, starter_places: dict[str, str], tmp_path: Path
) -> None:
    real = f'#!/bin/sh\nexec {sys.executable} -m gptcli "$@"\n'
    line = Line("bash", tmp_path, real, GPTCLI_OFFLINE="1", **starter_places)
    line.type("list all files, with sizes" + KEY)
    line.until("^READY> ls -")
    line.process.close(force=True)


@pytest.mark.parametrize(
    ("shell", "check"),
    [
        ("bash", ("shellcheck", "--shell=bash", "-")),
        ("bash", ("bash", "-n", "/dev/stdin")),
        ("zsh", ("zsh", "-n", "/dev/stdin")),
        ("fish", ("fish", "--no-execute", "/dev/stdin")),
    ],
    ids=" ".join,
)
def test_the_code_has_no_mistakes(shell: str, check: tuple[str, ...]) -> None:
    if shutil.which(check[0]) is None:
        pytest.skip(f"{check[0]} is not installed here")
    done = subprocess.run(check, input=script(shell, "alt-e"), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("shell", "key", "code"),
    [("bash", "ctrl-g", r'"\C-g"'), ("zsh", "Alt-X", r"'\ex'"), ("zsh", "ctrl-o", "'^o'"), ("fish", "alt-p", r"\ep ")],
)
def test_another_key(shell: str, key: str, code: str) -> None:
    outcome = call("shell", shell, "--key", key)
    assert outcome.code == 0
    assert code in outcome.text
    assert "KEY" not in outcome.text


@pytest.mark.parametrize("key", ["e", "alt-", "alt-ä", "ctrl-c", "alt-e'; touch pwned; '"])
def test_what_is_no_key_is_refused(key: str) -> None:
    outcome = call("shell", "bash", "--key", key)
    assert (outcome.code, outcome.out) == (ExitCode.USAGE, b"")
    assert "alt-e" in outcome.err
