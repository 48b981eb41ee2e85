"""The last listing of the stored models, and whether anything that it was made from has changed since.

It knows folders and files by inode, size and times, and nothing of models; it imports little more than `os`, so that
`gptcli models list` takes hardly longer than Python takes to start.
"""

from __future__ import annotations

import os
import time

from gptcli import __version__, settings

COLUMNS = ("NAME", "QUANT", "SIZE", "ARCH", "PARAMS", "CONTEXT", "USED")
_VARIABLES = (
    "HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME", "XDG_DATA_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE",
    "HF_HOME", "GPTCLI_DATA_DIR", "OLLAMA_MODELS", "TZ",
)  # fmt: skip
"""What decides where models are looked for, and how a date is written."""
_SETTLED_SECONDS = 2.0
"""A file system whose clock ticks every two seconds (FAT) can hide a second change within that time."""
_CATALOG = os.path.join(os.path.dirname(__file__), "catalog.json")


def recall() -> tuple[bytes, bytes] | None:
    """The rows (fields between tabs) and the JSON of the last listing; None where anything has changed since."""
    try:
        with open(_file(), "rb") as file:
            key, rows, text, *stamps = file.read().split(b"\0")
        if key != _key():
            return None
        for path, stamp in zip(stamps[::2], stamps[1::2], strict=True):
            if _stamp(path) != stamp:
                return None
    except (OSError, ValueError):
        return None
    return rows, text


def remember(rows: bytes, text: bytes, watched: list[str], started: float) -> None:
    """Keep a listing that was begun at `started` (seconds since the epoch) and made from the `watched` paths.

    It is not kept where one of them changed just now, for the next change might leave the same time."""
    paths = [os.fsencode(path) for path in [_CATALOG, "/etc/localtime", *watched]]
    fields = [_key(), rows, text]
    for path in dict.fromkeys(paths):
        if not os.path.isabs(path) or b"\0" in path or _changed(path) > started - _SETTLED_SECONDS:
            return
        fields += [path, _stamp(path)]
    file = _file()
    new = f"{file}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(new, "wb") as target:
            target.write(b"\0".join(fields))
        os.replace(new, file)
    except OSError:
        return  # a read-only cache: every listing looks again


def now() -> float:
    """Seconds since the epoch, as `remember` wants them."""
    return time.time()


def _stamp(path: bytes) -> bytes:
    """What changes with the thing at `path`: of a folder its entries, of a file its content and when it was read."""
    try:
        state = os.stat(path)
    except OSError:
        return b"-"
    if (state.st_mode & 0o170000) == 0o040000:
        return b"%d %d" % (state.st_ino, state.st_mtime_ns)
    return b"%d %d %d %d" % (state.st_ino, state.st_mtime_ns, state.st_size, state.st_atime_ns)


def _changed(path: bytes) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _key() -> bytes:
    values = [__version__, *(os.environ.get(name, "") for name in _VARIABLES)]
    return os.fsencode("\n".join(values))


def _file() -> str:
    return str(settings.cache_dir() / "listing")
