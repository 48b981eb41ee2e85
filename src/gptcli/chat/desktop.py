"""The user's text editor and the system's clipboard."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from gptcli.errors import GptcliError
from gptcli.terminal import Terminal

_CLIPBOARD_COMMANDS = (("wl-copy",), ("xclip", "-selection", "clipboard"), ("xsel", "-bi"), ("pbcopy",), ("clip.exe",))
_TIMEOUT_SECONDS = 2


def edit(text: str) -> str:
    """`text` after the user has changed it in their editor. Raises GptcliError if it cannot be started."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "message.md"
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise GptcliError(f"The editor {editor} failed: {error}.", "Set EDITOR to another one.") from error
        return path.read_text(encoding="utf-8", errors="replace").removesuffix("\n")


def copy(text: str, terminal: Terminal) -> str:
    """Put `text` on the clipboard; returns the name of what did it.

    If no program works, the terminal is asked with OSC 52, which also reaches the local end of an SSH session. Raises
    GptcliError if the terminal would print that."""
    data = text.encode("utf-8", "replace")
    quiet = subprocess.DEVNULL
    for command in _CLIPBOARD_COMMANDS:
        if not shutil.which(command[0]):
            continue
        try:
            subprocess.run(command, input=data, stdout=quiet, stderr=quiet, timeout=_TIMEOUT_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError):
            continue  # for example, there is no display
        return command[0]
    if terminal.environment.get("TERM") == "dumb" or not terminal.stdout_tty:
        raise GptcliError("There is no clipboard.", "Install wl-copy, xclip or xsel, or use /export md FILE.")
    terminal.write_styled(f"\x1b]52;c;{base64.b64encode(data).decode()}\x07")
    return "the terminal (OSC 52)"
