"""What is left of a server while its model is unloaded (`--keep`): its sockets, and a note for `--status`."""

from __future__ import annotations

import contextlib
import select
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from socket import socket, socketpair

from gptcli.runtime.remote import ServerInfo
from gptcli.runtime.sockets import rest_note
from gptcli.runtime.wire import dump

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def rest(listeners: Sequence[socket], private: Path, info: ServerInfo) -> bool:
    """Wait for a connection, and leave it to the server that comes. Returns False if a signal came first.

    `--status` reads the note in place of connecting, which would load the model. Main thread only."""
    note = rest_note(private)
    note.write_bytes(dump(replace(info, loaded=False)))
    try:
        with _signals() as wakeups:
            ready, _, _ = select.select([*listeners, wakeups], [], [])
        return wakeups not in ready
    finally:
        note.unlink(missing_ok=True)


@contextlib.contextmanager
def _signals() -> Iterator[socket]:
    """A socket that can be read once SIGTERM or Ctrl-C has come, which do nothing else meanwhile."""
    reader, writer = socketpair()
    with reader, writer:
        writer.setblocking(False)
        handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        descriptor = signal.set_wakeup_fd(writer.fileno())
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in handlers.items():
                signal.signal(number, handler)
