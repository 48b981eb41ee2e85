"""The sockets that a server listens on: one for this user's own programs, and one for HTTP clients.

The Unix socket is private twice: nobody else may enter its folder, and nobody else may open the socket. uvicorn would
let everybody open a socket that it makes itself (its `uds=` sets the mode 0666), so both are made here."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from gptcli.errors import GptcliError, UsageError

try:
    import fcntl
except ImportError:  # Windows has no such locks, and asyncio has no Unix sockets there
    fcntl = None  # type: ignore[assignment]

BACKLOG = 2048
"""Connections that may wait to be accepted."""
_LONGEST_PATH = 103
"""Bytes of a Unix socket's path, at most, on macOS; 107 on Linux (unix(7), sun_path)."""


@contextlib.contextmanager
def unix_door(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix socket that only this user can open; its file is deleted in the end.

    Raises UsageError if another server has it, GptcliError if the folder belongs to or is open to others."""
    make_private(path.parent)
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise UsageError(f"The path {path} is too long for a socket.", "Set GPTCLI_RUNTIME_DIR to a shorter folder.")
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("A server of this model is running already.", f"It listens on {path}.") from None
        path.unlink(missing_ok=True)  # left by a server that was killed, for a running one would hold the lock
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            before = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
            listener.listen(BACKLOG)
            listener.setblocking(False)
            try:
                yield listener
            finally:
                path.unlink(missing_ok=True)
    finally:
        os.close(lock)


def make_private(folder: Path) -> None:
    """Have a folder that nobody else may enter. Raises GptcliError if it is somebody else's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise GptcliError(f"{folder} is not a folder of this user.", "Set GPTCLI_RUNTIME_DIR to another one.")
        if stat.S_IMODE(status.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise GptcliError(f"{folder} cannot be used for sockets: {error.strerror}.") from error


@contextlib.contextmanager
def tcp_door(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on an address; port 0 lets the system choose. Raises UsageError if that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise UsageError(f"--host {host} is no address: {error.strerror}.", "Use 127.0.0.1 or 0.0.0.0.") from error
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            hint = "Choose another --port; 0 lets the system choose."
            raise UsageError(f"{host}:{port} cannot be listened on: {error.strerror}.", hint) from error
        listener.listen(BACKLOG)
        listener.setblocking(False)
        yield listener


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine can reach a TCP socket."""
    import ipaddress

    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
