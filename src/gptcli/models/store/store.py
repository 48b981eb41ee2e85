"""The model hub's cache on this machine: its layout, which other tools share, and its locks.

    models--USER--REPO/refs/main              the commit of `main` when it was last looked up
                       blobs/SHA256           the content
                       snapshots/COMMIT/FILE  a relative link to it; the content itself on systems without links

Source of the layout: huggingface_hub's guide "Understand caching".
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from gptcli import settings
from gptcli.errors import ModelNotFound
from gptcli.models.files import replace_text, temporary
from gptcli.models.progress import Report
from gptcli.models.store import integrity

_LOCK_SECONDS = 0.05
"""How long a lock is tried; huggingface_hub would not try it at all with 0."""


def repo_dir(repo: str) -> Path:
    """The folder of `USER/REPO`, whether it exists or not. Raises ModelNotFound for an invalid name."""
    parts = repo.split("/")
    if len(parts) > 2 or not all(map(_is_plain, parts)):
        raise ModelNotFound(f"{repo!r} is not a repository name.", "A repository is named USER/REPO.")
    return settings.hub_cache_dir() / "--".join(["models", *parts])


def snapshot_path(repo: str, commit: str, filename: str) -> Path:
    """The path of `filename` of `commit`. Raises ModelNotFound for unsafe names (`..`, absolute, NUL)."""
    parts = PurePosixPath(filename).parts
    if not (_is_plain(commit) and parts and all(map(_is_plain, filename.split("/")))):
        raise ModelNotFound(f"{filename!r} is not the name of a file in a repository.")
    return repo_dir(repo).joinpath("snapshots", commit, *parts)


def commit_of(repo: str, revision: str = "main") -> str | None:
    """The commit of that branch, tag or commit when it was last looked up."""
    if len(revision) == 40 and set(revision) <= set("0123456789abcdef"):
        return revision
    if not all(map(_is_plain, revision.split("/"))):
        return None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        commit = (repo_dir(repo) / "refs" / revision).read_text("ascii").strip()
        return commit if _is_plain(commit) else None
    return None


def commits(repo: str) -> list[str]:
    """The commits with stored files: `main` first, then the newest."""
    main = commit_of(repo)
    folders = [path for path in (repo_dir(repo) / "snapshots").glob("*") if path.is_dir()]
    folders.sort(key=lambda path: (path.name != main, -path.stat().st_mtime_ns, path.name))
    return [path.name for path in folders]


def find(repo: str, filename: str, *, commit: str | None = None, sha256: str | None = None) -> Path | None:
    """The stored file of `commit`, else the one with that `sha256` of any commit; with neither, the newest."""
    if commit is not None and (path := snapshot_path(repo, commit, filename)).is_file():
        return path
    if commit is not None and sha256 is None:
        return None
    paths = (snapshot_path(repo, other, filename) for other in commits(repo))
    return next((path for path in paths if path.is_file() and sha256 in (None, blob_name(path))), None)


def files(repo: str, commit: str) -> list[str]:
    """The names of the stored GGUF files of `commit`."""
    root = repo_dir(repo) / "snapshots" / commit
    paths = (path.relative_to(root) for path in root.rglob("*.gguf") if path.is_file())
    return sorted(path.as_posix() for path in paths if all(map(_is_plain, path.parts)))


def blob_name(path: Path) -> str | None:
    """The name of the blob that a snapshot's link points to; None if it is not a link."""
    return path.readlink().name if path.is_symlink() else None


def blob_path(repo: str, sha256: str) -> Path:
    """The path of the content with that hash; its folder is created."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ModelNotFound(f"{sha256!r} is not a SHA-256.")
    folder = repo_dir(repo) / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / sha256


def publish(part: Path, *, repo: str, commit: str, filename: str, sha256: str) -> Path:
    """Move `part`, a complete and verified file in `blobs/`, to its final name; return the path of its snapshot.

    Every step is atomic: after a kill between any two, the next run finds a complete file or none. An existing
    `refs/main` is left alone.
    """
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, blob_path(repo, sha256))
    pointer = link(repo=repo, commit=commit, filename=filename, sha256=sha256)
    integrity.record(pointer, sha256)
    return pointer


def link(*, repo: str, commit: str, filename: str, sha256: str) -> Path:
    """Make `filename` of `commit` a link to the stored content with that hash; return its path."""
    pointer = snapshot_path(repo, commit, filename)
    check_inside(pointer, repo)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    blob = blob_path(repo, sha256)
    if not (pointer.exists() and blob_name(pointer) == blob.name):
        new = temporary(pointer.parent)
        try:
            os.symlink(os.path.relpath(blob, pointer.parent), new)
        except (OSError, NotImplementedError):  # Windows without the privilege, or a file system without links
            os.replace(blob, pointer)
        else:
            os.replace(new, pointer)
    if not (repo_dir(repo) / "refs" / "main").exists():
        write_ref(repo, "main", commit)
    return pointer


def check_inside(pointer: Path, repo: str) -> None:
    """Raise ModelNotFound if a link above `pointer` leads out of the repository's folder."""
    if not pointer.parent.resolve().is_relative_to(repo_dir(repo).resolve()):
        raise ModelNotFound(f"{pointer.parent} leads out of the model cache.", "Remove that link and try again.")


@contextmanager
def lock(repo: str, digest: str, report: Report) -> Iterator[None]:
    """Hold huggingface_hub's own lock for downloading the content `digest` of `repo`.

    Its downloads and ours wait for each other; the kernel frees the lock if its holder dies.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(_file_lock(repo, digest, _LOCK_SECONDS))
        except TimeoutError:
            report.note("Another process is downloading the same file; waiting for it.")
            stack.enter_context(_file_lock(repo, digest, None))
        yield


def is_locked(repo: str, digest: str) -> bool:
    """Whether another process is downloading that content now."""
    try:
        with _file_lock(repo, digest, _LOCK_SECONDS):
            return False
    except TimeoutError:
        return True


def write_ref(repo: str, revision: str, commit: str) -> None:
    """Note that `revision` of `repo` is `commit` now."""
    replace_text(repo_dir(repo).joinpath("refs", *revision.split("/")), commit)


def _file_lock(repo: str, digest: str, seconds: float | None) -> AbstractContextManager[object]:
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    path = settings.hub_cache_dir() / ".locks" / repo_dir(repo).name / f"{digest}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return WeakFileLock(path, timeout=seconds)


def _is_plain(name: str) -> bool:
    """Whether `name` is a single path component on every system."""
    return name not in {"", ".", ".."} and not set(name) & set("/\\:\0")
