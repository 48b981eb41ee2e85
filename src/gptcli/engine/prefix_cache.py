"""The prefix cache: computed prefixes on disk, limited in size. The least recently used are evicted."""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from array import array
from collections.abc import Callable
from pathlib import Path

from gptcli.engine import state_file
from gptcli.engine.slots import MIN_PREFIX, common_prefix
from gptcli.engine.state_file import Damaged, SavedPrefix

LIMIT = 2 * 10**9
"""Bytes of all files together."""
_MAX_READ = 16
"""Tokens read for each one gained, at most: reading costs 10 to 50 µs a token, computing at least 1,000."""
_SHOWN = 60
"""Characters of each end. Chats begin alike, so the end is what tells one from another."""
_SUFFIX = ".state"
_ABANDONED = 3600.0
"""Seconds after which an incomplete file is abandoned."""


class PrefixCache:
    """The states of one engine, in a folder that other engines and processes use at the same time.

    A file is complete from the moment it has its name, and never changes; a process that has opened one can read all of
    it although another deletes it. Damaged files are deleted."""

    def __init__(self, folder: Path, key: str, model: str = "", limit: int = LIMIT) -> None:
        """`key`: all that a state depends on except its tokens; `model`: the name that users see; `limit`: bytes."""
        self._folder = folder
        self._model = model
        self._limit = limit
        self._key = key
        self._names: list[str] | None = None
        self._known: dict[str, SavedPrefix] = {}

    def find(self, tokens: list[int], available: int = 0, *, most: int, cuttable: int) -> SavedPrefix | None:
        """The saved prefix that shares most with `tokens`, well more than `available`; the shortest of several.

        One with more than `most` tokens is skipped, and one with more than `cuttable` is of use only whole. At least
        one token is left to compute."""
        last = len(tokens) - 1
        best, longest = None, available + MIN_PREFIX - 1
        if last <= longest:
            return None
        for saved in self._candidates(tokens):
            count = len(saved.tokens)
            shared = min(common_prefix(saved.tokens, tokens), last)
            if count > most or (count > cuttable and shared < count) or count > _MAX_READ * (shared - available):
                continue
            if shared > longest or (best is not None and shared == longest and count < len(best.tokens)):
                best, longest = saved, shared
        return best

    def restore(self, saved: SavedPrefix, put: Callable[[memoryview], bool]) -> bool:
        """Let `put` restore a saved state. If it is damaged, or `put` cannot use it, the file is deleted."""
        with contextlib.suppress(OSError, Damaged), state_file.open_state(saved.path) as state:
            if put(state):
                with contextlib.suppress(OSError):  # a read-only folder
                    os.utime(saved.path)
                return True
        self.delete(saved.path)
        return False

    def save(self, tokens: list[int], text: str, state: Callable[[], memoryview], *, cuttable: bool) -> None:
        """Save a state, unless it is saved already; the user is shown how its `text` begins and ends.

        `cuttable`: a longer prefix serves as well, and replaces the shorter. Raises OSError."""
        if len(tokens) < MIN_PREFIX:
            return
        candidates = self._candidates(tokens)
        for saved in candidates:
            if saved.tokens == tokens or (cuttable and saved.tokens[: len(tokens)] == tokens):
                return
        data = state()
        if len(data) > self._limit:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _evict(self._folder, self._limit - len(data))
        path = self._folder / f"{self._name_start(tokens)}{len(tokens)}-{_checksum(tokens)}{_SUFFIX}"
        state_file.write(path, self._key, tokens, self._model, _excerpt(text), data)
        _evict(self._folder, self._limit)  # another process may have written meanwhile
        self._names = None
        for saved in candidates:
            if cuttable and tokens[: len(saved.tokens)] == saved.tokens:
                self.delete(saved.path)

    def delete(self, path: Path) -> None:
        """Delete a file, if it is still there."""
        self._known.pop(path.name, None)
        self._names = None
        with contextlib.suppress(OSError):
            path.unlink()

    def _candidates(self, tokens: list[int]) -> list[SavedPrefix]:
        """The saved prefixes that share enough with `tokens` to be of use."""
        if self._names is None:
            self._names = [path.name for path in self._folder.glob(f"*{_SUFFIX}")]
        start = self._name_start(tokens)
        found = [self._read(name) for name in self._names if name.startswith(start)]
        return [saved for saved in found if saved is not None]

    def _read(self, name: str) -> SavedPrefix | None:
        if name not in self._known:
            path = self._folder / name
            try:
                self._known[name] = state_file.read(path, self._key)
            except OSError:  # another process has deleted it
                return None
            except Damaged:
                self.delete(path)
                return None
        return self._known[name]

    def _name_start(self, tokens: list[int]) -> str:
        """The start of the name of every file that could be of use for `tokens`; no other file is opened."""
        return f"{zlib.crc32(self._key.encode()):08x}-{_checksum(tokens[:MIN_PREFIX])}-"


def list_prefixes(folder: Path) -> list[SavedPrefix]:
    """All saved prefixes of all engines, the most recently used first; their states are not read."""
    found = []
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError, Damaged):
            found.append(state_file.read(path))
    return sorted(found, key=lambda saved: -saved.used)


def delete_prefixes(folder: Path) -> int:
    """Delete all files of the cache; returns how many bytes they had. Raises OSError."""
    size = 0
    for path in [*folder.glob(f"*{_SUFFIX}"), *folder.glob("*.tmp")]:
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
            path.unlink()
    return size


def _evict(folder: Path, limit: int) -> None:
    """Delete the least recently used files until the others have at most `limit` bytes. Raises OSError."""
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat()
                files.append((status.st_mtime, status.st_size, entry.path))
    total = sum(size for _, size, _ in files)
    abandoned = time.time() - _ABANDONED
    for used, size, path in sorted(files):
        if total > limit if path.endswith(_SUFFIX) else used < abandoned:
            with contextlib.suppress(OSError):
                os.unlink(path)
                total -= size


def _excerpt(text: str) -> str:
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]} … {text[-_SHOWN:]}"


def _checksum(tokens: list[int]) -> str:
    """Enough for a name, because the contents are compared; importing hashlib would take 2 ms."""
    return f"{zlib.crc32(array('i', tokens)):08x}"
