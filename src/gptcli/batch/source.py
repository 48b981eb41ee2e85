"""The bytes of an input, from a file or standard input, compressed or not, in any encoding, and how they are cut.

What comes out is UTF-8. A record that is longer than the limit is skipped without being held in memory.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import BinaryIO, NamedTuple

from gptcli.errors import GptcliError, UsageError

BOM = codecs.BOM_UTF8
LIMIT = 64 << 20
"""Bytes of the longest record that is read; a longer one is an error (a prompt of 64 MiB fits no context)."""
_BAD = "\udcff"
"""Stands for bytes that are invalid in the encoding. It is not UTF-8 either, so the row that holds it is an error."""


@dataclass(slots=True)
class Source:
    """An open input."""

    stream: BinaryIO
    name: str
    size: int | None = None
    """Bytes, where they are known before the end is read."""
    live: bool = False
    """Whether it is a pipe or a terminal, on which more may arrive later."""


def open_source(path: str, stdin: BinaryIO, encoding: str = "utf-8") -> Source:
    """Open `path` (`-` is `stdin`), decompress it by suffix, make it UTF-8. Raises UsageError and GptcliError."""
    codec = _codec(encoding)
    with reading(path):
        source = _standard_input(stdin) if path == "-" else _file(path)
    if codec != "utf-8":
        source.stream = _recode(source.stream, encoding)
        source.size = None
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
        hint = "Repair it and run the same command again; answered rows are kept."
        raise GptcliError(f"{name} cannot be read: {reason}.", hint) from problem


def uncompressed_name(path: str) -> str:
    """`path` without the suffix of its compression."""
    return re.sub(r"(?i)\.(gz|zst)\Z", "", path)


def _codec(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        "".encode(encoding)
    except LookupError:
        hint = "Try utf-8, utf-16, cp1252 or latin-1."
        raise UsageError(f"Python has no text encoding {encoding!r}.", hint) from None
    return "utf-8" if name in ("utf-8", "ascii") else name


def _standard_input(stdin: BinaryIO) -> Source:
    try:
        descriptor = stdin.fileno()
    except (OSError, AttributeError):
        return Source(stdin, "standard input")
    live = not stat.S_ISREG(os.fstat(descriptor).st_mode)
    # A reader of our own: Python must not close the one on which a thread may still be waiting.
    return Source(os.fdopen(os.dup(descriptor), "rb"), "standard input", live=live)


def _file(path: str) -> Source:
    if path.lower().endswith(".gz"):
        import gzip

        return Source(io.BufferedReader(gzip.open(path, "rb")), path)
    if path.lower().endswith(".zst"):
        return Source(_open_zstd(path), path)
    stream = open(path, "rb")  # noqa: SIM115 - the caller owns it
    status = os.fstat(stream.fileno())
    live = not stat.S_ISREG(status.st_mode)
    return Source(stream, path, None if live else status.st_size, live)


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

    def unpacked() -> Iterator[bytes]:
        """The frames of the file; one that was cut off is noticed, which the package's own readers do not."""
        frame = None
        while packed := file.read(1 << 15):
            while packed:
                frame = frame or new_decompressor()
                try:
                    data = frame.decompress(packed)
                except error as problem:
                    raise OSError(f"damaged zstd data ({problem})") from problem
                yield data
                packed = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
        if frame is not None:
            raise EOFError("the zstd data ends too early")

    file = open(path, "rb")  # noqa: SIM115 - closed with the reader
    return io.BufferedReader(_Chunks(unpacked(), file), 1 << 16)


def _recode(stream: BinaryIO, encoding: str) -> BinaryIO:
    """The text of `stream` in UTF-8; bytes that are invalid in its encoding become `_BAD`."""
    codecs.register_error("gptcli-bad", _replace_bad)
    text = io.TextIOWrapper(stream, encoding, errors="gptcli-bad", newline="")
    # One line at a time: reading more could mean waiting for a pipe although a whole row has arrived.
    lines = (line.encode("utf-8", "surrogatepass") for line in iter(partial(text.readline, 1 << 14), ""))
    return io.BufferedReader(_Chunks(lines, text), 1 << 16)


def _replace_bad(problem: UnicodeError) -> tuple[str, int]:
    assert isinstance(problem, UnicodeDecodeError)
    return _BAD, problem.end


class _Chunks(io.RawIOBase):
    """A stream of bytes that are made from `file`, which is closed with it."""

    def __init__(self, chunks: Iterator[bytes], file: BinaryIO | io.TextIOWrapper) -> None:
        self._chunks = filter(None, chunks)
        self._file = file
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._rest = self._rest or next(self._chunks, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


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
    for filled, records in groupby(lines(stream, limit), lambda record: bool(record.data.strip())):
        if not filled:
            continue
        start, parts, size, whole = 0, list[bytes](), 0, True
        for record in records:
            start = start or record.line
            size += len(record.data)
            whole = whole and record.whole and size <= limit
            if whole:
                parts.append(record.data)
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
