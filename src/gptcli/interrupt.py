"""Ctrl-C as a request to stop: a flag that native code can read while it computes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """One byte that is zero until a stop is requested.

    A Python signal handler runs between byte codes only, so it would wait for the end of a long `llama_decode`. While
    `watch` is active, a thread reads the wake-up descriptor, which the C-level handler writes to at once, and sets the
    byte during the native call."""

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)

    @property
    def requested(self) -> bool:
        return self._flag[0] != b"\0"

    @property
    def address(self) -> int:
        """The address of the byte: an empty C string until a stop is requested, then one of length 1."""
        return ctypes.addressof(self._flag)

    def request(self) -> None:
        self._flag[0] = b"\1"

    def clear(self) -> None:
        self._flag[0] = b"\0"

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Turn the first Ctrl-C into a request and the second one into KeyboardInterrupt (main thread only)."""
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in a script's background jobs
        if ignored or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._presses = 0
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        watcher = threading.Thread(target=self._read_wakeups, args=(reader,), daemon=True)
        previous_handler = signal.signal(signal.SIGINT, self._handle)
        previous_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        watcher.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous_fd)
            signal.signal(signal.SIGINT, previous_handler)
            os.close(writer)
            watcher.join()
            os.close(reader)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._presses += 1
        self.request()
        if self._presses > 1:
            raise KeyboardInterrupt

    def _read_wakeups(self, reader: int) -> None:
        while data := os.read(reader, 16):
            if signal.SIGINT in data:
                self.request()
