"""Which model files need no second look: their hash was right when gptcli stored them, or their structure is.

It remembers that by real path, size and time of change in one small file of the cache folder; a file that changed
in any of these, and every file when that list is lost, is a stranger again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from gptcli import settings

CHECKED = "checked"
"""The word for a file whose structure was checked, where others have the SHA-256 that was found right."""


def known(path: Path) -> str | None:
    """The SHA-256 that `path` was verified against, or `CHECKED`; None where it must be looked at."""
    real, now = state(path)
    stamp = _stamps().get(real)
    return str(stamp[2]) if stamp and list(stamp[:2]) == now else None


def remember(path: Path, how: str) -> None:
    """`path` as it is now was found right; `how` is its SHA-256 or `CHECKED`.

    Two processes that write at once may lose one stamp, which costs a later run one check.
    """
    real, now = state(path)
    stamps = {name: stamp for name, stamp in _stamps().items() if os.path.exists(name)}
    stamps[real] = [*now, how]
    file = _file()
    new = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(stamps), "utf-8")
        os.replace(new, file)
    except OSError:
        new.unlink(missing_ok=True)  # a read-only cache: every run looks again


def state(path: Path) -> tuple[str, list[int]]:
    """The real path of `path`, and the size and time of change by which a file is known to be the same."""
    real = os.path.realpath(path)
    status = os.stat(real)
    return real, [status.st_size, status.st_mtime_ns]


def _stamps() -> dict[str, list[int | str]]:
    try:
        stamps: dict[str, list[int | str]] = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _file() -> Path:
    return settings.cache_dir() / "verified.json"
