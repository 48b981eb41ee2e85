"""Keys typed on a pseudo-terminal before, between and after the lines that are read: none is lost."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("termios")

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_input
from prompt_toolkit.output import DummyOutput

from gptcli.chat.keyboard import Keyboard


class Typist:
    """A keyboard on a pseudo-terminal, and the person at its other end."""

    def __init__(self, master: int, keyboard: Keyboard) -> None:
        self._master = master
        self._keyboard = keyboard

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def type_ahead(self, keys: str) -> None:
        """Type, and wait until the keys are in the terminal's queue (a part of a line never is in line mode)."""
        self.type(keys)
        assert select.select([sys.stdin], [], [], 20)[0]

    def read(self, draft: str = "") -> str:
        return self._keyboard.read(draft, "", history=False)


@pytest.fixture
def keyboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Keyboard, Typist]]:
    def too_late(*_: object) -> None:
        raise AssertionError("a key was lost: the line never ended")

    master, slave = os.openpty()
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(20)
    with open(slave, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with create_app_session(input=create_input(stdin), output=DummyOutput()):
            keyboard = Keyboard({}, lambda command: (), tmp_path / "history", color=False)
            yield keyboard, Typist(master, keyboard)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.close(master)


def test_lines_typed_while_the_model_is_loaded_are_read(keyboard: tuple[Keyboard, Typist]) -> None:
    keys, typist = keyboard
    typist.type_ahead("one\rtwo\rthr")  # the terminal is in line mode, where Enter is a line feed
    with keys.hide_typing():
        typist.type("ee\r")
        assert [typist.read(), typist.read(), typist.read()] == ["one", "two", "three"]


def test_keys_typed_while_an_answer_is_printed_are_read(keyboard: tuple[Keyboard, Typist]) -> None:
    keys, typist = keyboard
    with keys.hide_typing():
        typist.type("first\r")
        assert typist.read() == "first"
        typist.type_ahead("a\nb\rc")  # Ctrl-J starts a new line, and Enter does not
        assert typist.read() == "a\nb"
        typist.type("\r")
        assert typist.read() == "c"


def test_a_question_does_not_take_what_was_typed_before_it(keyboard: tuple[Keyboard, Typist]) -> None:
    keys, typist = keyboard
    with keys.hide_typing():
        typist.type_ahead("ahead\rmore")
        with keys.line_mode():
            typist.type("o\rlate")
            assert sys.stdin.buffer.readline() == b"o\n"
        typist.type("r\r")
        assert [typist.read(), typist.read()] == ["ahead", "morelater"]


def test_ctrl_c_keeps_the_keys_typed_during_an_answer(keyboard: tuple[Keyboard, Typist]) -> None:
    keys, typist = keyboard
    with keys.hide_typing():
        typist.type_ahead("typed\x03 and more\r")  # not our terminal, so the signal goes to nobody
        assert typist.read() == "typed and more"


def test_ctrl_d_typed_while_the_model_is_loaded_leaves(keyboard: tuple[Keyboard, Typist]) -> None:
    keys, typist = keyboard
    typist.type_ahead("\x04")
    with keys.hide_typing(), pytest.raises(EOFError):
        typist.read()


def test_the_terminal_is_left_as_it_was(keyboard: tuple[Keyboard, Typist]) -> None:
    import termios

    keys, typist = keyboard
    before = termios.tcgetattr(sys.stdin)
    with keys.hide_typing():
        assert not termios.tcgetattr(sys.stdin)[3] & termios.ECHO
        with keys.line_mode():
            assert termios.tcgetattr(sys.stdin)[3] & termios.ECHO
        typist.type("x\r")
        typist.read()
        assert not termios.tcgetattr(sys.stdin)[3] & termios.ECHO
    assert termios.tcgetattr(sys.stdin) == before
