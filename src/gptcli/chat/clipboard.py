"""The system's clipboard, through whatever program it has, else through the terminal itself.

It knows how text gets there, and nothing of chats.
"""

from __future__ import annotations

import base64
import shutil
import subprocess

from gptcli.errors import GptcliError
from gptcli.terminal import Terminal

_PROGRAMS = (("wl-copy",), ("xclip", "-selection", "clipboard"), ("xsel", "-bi"), ("pbcopy",), ("clip.exe",))
_PATIENCE_SECONDS = 2


def copy(text: str, terminal: Terminal) -> str:
    """Put `text` there; returns the name of the way it took.

    Without a program that works, the terminal is asked with OSC 52, which also reaches the near end of an ssh.
    Raises GptcliError for a terminal that would print that."""
    for program in _PROGRAMS:
        if not shutil.which(program[0]):
            continue
        try:
            subprocess.run(
                program,
                input=text.encode("utf-8", "replace"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE_SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            continue  # no display to talk to, say
        return program[0]
    if terminal.environment.get("TERM") == "dumb" or not terminal.stdout_tty:
        raise GptcliError(
            "There is no clipboard to copy to.", "Install wl-copy, xclip or xsel, or use /export md FILE."
        )
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode()
    terminal.write_styled(f"\x1b]52;c;{encoded}\x07")
    return "the terminal (OSC 52)"
