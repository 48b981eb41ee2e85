"""Where the sockets of running servers are; it imports next to nothing, for every command looks there first."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from gptcli import __version__, settings

LOST = "Send it again; with --no-server this command loads the model itself."
"""What to do where a server's answer is lost."""


def socket_path(model: Path) -> Path:
    """The Unix socket of a server of this model file, as it is now, by this version of gptcli.

    CRC-32 needs no import of hashlib (7 ms), and a wrong server would be found out: it tells what it serves."""
    identity = repr((__version__, file_state(model))).encode()
    return settings.runtime_dir() / f"{model.stem[:24]}-{zlib.crc32(identity):08x}.sock"


def rest_note(path: Path) -> Path:
    """Where a server with this socket says what it is while its model is unloaded."""
    return path.with_suffix(".resting")


def is_private(folder: Path) -> bool:
    """Whether nobody else can have put a socket there; one who did would be sent what the user writes."""
    status = os.stat(folder)
    return status.st_uid == os.getuid() and not status.st_mode & 0o077


def file_state(path: Path) -> tuple[str, int, int]:
    """What identifies a file's content: its real path, size and modification time."""
    real = os.path.realpath(path)
    status = os.stat(real)
    return real, status.st_size, status.st_mtime_ns
