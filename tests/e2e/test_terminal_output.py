"""gptcli on a real pseudo-terminal: what its screen shows, and that no model can control it."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect
import pyte
import pytest
from shell import PATIENCE_SECONDS, Shell

ESCAPES = 'root ::= "\\x1b[31mred\\x1b]0;title\\x07\\x9b2J\\r\\x08\u202e\u2066" "\\n"'
SCRIPT = "\N{ROCKET}日本語\N{PARTY POPPER}"


class Pty:
    """A terminal of 24 lines with gptcli running on it."""

    def __init__(self, shell: Shell, *arguments: object) -> None:
        self.screen = pyte.Screen(80, 24)
        self.raw = b""
        command = ["-m", "gptcli", *map(str, arguments)]
        self.process = pexpect.spawn(
            sys.executable, command, env=shell.environment, dimensions=(24, 80), timeout=PATIENCE_SECONDS
        )

    def finish(self) -> int:
        """Read to the end; the exit code."""
        self.process.expect(pexpect.EOF)
        self.raw += self.process.before
        self.process.close()
        pyte.ByteStream(self.screen).feed(self.raw)
        return self.process.exitstatus

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]


@pytest.fixture
def complete(tiny: Path) -> tuple[object, ...]:
    return ("complete", "-m", tiny, "-t", "1", "--temp", "0")


def test_the_output_of_a_model_cannot_control_the_terminal(shell: Shell, complete: tuple) -> None:
    pty = Pty(shell, *complete, "x", "--grammar", ESCAPES)
    assert pty.finish() == 0
    assert not set(b"\x1b\x07\x08") & set(pty.raw)
    assert not set("\x9b\u202e\u2066") & set(pty.raw.decode())
    assert pty.lines == ["␛[31mred␛]0;title␇�2J␈��"]
    assert {cell.fg for cell in pty.screen.buffer[0].values()} == {"default"}


def test_a_file_name_cannot_control_the_terminal(shell: Shell, tmp_path: Path) -> None:
    pty = Pty(shell, "complete", "-m", f"{tmp_path}/\x1b[31mx\x9b1m.gguf", "x")
    assert pty.finish() == 3
    assert b"\x1b" not in pty.raw
    assert "\x9b" not in pty.raw.decode()


def test_an_echoed_prompt_cannot_control_the_terminal(shell: Shell, complete: tuple, tmp_path: Path) -> None:
    (tmp_path / "prompt").write_bytes(b"\x1b[31m\xff")
    pty = Pty(shell, *complete, "-n", "0", "--echo", "--show-prompt", "-q", "-f", tmp_path / "prompt")
    assert pty.finish() == 0
    assert b"\x1b" not in pty.raw
    assert pty.lines[-1] == "␛[31m�"


def test_characters_are_whole_on_the_screen(shell: Shell, complete: tuple) -> None:
    pty = Pty(shell, *complete, "x", "--grammar", f'root ::= "{SCRIPT}"')
    assert pty.finish() == 0
    # the screen gives a wide character two cells, the second one empty
    assert pty.lines == [SCRIPT]
    assert pty.raw.decode("utf-8", "strict").strip() == SCRIPT


@pytest.mark.parametrize("off", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}], ids=str)
def test_notices_are_dim_unless_colours_are_off(shell: Shell, complete: tuple, off: dict[str, str]) -> None:
    shell.environment.update(off)
    pty = Pty(shell, *complete, "-n", "3", "Once")
    assert pty.finish() == 0
    assert any("Stopped after 3 tokens" in line for line in pty.lines)
    assert (b"\x1b[2m" in pty.raw) == (not off)
    assert (b"\x1b" in pty.raw) == (not off)


def test_quiet_shows_only_the_answer(shell: Shell, complete: tuple) -> None:
    pty = Pty(shell, *complete, "-n", "3", "-q", "Once")
    assert pty.finish() == 0
    assert pty.raw.decode() == shell.run(*complete, "-n", "3", "-q", "Once").text + "\r\n"


def test_a_missing_prompt_is_an_error_on_a_terminal(shell: Shell, complete: tuple) -> None:
    pty = Pty(shell, *complete)
    assert pty.finish() == 2
    assert pty.lines[0] == "gptcli: error: there is no prompt."


def test_ctrl_c_keeps_the_output_so_far(starter_shell: Shell) -> None:
    pty = Pty(
        starter_shell, "complete", "-m", "smollm2", "-t", "1", "--ignore-eos", "-n", "3000", "-q", "Once upon a time"
    )
    pty.raw += pty.process.read(10)
    pty.process.sendintr()
    assert pty.finish() == 130
    assert pty.raw.endswith(b"\r\n")
    assert len("".join(pty.lines)) > 5
    assert "Traceback" not in "".join(pty.lines)
