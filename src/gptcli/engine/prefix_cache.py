"""Computed prefixes that outlive the process: found by what they begin with, bounded in size, least used out first.

It knows files, token ids and times; what a state is, and whether one can be cut, is the engine's affair.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

from gptcli.engine import state_file as statefile
from gptcli.engine.prefix_restore import WORTHWHILE
from gptcli.engine.slots import common_prefix
from gptcli.engine.state_file import Damaged, SavedPrefix

LIMIT = 2 * 10**9
"""Bytes of all files together."""
_WASTE = 16
"""Tokens to be read for each that is gained, at most: reading costs 10 to 50 µs a token, computing at least 1,000."""
_SHOWN = 60
"""Characters of each end. Chats begin alike, so the end is what tells one from another."""
_SUFFIX = ".state"
_ABANDONED = 3600.0
"""Seconds after which a file that somebody began to write is nobody's any more."""


class PrefixCache:
    """The states of one kind of engine, in a folder that others use too, at the same time.

    A file is complete from the moment that it has its name, and nobody changes it after that; who has opened one reads
    all of it, though another throws it away. What is not as it should be is thrown away.
    """

    def __init__(self, folder: Path, key: str, model: str = "", limit: int = LIMIT) -> None:
        """`key` says all that a state depends on but its tokens, `model` is what people call it; `limit` in bytes."""
        self._folder = folder
        self._model = model
        self._limit = limit
        self._key = key
        self._names: list[str] | None = None
        self._known: dict[str, SavedPrefix] = {}

    def find(self, tokens: list[int], at_hand: int = 0, *, most: int, cuttable: int) -> SavedPrefix | None:
        """What shares the longest beginning with `tokens`, well more than are `at_hand`; of several the shortest.

        What has more than `most` tokens is passed over, and what has more than `cuttable` is of use only whole. One
        token at least is left to compute."""
        last = len(tokens) - 1
        best, longest = None, at_hand + WORTHWHILE - 1
        if last <= longest:
            return None
        for kept in self._alike(tokens):
            count = len(kept.tokens)
            shared = min(common_prefix(kept.tokens, tokens), last)
            if count > most or (count > cuttable and shared < count) or count > _WASTE * (shared - at_hand):
                continue
            if shared > longest or (best is not None and shared == longest and count < len(best.tokens)):
                best, longest = kept, shared
        return best

    @contextlib.contextmanager
    def take(self, kept: SavedPrefix) -> Iterator[memoryview | None]:
        """The state of one that was found; None where it is gone or damaged."""
        with contextlib.ExitStack() as stack:
            state = None
            try:
                state = stack.enter_context(statefile.open_state(kept.path))
            except (OSError, Damaged):
                self.discard(kept.path)
            else:
                with contextlib.suppress(OSError):  # a folder that may only be read
                    os.utime(kept.path)
            yield state

    def put(self, tokens: list[int], text: str, state: Callable[[], memoryview], *, cuttable: bool) -> None:
        """Keep a state, unless it is here; people are shown how its `text` begins and ends.

        `cuttable`: a longer one will do as well, and replaces the shorter. Raises OSError where there is no place."""
        if len(tokens) < WORTHWHILE:
            return
        alike = self._alike(tokens)
        for kept in alike:
            if kept.tokens == tokens or (cuttable and kept.tokens[: len(tokens)] == tokens):
                return
        data = state()
        if len(data) > self._limit:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_room(self._folder, self._limit - len(data))
        path = self._folder / f"{self._beginning(tokens)}{len(tokens)}-{_sum(tokens)}{_SUFFIX}"
        statefile.write(path, self._key, tokens, self._model, _glance(text), data)
        make_room(self._folder, self._limit)  # others may have written meanwhile
        self._names = None
        for kept in alike:
            if cuttable and tokens[: len(kept.tokens)] == kept.tokens:
                self.discard(kept.path)

    def discard(self, path: Path) -> None:
        """Throw one away."""
        self._known.pop(path.name, None)
        self._names = None
        with contextlib.suppress(OSError):
            path.unlink()

    def _alike(self, tokens: list[int]) -> list[SavedPrefix]:
        """Those that share as much with `tokens` as makes it worthwhile."""
        if self._names is None:
            try:
                self._names = [name for name in os.listdir(self._folder) if name.endswith(_SUFFIX)]
            except OSError:
                self._names = []
        if not self._names:
            return []
        beginning = self._beginning(tokens)
        found = [self._read(name) for name in self._names if name.startswith(beginning)]
        return [kept for kept in found if kept is not None]

    def _read(self, name: str) -> SavedPrefix | None:
        if name not in self._known:
            path = self._folder / name
            try:
                self._known[name] = statefile.read(path, self._key)
            except OSError:  # somebody threw it away
                return None
            except Damaged:
                self.discard(path)
                return None
        return self._known[name]

    def _beginning(self, tokens: list[int]) -> str:
        """How the names of all files begin that could be of use for `tokens`: nothing else is opened."""
        return f"{zlib.crc32(self._key.encode()):08x}-{_sum(tokens[:WORTHWHILE])}-"


def kept_in(folder: Path) -> list[SavedPrefix]:
    """All of a folder, of whatever engine, the last used first; their states are not looked at."""
    found = []
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError, Damaged):
            found.append(statefile.read(path))
    return sorted(found, key=lambda kept: -kept.used)


def clear(folder: Path) -> int:
    """Throw away all of a folder; returns how many bytes that were. Raises OSError."""
    size = 0
    for path in [*folder.glob(f"*{_SUFFIX}"), *folder.glob("*.tmp")]:
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
            path.unlink()
    return size


def make_room(folder: Path, limit: int) -> None:
    """Throw away what was used longest ago, until the others have `limit` bytes or less. Raises OSError."""
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


def _glance(text: str) -> str:
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]} … {text[-_SHOWN:]}"


def _sum(tokens: list[int]) -> str:
    """Enough for a name, for what is in the file is compared; hashlib would take 2 ms to import."""
    return f"{zlib.crc32(array('i', tokens)):08x}"
