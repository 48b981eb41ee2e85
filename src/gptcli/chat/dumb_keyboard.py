"""Reading messages from a terminal that can only print lines (`TERM=dumb`, an editor's shell): the system edits them.

It knows lines, and nothing of models or conversations.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext

from gptcli.chat.keyboard import CONTINUATION, PROMPT, open_block, unquoted
from gptcli.terminal import Terminal


class DumbKeyboard:
    """A `keyboard.Reader` without keys: a line is a message, a triple-quoted block several."""

    typed = ""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def read(self, text: str, status: str) -> str:
        """A message to begin with cannot be shown for editing, so an empty line stands for it."""
        kept = "" if re.match(r"/(?!/)", text) else text  # a command that there is not is none to repeat
        if kept:
            self._terminal.notice("Your message is kept: an empty line sends it again.")
        typed = self._line(PROMPT)
        while open_block(typed):
            typed += "\n" + self._line(CONTINUATION)
        return unquoted(typed) or kept

    def remember(self, wanted: bool) -> None:
        """There is no history here."""

    def unseen(self) -> AbstractContextManager[None]:
        """Its lines come from a program as likely as from a keyboard: nothing is hidden."""
        return nullcontext()

    def _line(self, prompt: str) -> str:
        self._terminal.write(prompt)
        line = self._terminal.stdin.readline()
        if not line:
            raise EOFError
        return line.decode("utf-8", "surrogateescape").rstrip("\r\n")
