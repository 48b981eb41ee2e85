"""The programs that are measured: where they are, and their versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def program() -> str:
    """The gptcli of this Python environment."""
    return str(Path(sys.executable).with_name("gptcli"))


def native_version(peers: Path | None) -> dict[str, str]:
    """The version of llama.cpp's own programs."""
    if peers is None:
        return {}
    command = [str(peers / "llama-completion"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"llama.cpp": " ".join((done.stdout + done.stderr).split())}
