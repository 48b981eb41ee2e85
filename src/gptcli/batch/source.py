"""The bytes of an input, from a file or standard input, compressed or not, in any encoding, and how they are cut.

What comes out is UTF-8. A record that is longer than the limit is skipped without being held in memory."""

from __future__ import annotations

import codecs
import io
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from gptcli.errors import GptcliError, UsageError

BOM = codecs.BOM_UTF8
LIMIT = 64 << 20
"""Bytes of the longest record that is read; a longer one is an error (a prompt of 64 MiB fits no context)."""
_OTHER_MARKS = dict.fromkeys((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-32")
_OTHER_MARKS |= dict.fromkeys((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-16")
"""Byte order marks of other encodings; the longer ones first, for UTF-32's begins with UTF-16's."""


@dataclass(slots=True)
class Source:
    """An open input."""

    stream: BinaryIO
    name: str
    size: int | None = None
    """Bytes, where they are known before the end is read."""
    live: bool = False
    """Whether it is a pipe or a terminal, on which more may arrive later."""
    recoded: BinaryIO | None = None
    """What `stream` is converted from, if it is not in UTF-8."""

    @property
    def share_read(self) -> float | None:
        """The part of a file that has been read, from 0 to 1, if its size is known."""
        return (self.recoded or self.stream).tell() / self.size if self.size else None


def open_source(path: str, stdin: BinaryIO, encoding: str = "utf-8") -> Source:
    """Open `path` (`-` is `stdin`), decompress by its suffix and convert to UTF-8.

    Raises UsageError for an unknown encoding and GptcliError for a file that cannot be opened."""
    codec = _codec(encoding)
    with reading(path):
        source = _standard_input(stdin) if path == "-" else _file(path)
        start = b"" if codec != "utf-8" or source.live else _peek(source.stream)
    if other := next((other for mark, other in _OTHER_MARKS.items() if start.startswith(mark)), None):
        source.stream.close()
        raise UsageError(f"{source.name} is in {other.upper()}, not in UTF-8.", f"Add --encoding {other}.")
    if codec != "utf-8":
        source.recoded = source.stream
        source.stream = io.BufferedReader(_Recoded(source.stream, encoding), 1 << 16)
    return source


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn any error of opening or reading an input into UsageError or GptcliError."""
    try:
        yield
    except FileNotFoundError:
        raise UsageError(f"There is no file {name}.", "Check the name.") from None
    except (OSError, EOFError, zlib.error, UnicodeError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem) or "it ends too early"
        raise GptcliError(
            f"{name} cannot be read: {reason}.", "Repair it and run the same command again; answered rows are kept."
        ) from problem


def uncompressed_name(path: str) -> str:
    """`path` without the suffix of its compression."""
    for suffix in (".gz", ".zst"):
        if path.lower().endswith(suffix):
            return path[: -len(suffix)]
    return path


def _codec(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        "".encode(encoding)
    except LookupError:
        raise UsageError(
            f"Python has no text encoding {encoding!r}.", "Try utf-8, utf-16, cp1252 or latin-1."
        ) from None
    return "utf-8" if name in ("utf-8", "ascii") else name


def _peek(stream: BinaryIO) -> bytes:
    """The first bytes of a stream, which stay in it; none where it has no buffer."""
    return stream.peek(4) if isinstance(stream, io.BufferedReader) else b""


def _standard_input(stdin: BinaryIO) -> Source:
    try:
        descriptor = stdin.fileno()
    except (OSError, AttributeError):
        return Source(stdin, "standard input")
    live = not stat.S_ISREG(os.fstat(descriptor).st_mode)
    # A reader of our own: Python must not close the one on which a thread may still be waiting.
    return Source(os.fdopen(os.dup(descriptor), "rb"), "standard input", live=live)


def _file(path: str) -> Source:
    lower = path.lower()
    if lower.endswith(".gz"):
        import gzip

        return Source(io.BufferedReader(gzip.open(path, "rb")), path)
    if lower.endswith(".zst"):
        return Source(_open_zstd(path), path)
    stream = open(path, "rb")  # noqa: SIM115 - the caller owns it
    status = os.fstat(stream.fileno())
    regular = stat.S_ISREG(status.st_mode)
    return Source(stream, path, status.st_size if regular else None, live=not regular)


def _open_zstd(path: str) -> BinaryIO:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor, ZstdError

        new_decompressor, error = ZstdDecompressor, ZstdError
    else:
        try:
            import zstandard
        except ImportError:
            raise GptcliError(
                f"{path} is compressed with zstd, which Python can read since 3.14.",
                "Install the package 'zstandard', or decompress the file first.",
            ) from None
        new_decompressor, error = zstandard.ZstdDecompressor().decompressobj, zstandard.ZstdError
    return io.BufferedReader(_Frames(open(path, "rb"), new_decompressor, error), 1 << 16)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes) -> bytes: ...


class _Frames(io.RawIOBase):
    """Reads the frames of a zstd file, one after the other, and notices a file that was cut off.

    The readers of the package `zstandard` do not."""

    def __init__(self, file: BinaryIO, new_decompressor: Callable[[], _Decompressor], error: type[Exception]) -> None:
        self._file = file
        self._new_decompressor = new_decompressor
        self._error = error
        self._frame: _Decompressor | None = None
        self._data = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._data:
            packed = self._file.read(1 << 15)
            if not packed:
                if self._frame is not None:
                    raise EOFError("the zstd data ends too early")
                return 0
            self._data = self._unpack(packed)
        size = min(len(buffer), len(self._data))
        buffer[:size] = self._data[:size]
        self._data = self._data[size:]
        return size

    def _unpack(self, packed: bytes) -> bytes:
        parts = []
        try:
            while packed:
                frame = self._frame or self._new_decompressor()
                parts.append(frame.decompress(packed))
                packed = frame.unused_data if frame.eof else b""
                self._frame = None if frame.eof else frame
        except self._error as problem:
            raise OSError(f"damaged zstd data ({problem})") from problem
        return b"".join(parts)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Recoded(io.RawIOBase):
    """Converts text to UTF-8. Bytes that are invalid in its encoding are kept, and are invalid in UTF-8 too."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        codecs.register_error("gptcli-bad", _keep_bad)
        self._text = io.TextIOWrapper(stream, encoding, errors="gptcli-bad", newline="")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            # One line at most: reading more could mean waiting for a pipe although a whole row has arrived.
            self._rest = self._text.readline(1 << 14).encode("utf-8", "gptcli-bad")
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        self._text.close()
        super().close()


def _keep_bad(problem: UnicodeError) -> tuple[str | bytes, int]:
    """Decode invalid bytes to lone surrogates, and encode these to the bytes. There is one at least: 0xff for none."""
    if isinstance(problem, UnicodeDecodeError):
        text = problem.object[problem.start : problem.end].decode("ascii", "surrogateescape")
        return (text if not text.isascii() else text + "\udcff"), problem.end
    assert isinstance(problem, UnicodeEncodeError)
    character = problem.object[problem.start]
    data = bytes([ord(character) & 0xFF]) if "\udc80" <= character <= "\udcff" else b"\xff"
    return data, problem.start + 1


class Record(NamedTuple):
    line: int
    """The line on which it starts, from 1."""
    data: bytes
    whole: bool
    """False: it is longer than the limit, and `data` is only its beginning."""


def lines(stream: BinaryIO, limit: int = LIMIT) -> Iterator[Record]:
    """Lines with their line ends, without a byte order mark."""
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(BOM)
        whole = len(line) <= limit or line.endswith(b"\n")
        if not whole:
            while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
        yield Record(number, line, whole)


def paragraphs(stream: BinaryIO, limit: int = LIMIT) -> Iterator[Record]:
    """The text between blank lines, without the last line end."""
    start, parts, size, whole = 0, list[bytes](), 0, True
    for record in lines(stream, limit):
        if record.data.strip():
            start = start or record.line
            size += len(record.data)
            whole = whole and record.whole and size <= limit
            if whole:
                parts.append(record.data)
        elif start:
            yield Record(start, b"".join(parts).rstrip(b"\r\n"), whole)
            start, parts, size, whole = 0, [], 0, True
    if start:
        yield Record(start, b"".join(parts).rstrip(b"\r\n"), whole)


def separated(stream: BinaryIO, separator: bytes, limit: int = LIMIT) -> Iterator[Record]:
    """The text between separators; a newline next to a separator belongs to the separator."""
    buffer, line, searched, whole, first = bytearray(), 1, 0, True, True
    read = getattr(stream, "read1", stream.read)
    while chunk := read(1 << 16):
        buffer += chunk
        if first and len(buffer) >= len(BOM):
            buffer[: len(BOM)] = buffer[: len(BOM)].removeprefix(BOM)
            first = False
        begin = 0
        while (end := buffer.find(separator, max(begin, searched))) >= 0:
            yield _between(line, bytes(buffer[begin:end]), whole)
            line += buffer.count(b"\n", begin, end + len(separator))
            begin, whole = end + len(separator), True
        del buffer[:begin]
        searched = max(0, len(buffer) - len(separator) + 1)
        if len(buffer) > limit:
            whole = False
            line += buffer.count(b"\n", 0, searched)
            del buffer[:searched]
            searched = 0
    if buffer or not whole:
        yield _between(line, bytes(buffer), whole)


def _between(line: int, data: bytes, whole: bool) -> Record:
    inner = data.removeprefix(b"\r\n") if data.startswith(b"\r\n") else data.removeprefix(b"\n")
    start = line + (len(inner) < len(data))
    inner = inner.removesuffix(b"\n").removesuffix(b"\r") if inner.endswith(b"\n") else inner
    return Record(start, inner, whole)
