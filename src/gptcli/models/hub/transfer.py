"""Moving the bytes of one file from a sender into a part file: several connections, patience, and a digest meanwhile.

It knows part files and an interface for the sender, and neither HTTP nor the hub nor where the file goes
afterwards.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, Protocol

from gptcli.errors import GptcliError, OfflineError
from gptcli.models.hub.connection_scaling import Pace, Patience
from gptcli.models.hub.part_file import BLOCK, PartFile, Run
from gptcli.models.report import Report

SEGMENT = 64 << 20
"""Bytes asked for at once. Large enough that a round trip does not show (0.1 s in 0.6 s at a gigabit, hidden
as soon as there are two connections), small enough that two connections can share most files and that the
digest, which goes from front to back, is never far behind."""

_SYNC = 64
"""Blocks after which the disk is made to write."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Interrupted(Exception):
    """The sender stopped in the middle, and may well go on: a cut, a stall, 429, 5xx."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
        """Seconds that the sender asked to wait."""


class Changed(Exception):
    """The sender has another file under this name now; what arrived is worth nothing."""


class Sender(Protocol):
    """Where the bytes come from; used from several threads."""

    ranges: bool
    """False once it was seen to send the whole file, whatever range was asked for."""

    def read(self, start: int, stop: int) -> AbstractContextManager[Iterator[bytes]]:
        """Bytes [start, stop) of the file, in pieces. Raises Interrupted, Changed or a GptcliError."""


class Hasher(Protocol):
    """As in hashlib."""

    def update(self, data: memoryview, /) -> None: ...


def transfer(
    sender: Sender,
    part: PartFile,
    hasher: Hasher,
    report: Report,
    label: str,
    patience: Patience | None = None,
) -> None:
    """Bring the missing bytes of `part` from `sender`, and put the whole file through `hasher`.

    Whatever it raises, `part` keeps what arrived. OfflineError where patience ends, Changed, GptcliError on a
    full disk, and what the sender raises; KeyboardInterrupt passes at once.
    """
    work = _Transfer(sender, part, hasher, report, patience or Patience())
    report.start(label, part.size)
    report.advance(part.kept)
    try:
        work.run()
    finally:
        work.stop()
        report.finish()


@dataclass(slots=True)
class _Transfer:
    sender: Sender
    part: PartFile
    hasher: Hasher
    report: Report
    patience: Patience
    _changed: threading.Condition = field(default_factory=threading.Condition)
    """Guards what follows, and is notified when any of it changes."""
    _received: int = 0
    _workers: int = 0
    _hashed: bool = False
    _failure: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        pace, shown = Pace(), 0
        self._spawn(self._hash)
        while True:
            with self._changed:
                if self._failure:
                    raise self._failure
                done, received, workers = self._hashed, self._received, self._workers
            self.report.advance(received - shown)
            shown = received
            if done:
                return
            pace.observe(time.monotonic(), received, workers)
            if workers < pace.wanted and (workers == 0 or self.sender.ranges):
                self._start_worker(pace)
            with self._changed:
                self._changed.wait_for(lambda: self._failure or self._hashed, timeout=0.1)

    def stop(self) -> None:
        """Have every thread end at its next piece; none is waited for, for it may sit in a read for seconds."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def _start_worker(self, pace: Pace) -> None:
        run = self.part.claim(SEGMENT)
        if run is not None:
            with self._changed:
                self._workers += 1
            self._spawn(lambda: self._work(run, pace))

    def _spawn(self, work: Callable[[], None]) -> None:
        threading.Thread(target=self._guarded, args=(work,), daemon=True).start()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the main thread raises it
            with self._changed:
                self._failure = self._failure or self._explained(error)
                self._changed.notify_all()

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, OSError) or error.errno not in _FULL:
            return error
        return GptcliError(
            f"The disk of {self.part.path.parent} is full ({error.strerror}) after {self._there()}.",
            "What has arrived is kept: free some space and give the same command again, "
            "or set HF_HUB_CACHE to a folder on a larger disk.",
        )

    def _work(self, run: Run, pace: Pace) -> None:
        """Fetch `run`, then other missing bytes, until there are none or fewer connections are wanted."""
        failures = 0
        while not self._stop.is_set():
            before = run.position
            try:
                self._fetch(run)
            except Interrupted as error:
                failures = 1 if run.position > before else failures + 1
                with self._changed:
                    if self._workers > 1:  # the others go on with what is left of it; the last one is patient
                        pace.settle(self._workers - 1)
                        self._workers -= 1
                        self._received -= self.part.release(run)
                        return
                self._wait(error, failures)
                continue
            failures = 0
            self.part.release(run)
            with self._changed:
                following = self.part.claim(SEGMENT) if self._workers <= pace.wanted else None
                if following is None:
                    self._workers -= 1
                    return
                run = following

    def _fetch(self, run: Run) -> None:
        with self.sender.read(run.position, run.stop) as pieces, self.part.writer(run) as file:
            if not self.sender.ranges:
                self.part.extend(run)
            for piece in pieces:
                if self._stop.is_set():
                    return
                count = min(len(piece), run.stop - run.position)
                _write(file, memoryview(piece)[:count])
                whole = self.part.arrived(run, count)
                with self._changed:
                    self._received += count
                    if whole:
                        self._changed.notify_all()
                if count < len(piece):
                    return
        if run.position < run.stop:
            raise Interrupted("the connection was cut")

    def _wait(self, error: Interrupted, failures: int) -> None:
        pause = self.patience.pause(failures, error.wait)
        if failures >= self.patience.tries or pause > 10 * self.patience.longest:
            asked = f", and it asks to wait {error.wait:.0f} s" if error.wait else ""
            raise OfflineError(
                f"The download broke off after {self._there()}: {error.reason}{asked}.",
                "What has arrived is kept; the same command goes on from there.",
            )
        if pause >= 1:
            self.report.note(f"The download paused: {error.reason}. Trying again in {pause:.0f} s.")
        self._stop.wait(pause)

    def _there(self) -> str:
        return f"{(self.part.kept + self._received) / 1e6:.1f} of {self.part.size / 1e6:.1f} MB"

    def _hash(self) -> None:
        """Follow the bytes from front to back, as blocks become whole, through the page cache.

        hashlib and the file release the GIL, so it costs the transfer nothing where there is a second core:
        SHA-256 runs at 0.4 to 2 GB/s, a network seldom at more than 0.1.
        """
        buffer = memoryview(bytearray(BLOCK))
        with open(self.part.path, "r+b", buffering=0) as file:  # Windows syncs only what may be written
            for block in range(self.part.blocks):
                if block % _SYNC == _SYNC - 1:
                    os.fsync(file.fileno())  # now and beside the transfer, so that the sync at its end is short
                if not self.part.has(block):
                    with self._changed:
                        self._changed.wait_for(partial(self._may_hash, block))
                if self._stop.is_set():
                    return
                want = min(BLOCK, self.part.size - block * BLOCK)
                got = 0
                while got < want and (count := file.readinto(buffer[got:want])):
                    got += count
                self.hasher.update(buffer[:got])
        with self._changed:
            self._hashed = True
            self._changed.notify_all()

    def _may_hash(self, block: int) -> bool:
        return self.part.has(block) or self._stop.is_set()


def _write(file: BinaryIO, data: memoryview) -> None:
    """All of `data`; an unbuffered file takes less when the disk is nearly full."""
    while data:
        data = data[file.write(data) :]
