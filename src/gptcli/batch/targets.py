"""Where finished bytes go: a file that can be truncated, a stream that cannot, a folder, or nowhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from gptcli.errors import GptcliError


class Target:
    """The base of all targets; itself one for nothing, in place of a file of errors."""

    def __init__(self) -> None:
        self.end = self.crc = 0
        """Bytes written so far that count, and the CRC-32 of all of them."""

    def append(self, data: bytes, name: str = "") -> None:
        """Hand `data` to the operating system, so that it survives this process."""
        assert not data, "there is no file of errors"

    def matches(self, end: int, crc: int) -> bool:
        """Whether the bytes up to `end` are there and have that checksum; the caller then sets `end` and `crc`."""
        return True

    def truncate(self) -> None:
        """Drop everything after the bytes that count."""

    def sync(self) -> None:
        """Wait until the bytes would survive a power cut."""

    def close(self) -> None:
        pass


class FileTarget(Target):
    """A file, locked against other processes."""

    def __init__(self, path: Path) -> None:
        """Open or create it. Raises GptcliError if another process is writing it."""
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open_file(path)
        _lock(self._file, path)
        self._reader = open(path, "rb", buffering=1 << 20)  # noqa: SIM115

    def append(self, data: bytes, name: str = "") -> None:
        try:
            write_all(self._file, data)
        except OSError:
            self._file.truncate(self.end)
            raise
        self.end += len(data)
        self.crc = crc32(data, self.crc)

    def matches(self, end: int, crc: int) -> bool:
        size = end - self.end
        data = self._reader.read(size) if size > 0 else b""
        return len(data) == size and crc32(data, self.crc) == crc

    def truncate(self) -> None:
        self._file.truncate(self.end)
        self._file.seek(self.end)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._reader.close()
        self._file.close()


class StreamTarget(Target):
    """Standard output, a pipe or a device."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream

    def append(self, data: bytes, name: str = "") -> None:
        self._stream.write(data)
        self._stream.flush()


class FolderTarget(Target):
    """A file for each row, complete and synced before it gets its name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        path.mkdir(parents=True, exist_ok=True)

    def append(self, data: bytes, name: str = "") -> None:
        if not name:
            return
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name[:200]}.gptcli-part")
        with open(part, "wb", buffering=0) as file:
            write_all(file, data)
            os.fsync(file.fileno())
        os.replace(part, path)


def open_file(path: Path) -> BinaryIO:
    """Open an unbuffered file to read and write, or create it."""
    return open(path, "r+b" if path.exists() else "w+b", buffering=0)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write to an unbuffered file, however many bytes it takes at a time."""
    while data:
        data = data[file.write(data) :]


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            file.seek(1 << 40)  # such locks forbid reading too: lock a byte where nobody reads
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            file.seek(0)
    except OSError:
        file.close()
        raise GptcliError(f"Another gptcli is writing {path}.", "Wait for it, or choose another output.") from None
