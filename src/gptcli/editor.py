"""Opens a file in the user's editor and waits until it is closed."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from gptcli.errors import GptcliError


def edit_file(path: Path) -> None:
    """Run `VISUAL`, `EDITOR` or the system's own editor on `path`. Raises GptcliError if it fails."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
    try:
        subprocess.run([*shlex.split(editor), str(path)], check=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise GptcliError(f"The editor {editor} failed: {error}.", "Set EDITOR to another one.") from error
