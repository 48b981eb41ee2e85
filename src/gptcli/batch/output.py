"""The output of a batch: every row's line once, in the order asked for, and a job that was killed goes on.

It knows targets, the journal and their order of writing; formats and engines it does not know.

A row counts as done when the journal says so. Its line is handed to the system first and the journal's record second,
so a process that is killed between the two leaves bytes that no record covers: they are cut off when the job goes on,
and the row is computed again. In a power cut either file may lose its end: records whose bytes are not there, by length
and checksum, do not count. Both files are synced every `SYNC_SECONDS`: a power cut costs at most the rows of that time.
In input order a row that ends early waits in the journal until those before it are written.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gptcli.batch import journal as records
from gptcli.batch.done import Done
from gptcli.batch.formats import Result
from gptcli.batch.journal import HEADER_ROW, Held, Journal, Written
from gptcli.batch.row import Row, RowError
from gptcli.batch.targets import Target
from gptcli.errors import GptcliError, UsageError

SYNC_SECONDS = 1.0
SYNC_BYTES = 4 << 20
SPARE_BYTES = 16 << 20
"""How much of the journal may be held rows that have been written since, before it is made anew."""


class Output:
    """Results in; owner of the output, the file of errors and the journal."""

    def __init__(self, targets: tuple[Target, Target], journal: Journal, *, ordered: bool, created: int) -> None:
        self.created = created
        """When the job began, in seconds since 1970."""
        self.failed = 0
        """Failed rows in the whole output, those of earlier runs too."""
        self._targets = targets
        self._journal = journal
        self._ordered = ordered
        self._done = Done()
        self._before = Done()
        self._waiting: dict[int, int] = {}
        self._begun = False
        self._closed = False
        self._broken = False
        """A write was cut short: only a new run, which checks everything, may go on."""
        self._spare = self._unsynced = self._written = 0
        self._synced = time.monotonic()

    def resume(self) -> None:
        """Take up what is there: cut off what does not count, and remember what does."""
        void = False
        held: dict[int, tuple[int, int, int]] = {}
        for place, kind, payload in self._journal.records():
            if kind == records.HELD:
                row, digest, failed, _ = records.to_held(payload)
                held[row] = (place, digest, failed)
            elif kind == records.WRITTEN and not void:
                entry = records.to_written(payload)
                void = not self._accept(entry)
                if not void:
                    held.pop(entry.row, None)
        for target in self._targets:
            target.settle()
        for row, (place, digest, failed) in held.items():
            self.failed += failed
            self._waiting[row] = place
            self._before.add(row, digest)
        if void or self._journal.torn:
            self._waiting = self._journal.rewrite(self._written, self._waiting)

    def _accept(self, entry: Written) -> bool:
        checks = zip(self._targets, entry.ends, entry.crcs, strict=True)
        if not all(target.matches(end, crc) for target, end, crc in checks):
            return False
        for target in self._targets:
            target.accept()
        self._written += 1
        if entry.row == HEADER_ROW:
            self._begun = True
            return True
        self._done.add(entry.row, entry.digest)
        self._before.add(entry.row, entry.digest)
        self.failed += entry.failed
        return True

    def begin(self, header: bytes) -> None:
        """Write what stands before the first row, unless it is there, and the rows whose turn had come."""
        with writing():
            if header and not self._begun:
                self._write(HEADER_ROW, 0, 0, Result(header))
            self._follow()

    @property
    def answered(self) -> int:
        """Rows that earlier runs have done."""
        return self._before.count

    def has(self, row: Row | RowError) -> bool:
        """Whether an earlier run has done the row; rows must come in input order.

        Raises UsageError where the input is not the one that was answered."""
        try:
            return self._before.has(row.number, row.digest)
        except ValueError as problem:
            raise UsageError(
                f"The input has changed: {problem} of it is not what was answered before.",
                "Give the input as it was, or --overwrite to begin anew.",
            ) from None

    def check_end(self) -> None:
        """The input has ended: every row that was answered must have come. Raises UsageError."""
        if missing := self._before.unseen:
            raise UsageError(
                f"The input has changed: {missing:,} rows that were answered before are not in it.",
                "Give the input as it was, or --overwrite to begin anew.",
            )

    def put(self, row: Row | RowError, result: Result, *, failed: bool) -> None:
        """Take a row's result; when this returns it outlives the process. Raises GptcliError, say for a full disk."""
        self._broken = True
        with writing():
            if self._ordered and row.number != self._done.next:
                self._waiting[row.number] = self._journal.hold(Held(row.number, row.digest, failed, result))
            else:
                self._write(row.number, row.digest, failed, result)
                if self._waiting:
                    self._follow()
            self._unsynced += len(result.out)
            if self._unsynced > SYNC_BYTES or time.monotonic() - self._synced > SYNC_SECONDS:
                self.sync()
        self.failed += failed
        self._broken = False

    def _follow(self) -> None:
        """Write the waiting rows whose turn has come."""
        while (place := self._waiting.get(self._done.next)) is not None:
            row, digest, failed, result = self._journal.held(place)
            self._write(row, digest, failed, result)
            del self._waiting[row]
            self._spare += len(result.out)
        if self._spare > SPARE_BYTES:
            self._waiting = self._journal.rewrite(self._written, self._waiting)
            self._spare = 0

    def _write(self, row: int, digest: int, failed: int, result: Result) -> None:
        out, errors = self._targets
        out.append(result.out, result.name)
        errors.append(result.error)
        if self._journal.path is not None:
            self._journal.written(Written(row, digest, failed, (out.end, errors.end), (out.crc, errors.crc)))
            self._written += 1
        if row != HEADER_ROW:
            self._done.add(row, digest)

    def sync(self) -> None:
        """Make everything so far outlive a power cut, the journal last."""
        if self._journal.path is not None:
            for target in self._targets:
                target.sync()
            self._journal.sync()
        self._unsynced, self._synced = 0, time.monotonic()

    def close(self) -> None:
        """Sync and close; a journal without anything that waits is left small."""
        if self._closed:
            return
        self._closed = True
        try:
            with writing():
                if self._broken:
                    return
                if self._spare and not self._waiting:
                    self._journal.rewrite(self._written, {})
                self.sync()
        finally:
            for target in self._targets:
                target.close()
            self._journal.close()


@contextmanager
def writing() -> Iterator[None]:
    """Say what a failed write means. A reader that went away is no failure: that error passes as it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        where = f" ({problem.filename})" if problem.filename else ""
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise GptcliError(
                f"No room to write the output: {os.strerror(problem.errno)}{where}.",
                "Make room and run the same command again: what is in a file stays, and the rest is done then.",
            ) from problem
        raise GptcliError(f"The output cannot be written: {problem.strerror}{where}.", "Check the place.") from problem
