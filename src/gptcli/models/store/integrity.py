"""Whether files are what they should be: their digests, and a record of the files that were found intact.

The record is one small file in the cache folder. It knows a file by real path, size and modification time, so a changed
file is checked again, and so is every file when the record is lost. Its samples reveal damage that left these as they
were, by a disk or a program."""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from gptcli import settings
from gptcli.errors import LoadError
from gptcli.models.files import open_without_atime, read_cache, write_cache
from gptcli.models.progress import Report

if TYPE_CHECKING:
    from gptcli.models.gguf.header import Header

CHECKED = "checked"
"""Recorded for a file whose structure was checked; otherwise its verified SHA-256."""
SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_BLOCK = 1 << 22
_SAMPLES, _SAMPLE_BYTES, _HEAD_BYTES = 64, 4096, 1 << 20
"""What is sampled: blocks from front to back, and the start of the file, which is most of its header.

It takes 0.5 ms, or 2.5 ms from an SSD (98 MB). CRC-32 needs no import of hashlib, which takes 7 ms."""


def recorded(path: Path) -> str | None:
    """The SHA-256 that `path` was verified against, or `CHECKED`; None if it must be checked."""
    real, now = file_state(path)
    entry = read_cache(_file()).get(real)
    return str(entry[2]) if entry and entry[:2] == now else None


def record(path: Path, result: str) -> None:
    """Record that `path` is intact; `result` is its SHA-256 or `CHECKED`.

    Of two processes that write at once one may lose an entry, which costs a later run one check."""
    real, now = file_state(path)
    entries = {name: entry for name, entry in read_cache(_file()).items() if os.path.exists(name)}
    write_cache(_file(), {**entries, real: [*now, result, _sample(real)]})


def has_rotted(path: Path) -> bool:
    """Whether samples of `path` differ from the recorded ones, though its size and modification time do not."""
    real, now = file_state(path)
    entries = read_cache(_file())
    entry = entries.get(real)
    if not entry or entry[:2] != now:
        return False
    if len(entry) < 4:  # recorded by version 0.1, without samples
        write_cache(_file(), {**entries, real: [*entry, _sample(real)]})
        return False
    return bool(entry[3] != _sample(real))


def check_samples(path: Path) -> None:
    """Raise LoadError if a part of the model that starts with `path` has been damaged since it was recorded."""
    from gptcli.models.gguf.quantization import split_paths

    for part in split_paths(path):
        if part.exists() and has_rotted(part):
            raise LoadError(
                f"{part} is damaged: it has other content than when it was checked, but the same size and time.",
                "Remove it with `gptcli models rm` and pull it again, or copy it again.",
            )


def file_state(path: Path) -> tuple[str, list[int]]:
    """The real path of `path`, and the size and modification time that identify its content."""
    real = os.path.realpath(path)
    status = os.stat(real)
    return real, [status.st_size, status.st_mtime_ns]


def check(path: Path) -> Header:
    """Check the structure of the model that starts with `path`, and record that. Raises LoadError."""
    from gptcli.models.gguf import structure
    from gptcli.models.gguf.quantization import split_paths

    check_samples(path)
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
    file, over the header `blob SIZE NUL` and the bytes ("Git Internals - Git Objects" in the Git book)."""

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


def _sample(path: str) -> int:
    """The CRC-32 of the samples."""
    with open(path, "rb", buffering=0, opener=open_without_atime) as file:
        last = max(0, os.fstat(file.fileno()).st_size - _SAMPLE_BYTES)
        offsets = [last * index // (_SAMPLES - 1) for index in range(_SAMPLES)]
        if hasattr(os, "posix_fadvise"):  # the disk reads them together, not one after the other
            for offset in offsets:
                os.posix_fadvise(file.fileno(), offset, _SAMPLE_BYTES, os.POSIX_FADV_WILLNEED)
        value = zlib.crc32(file.read(_HEAD_BYTES))
        for offset in offsets:
            file.seek(offset)
            value = zlib.crc32(file.read(_SAMPLE_BYTES), value)
    return value


def _file() -> Path:
    return settings.cache_dir() / "verified.json"
