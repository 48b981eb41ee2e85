"""Whether files are what they should be: their digests, and a record of the files that were found intact.

The record is one small file in the cache folder. It knows a file by real path, size and modification time, so a changed
file is checked again, and so is every file when the record is lost.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from gptcli import settings
from gptcli.models.files import read_cache, write_cache
from gptcli.models.progress import Report

if TYPE_CHECKING:
    from gptcli.models.gguf.header import Header

CHECKED = "checked"
"""Recorded for a file whose structure was checked; otherwise its verified SHA-256."""
SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_BLOCK = 1 << 22


def recorded(path: Path) -> str | None:
    """The SHA-256 that `path` was verified against, or `CHECKED`; None if it must be checked."""
    real, now = file_state(path)
    entry = read_cache(_file()).get(real)
    return str(entry[2]) if entry and entry[:2] == now else None


def record(path: Path, result: str) -> None:
    """Record that `path` is intact; `result` is its SHA-256 or `CHECKED`.

    Of two processes that write at once one may lose an entry, which costs a later run one check.
    """
    real, now = file_state(path)
    entries = {name: entry for name, entry in read_cache(_file()).items() if os.path.exists(name)}
    write_cache(_file(), {**entries, real: [*now, result]})


def file_state(path: Path) -> tuple[str, list[int]]:
    """The real path of `path`, and the size and modification time that identify its content."""
    real = os.path.realpath(path)
    status = os.stat(real)
    return real, [status.st_size, status.st_mtime_ns]


def check(path: Path) -> Header:
    """Check the structure of the model that starts with `path`, and record that. Raises LoadError."""
    from gptcli.models.gguf import structure
    from gptcli.models.gguf.quantization import split_paths

    header = structure.check(path)
    for part in split_paths(path):
        record(part, recorded(part) or CHECKED)
    return header


def sha256(path: Path, report: Report, label: str | None = None) -> str:
    """The SHA-256 of a file in lower-case hexadecimal; `label` is shown instead of its name."""
    import hashlib

    digest = hashlib.sha256()
    report.start(label or path.name, path.stat().st_size)
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                report.advance(len(block))
    finally:
        report.finish()
    return digest.hexdigest()


class Digest:
    """The digests of a file of `size` bytes that the hub calls `etag`.

    An etag of 64 digits is the SHA-256 of a file in large-file storage. One of 40 digits is git's SHA-1 of a small
    file, over the header `blob SIZE NUL` and the bytes ("Git Internals - Git Objects" in the Git book).
    """

    def __init__(self, etag: str, size: int, expected_sha256: str | None) -> None:
        import hashlib

        if expected_sha256 is not None and not SHA256.fullmatch(expected_sha256):
            raise ValueError(f"{expected_sha256!r} is not a SHA-256")
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        self._is_sha256 = expected_sha256 is not None or SHA256.fullmatch(etag) is not None
        self.expected = expected_sha256 or (etag if self._is_sha256 or _SHA1.fullmatch(etag) else None)
        """The digest that the file must have; None if none is known."""

    def update(self, data: memoryview) -> None:
        self._sha256.update(data)
        if not self._is_sha256:
            self._git.update(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def matches(self) -> bool:
        return self.expected == (self.sha256 if self._is_sha256 else self._git.hexdigest())


def _file() -> Path:
    return settings.cache_dir() / "verified.json"
