"""The output of a batch: every row is written once, in the order wanted, also if the job is killed and run again.

A row is done when the journal has it. The row's line goes to the system first and the journal's record second, so a
process that is killed between the two leaves bytes that no record covers: they are cut off when the job is resumed, and
the row is computed again. A power cut can take the end of either file: a record counts only if length and checksum show
that its bytes are there. Both files are synced every `SYNC_SECONDS`: a power cut costs at most the rows of that time.
In input order, a row that ends early waits in the journal until the rows before it are written."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from gptcli.batch import journal as records
from gptcli.batch.formats import Result
from gptcli.batch.journal import HEADER_ROW, Held, Journal, RowSet, Written, sync_folder
from gptcli.batch.row import Row, RowError
from gptcli.batch.targets import FileTarget, FolderTarget, StreamTarget, Target
from gptcli.batch.text import JOURNAL
from gptcli.errors import GptcliError, UsageError

SYNC_SECONDS = 1.0
SYNC_BYTES = 4 << 20
SPARE_BYTES = 16 << 20
"""How many bytes of the journal may be results that have been written since, before it is rewritten without them."""


class Output:
    """Takes results; owns the output, the file of errors and the journal."""

    def __init__(self, targets: tuple[Target, Target], journal: Journal, *, ordered: bool, created: int) -> None:
        self.created = created
        """When the job was created, in seconds since 1970."""
        self.failed = 0
        """Failed rows in the whole output, those of earlier runs included."""
        self._targets = targets
        self._journal = journal
        self._ordered = ordered
        self._next = 0
        """In input order, the row that is written next."""
        self._done_before = RowSet()
        self._waiting: dict[int, int] = {}
        self._has_header = False
        self._closed = False
        self._broken = False
        """A write failed midway: only a new run, which checks everything, may continue."""
        self._spare = self._unsynced = self._written = 0
        self._synced = time.monotonic()

    def resume(self) -> None:
        """Find the rows that are done, and drop what is incomplete."""
        broken = False
        held: dict[int, tuple[int, int, int]] = {}
        for place, kind, payload in self._journal.records():
            if kind == records.HELD:
                row, digest, failed, _ = records.parse_held(payload)
                held[row] = (place, digest, failed)
            elif kind == records.WRITTEN and not broken:
                entry = records.parse_written(payload)
                broken = not self._accept(entry)
                if not broken:
                    held.pop(entry.row, None)
        for target in self._targets:
            target.truncate()
        for row, (place, digest, failed) in held.items():
            self.failed += failed
            self._waiting[row] = place
            self._done_before.add(row, digest)
        if broken or self._journal.torn:
            self._waiting = self._journal.rewrite(self._written, self._waiting)

    def _accept(self, entry: Written) -> bool:
        """Count a row that the journal has as written, if its bytes are there."""
        checks = zip(self._targets, entry.ends, entry.crcs, strict=True)
        if not all(target.matches(end, crc) for target, end, crc in checks):
            return False
        for target in self._targets:
            target.accept()
        self._written += 1
        if entry.row == HEADER_ROW:
            self._has_header = True
            return True
        self._next += 1
        self._done_before.add(entry.row, entry.digest)
        self.failed += entry.failed
        return True

    def start(self, header: bytes) -> None:
        """Write the header, unless it is there, and the waiting rows whose turn has come."""
        with writing():
            if header and not self._has_header:
                self._write(HEADER_ROW, 0, 0, Result(header))
            self._write_waiting()

    def is_done(self, row: Row | RowError) -> bool:
        """Whether an earlier run has done the row; call it for all rows in input order.

        Raises UsageError if the input is not the one of the earlier run."""
        known = self._done_before.digest(row.number)
        if known not in (None, row.digest):
            named = "" if row.id is None else f" ({row.id!r})"
            now = (
                f"It is now {_short(json.dumps(row.fields))}."
                if isinstance(row, Row)
                else f"Now it is bad: {row.message}"
            )
            raise UsageError(
                f"The input has changed: the row on line {row.line:,}{named} is not the one that was answered. {now}",
                "Restore the input, or add --overwrite to start again.",
            )
        return known is not None

    def check_end(self) -> None:
        """Raises UsageError if the input, which has ended, lacks rows that an earlier run has done."""
        if missing := self._done_before.unseen:
            raise UsageError(
                f"The input has changed: {missing:,} rows that were answered before are not in it.",
                "Restore the input, or add --overwrite to start again.",
            )

    def put(self, row: Row | RowError, result: Result, *, failed: bool) -> None:
        """Write a row's result, which then survives this process. Raises GptcliError, for example for a full disk."""
        self._broken = True
        with writing():
            if self._ordered and row.number != self._next:
                self._waiting[row.number] = self._journal.add_held(Held(row.number, row.digest, failed, result))
            else:
                self._write(row.number, row.digest, failed, result)
                if self._waiting:
                    self._write_waiting()
            self._unsynced += len(result.out)
            if self._unsynced > SYNC_BYTES or time.monotonic() - self._synced > SYNC_SECONDS:
                self.sync()
        self.failed += failed
        self._broken = False

    def _write_waiting(self) -> None:
        """Write the waiting rows whose turn has come."""
        while (place := self._waiting.get(self._next)) is not None:
            row, digest, failed, result = self._journal.read_held(place)
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
            self._journal.add_written(Written(row, digest, failed, (out.end, errors.end), (out.crc, errors.crc)))
            self._written += 1
        self._next += row != HEADER_ROW

    def sync(self) -> None:
        """Make everything written so far survive a power cut, the journal last."""
        if self._journal.path is not None:
            for target in self._targets:
                target.sync()
            self._journal.sync()
        self._unsynced, self._synced = 0, time.monotonic()

    def close(self) -> None:
        """Sync and close. A journal in which nothing waits is rewritten small."""
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


def open_stream(stream: BinaryIO, errors: Path | None, *, ordered: bool, overwrite: bool, created: int) -> Output:
    """An output that cannot be resumed. Raises UsageError if the file `errors` is not empty, unless `overwrite`."""
    with writing():
        if errors is not None and _has_content(errors) and not overwrite:
            raise UsageError(f"{errors} exists already.", "Choose another file of errors, or add --overwrite.")
        target: Target = Target() if errors is None else FileTarget(errors)
        target.truncate()
        return Output((StreamTarget(stream), target), Journal(None), ordered=ordered, created=created)


def open_path(
    path: Path,
    errors: Path | None,
    *,
    folder: bool,
    settings: dict[str, object],
    ordered: bool,
    overwrite: bool,
    created: int,
) -> Output:
    """An output that is resumed where an earlier run of the same job ended. `settings` (JSON values) identify the job.

    Raises UsageError, unless `overwrite`, if `path` holds something else or was made with other settings, and
    GptcliError if another process is writing it."""
    beside = path.with_name(path.name + JOURNAL)
    settings = json.loads(json.dumps(settings))
    with writing(), ExitStack() as stack:
        existing = [place for place in (path, errors) if place is not None and _has_content(place)]
        if existing and not overwrite and not beside.exists():
            raise UsageError(
                f"{existing[0]} exists already, and there is no journal of a batch beside {path}.",
                "Choose another output, or add --overwrite.",
            )
        out: Target = FolderTarget(path) if folder else FileTarget(path)
        stack.callback(out.close)
        failures: Target = Target() if errors is None else FileTarget(errors)
        stack.callback(failures.close)
        journal = Journal(beside)
        stack.callback(journal.close)
        known = None if overwrite else journal.settings()
        if existing and not overwrite:
            _check_settings(path, known, settings)
        if known is None or known[0] != settings:
            journal.start(settings, created)
            sync_folder(path.parent)
        else:
            created = known[1]
        output = Output((out, failures), journal, ordered=ordered, created=created)
        output.resume()
        stack.pop_all()
        return output


def _check_settings(path: Path, known: tuple[dict[str, object], int] | None, settings: dict[str, object]) -> None:
    if known is None:
        raise UsageError(f"The journal beside {path} is damaged.", "Choose another output, or add --overwrite.")
    old = known[0]
    if old != settings:
        names = [name for name in {**old, **settings} if old.get(name) != settings.get(name)]
        parts = [
            f"{name} was {_short(repr(old.get(name)))} and is {_short(repr(settings.get(name)))}" for name in names
        ]
        raise UsageError(
            f"{path} was made by another command: {'; '.join(parts)}.",
            "Use the same settings, choose another output, or add --overwrite.",
        )


def _has_content(path: Path) -> bool:
    if path.is_dir():
        return any(path.iterdir())
    return path.exists() and path.stat().st_size > 0


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


@contextmanager
def writing() -> Iterator[None]:
    """Turn a failed write into GptcliError. A reader that is gone is no failure: BrokenPipeError passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        where = f" ({problem.filename})" if problem.filename else ""
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise GptcliError(
                f"No room to write the output: {os.strerror(problem.errno)}{where}.",
                "Free some space and run the same command again; it does the rows that are missing.",
            ) from problem
        raise GptcliError(f"The output cannot be written: {problem.strerror}{where}.", "Check the path.") from problem
