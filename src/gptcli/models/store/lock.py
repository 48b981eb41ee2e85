"""One process at a time fetches one content: the lock file for it in the hub's cache.

It is the very lock that huggingface_hub takes, so that its downloads and ours wait for each other; it knows
nothing of what is done under it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gptcli import settings
from gptcli.models.report import Report
from gptcli.models.store import store

_AT_ONCE = 0.05
"""Seconds; with 0 the lock would not be tried at all."""


@contextmanager
def held(repo: str, digest: str, report: Report) -> Iterator[None]:
    """Wait for the lock of `digest` in `repo`, saying so, and hold it; the kernel frees it if its holder dies."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    path = _path(repo, digest)
    try:
        lock = WeakFileLock(path, timeout=_AT_ONCE)
        lock.__enter__()
    except TimeoutError:
        report.note("Another process is fetching the same file; waiting for it.")
        lock = WeakFileLock(path)
        lock.__enter__()
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def is_free(repo: str, digest: str) -> bool:
    """Whether nobody is fetching that content now."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    try:
        with WeakFileLock(_path(repo, digest), timeout=_AT_ONCE):
            return True
    except TimeoutError:
        return False


def _path(repo: str, digest: str) -> Path:
    path = settings.hub_cache_dir() / ".locks" / store.repo_dir(repo).name / f"{digest}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
