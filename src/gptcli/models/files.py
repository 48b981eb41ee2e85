"""Files of the store: small ones are replaced whole, so that a kill or a full disk leaves the old one."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from pathlib import Path
from typing import Any

_numbers = itertools.count()


def temporary(folder: Path) -> Path:
    """A new name in `folder`: short, because a model's own name may be as long as the file system allows."""
    return folder / f".gptcli-{os.getpid()}-{next(_numbers)}"


def replace_text(path: Path, text: str, beside: Path | None = None) -> None:
    """Replace the content of `path`, atomically. Raises OSError, and leaves the old content then.

    The new content is written in the folder `beside`, by default that of `path`.
    """
    new = temporary(beside or path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, "utf-8")
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def open_without_atime(path: str, flags: int) -> int:
    """An opener that does not change the access time, which `models list` shows as the last use."""
    with contextlib.suppress(PermissionError, AttributeError):  # another user's file; a system without the flag
        return os.open(path, flags | os.O_NOATIME)
    return os.open(path, flags)


def read_cache(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty if there is none."""
    with contextlib.suppress(OSError, ValueError):
        document = json.loads(path.read_bytes())
        if isinstance(document, dict):
            return document
    return {}


def write_cache(path: Path, document: dict[str, Any]) -> None:
    """Keep `document` for `read_cache`, except in a read-only folder, where every run computes it again."""
    with contextlib.suppress(OSError):
        replace_text(path, json.dumps(document))
