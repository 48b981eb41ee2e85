"""Download the missing bytes of a part file over one or several connections, with retries and a digest meanwhile.

Several connections are 2 to 4 times as fast as one where a server throttles each (bench/pull.py --connection-rate)."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gptcli.errors import GptcliError, OfflineError
from gptcli.models.hub.part_file import BLOCK, PartFile, Range
from gptcli.models.hub.repository import HubFile
from gptcli.models.hub.session import Backoff, Interrupted
from gptcli.models.progress import Report
from gptcli.models.store.integrity import Digest

MAX_CONNECTIONS = 8
SEGMENT = 64 << 20
"""Bytes per request: large enough to hide a round trip, small enough that two connections share most files and that the
digest, which reads from front to back, is never far behind."""
_WINDOW = 1.5
"""Seconds over which a rate is measured before another connection is added; TCP needs about one to reach its speed."""
_MIN_GAIN = 0.5
"""A connection is worth having if it adds this share of the mean rate of the others."""
_SYNC_BLOCKS = 64
"""Blocks between two syncs to the disk."""
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(slots=True)
class ConnectionScaling:
    """How many connections to use: one more while the last one made the download clearly faster."""

    wanted: int = 1
    _settled: bool = False
    _rate: float = 0.0
    _since: float = 0.0
    _bytes: int = 0

    def observe(self, now: float, received: int, connections: int) -> None:
        """`received` bytes in total have arrived at second `now`, over `connections`."""
        if self._settled or connections != self.wanted or not self._since:
            self._since, self._bytes = now, received
        elif now - self._since >= _WINDOW:
            rate = (received - self._bytes) / (now - self._since)
            helped = rate >= self._rate * (1 + _MIN_GAIN / max(1, self.wanted - 1))
            self._since, self._bytes, self._rate = 0.0, 0, rate
            if helped and self.wanted < MAX_CONNECTIONS:
                self.wanted += 1
            else:
                self.settle(self.wanted if helped else self.wanted - 1)

    def settle(self, connections: int) -> None:
        """Use at most `connections` from now on, and add none."""
        self.wanted = max(1, min(self.wanted, connections))
        self._settled = True


def download(source: HubFile, part: PartFile, digest: Digest, report: Report, backoff: Backoff | None = None) -> None:
    """Download the missing bytes of `part`, and put the whole file through `digest`.

    `part` keeps what was downloaded, whatever is raised: OfflineError after the last retry, FileChanged, GptcliError if
    the disk is full, the errors of `source`, and KeyboardInterrupt at once."""
    work = _Download(source, part, digest, report, backoff or Backoff())
    report.start(source.name.rpartition("/")[2], part.size)
    report.advance(part.kept)
    try:
        work.run()
    finally:
        work.stop()
        report.finish()


@dataclass(slots=True)
class _Download:
    source: HubFile
    part: PartFile
    digest: Digest
    report: Report
    backoff: Backoff
    _changed: threading.Condition = field(default_factory=threading.Condition)
    """Guards the fields below; notified when any of them changes."""
    _scaling: ConnectionScaling = field(default_factory=ConnectionScaling)
    _received: int = 0
    _connections: int = 0
    _waited: float = 0.0
    """Seconds of pauses in all."""
    _digested: bool = False
    _failure: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        reported = 0
        self._start_thread(self._update_digest)
        while True:
            with self._changed:
                if self._failure:
                    raise self._failure
                done, received, connections = self._digested, self._received, self._connections
            self.report.advance(received - reported)
            reported = received
            if done:
                return
            self._scaling.observe(time.monotonic(), received, connections)
            more = connections < self._scaling.wanted and (connections == 0 or self.source.ranges)
            if more and (claimed := self.part.claim(SEGMENT)):
                with self._changed:
                    self._connections += 1
                self._start_thread(partial(self._run_connection, claimed))
            with self._changed:
                self._changed.wait_for(lambda: self._failure or self._digested, timeout=0.1)

    def stop(self) -> None:
        """End every thread at its next chunk, without waiting: it may be blocked in a read for seconds."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def _start_thread(self, work: Callable[[], None]) -> None:
        threading.Thread(target=self._guard, args=(work,), daemon=True).start()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            if isinstance(error, OSError) and error.errno in _DISK_FULL:
                error = GptcliError(
                    f"The disk of {self.part.path.parent} is full ({error.strerror}) after {self._progress()}.",
                    "The downloaded part is kept: free some space and repeat the command, "
                    "or set HF_HUB_CACHE to a folder on a larger disk.",
                )
            with self._changed:
                self._failure = self._failure or error
                self._changed.notify_all()

    def _run_connection(self, claimed: Range) -> None:
        """Download `claimed`, then other missing ranges, until none is left or fewer connections are wanted."""
        failures = 0
        while not self._stop.is_set():
            before = claimed.position
            try:
                self._read(claimed)
            except Interrupted as error:
                failures = 1 if claimed.position > before else failures + 1
                with self._changed:
                    if self._connections > 1:  # the others take over its range; only the last connection retries
                        self._scaling.settle(self._connections - 1)
                        self._connections -= 1
                        self._received -= self.part.release(claimed)
                        return
                self._wait(error, failures)
                continue
            failures = 0
            self.part.release(claimed)
            with self._changed:
                following = self.part.claim(SEGMENT) if self._connections <= self._scaling.wanted else None
                if following is None:
                    self._connections -= 1
                    return
                claimed = following

    def _read(self, claimed: Range) -> None:
        with self.source.read(claimed.position, claimed.stop) as chunks, self.part.writer(claimed) as file:
            if not self.source.ranges:
                self.part.extend(claimed)
            for chunk in chunks:
                if self._stop.is_set():
                    return
                count = min(len(chunk), claimed.stop - claimed.position)
                data = memoryview(chunk)[:count]
                while data:  # a disk that is nearly full takes less
                    data = data[file.write(data) :]
                completed = self.part.advance(claimed, count)
                with self._changed:
                    self._received += count
                    if completed:
                        self._changed.notify_all()
                if count < len(chunk):
                    return
        if claimed.position < claimed.stop:
            raise Interrupted("the connection was cut")

    def _wait(self, error: Interrupted, failures: int) -> None:
        pause = self.backoff.pause(failures, error.wait)
        if self.backoff.is_exhausted(failures, pause):
            wait = f", and the server asks to wait {error.wait:.0f} s" if error.wait else ""
            waited = f" It was tried again after {self._waited:.0f} s of waiting." if self._waited >= 1 else ""
            raise OfflineError(
                f"The download stopped after {self._progress()}: {error.reason}{wait}.{waited}",
                "The downloaded part is kept; repeat the command to continue.",
            )
        if pause >= 1:
            self.report.note(f"The download is interrupted: {error.reason}. Retrying in {pause:.0f} s.")
        self._waited += pause
        self._stop.wait(pause)

    def _progress(self) -> str:
        return f"{(self.part.kept + self._received) / 1e6:.1f} of {self.part.size / 1e6:.1f} MB"

    def _update_digest(self) -> None:
        """Read the blocks from front to back as they are completed.

        hashlib and the file release the GIL, so this is free on a second core: SHA-256 runs at 0.4 to 2 GB/s."""
        buffer = memoryview(bytearray(BLOCK))
        with open(self.part.path, "r+b", buffering=0) as file:  # Windows syncs only writable files
            for block in range(self.part.blocks):
                if block % _SYNC_BLOCKS == _SYNC_BLOCKS - 1:
                    os.fsync(file.fileno())  # during the download, so that the sync at its end is short
                with self._changed:
                    while not (self.part.has(block) or self._stop.is_set()):
                        self._changed.wait()
                if self._stop.is_set():
                    return
                filled = 0
                while filled < BLOCK and (count := file.readinto(buffer[filled:])):
                    filled += count
                self.digest.update(buffer[:filled])
        with self._changed:
            self._digested = True
            self._changed.notify_all()
