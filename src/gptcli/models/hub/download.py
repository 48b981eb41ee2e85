"""Download a file of the hub into the store: lock it, check the disk, download, verify, and only then publish it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from gptcli.errors import GptcliError, LoadError, ModelNotFound
from gptcli.models.hub import connections, part_file
from gptcli.models.hub.part_file import PartFile
from gptcli.models.hub.repository import HubFile, RemoteFile, check_names, latest_commit
from gptcli.models.hub.session import FileChanged, HubSession
from gptcli.models.progress import Report
from gptcli.models.store import integrity, store
from gptcli.models.store.integrity import Digest

PART = ".gptcli-part"
"""The suffix of incomplete files in `blobs/`."""
RESERVE = 32 << 20
"""Bytes of the disk that a download leaves to other programs."""


def download(
    repo: str, name: str, revision: str | None, *, sha256: str | None = None, size: int | None = None, report: Report
) -> Path:
    """Store `name` of `repo` at `revision` (None: `main`), verified; return its path.

    `sha256` and `size` are the expected ones, if known. A part that an earlier run left is completed, also after
    SIGKILL. Raises ModelNotFound, GatedError or OfflineError if the hub does not provide the file, GptcliError if the
    disk is full, LoadError if the content is wrong."""
    revision = revision or "main"
    check_names(repo, name, revision)
    session = HubSession()
    for _ in range(3):
        remote = HubFile(session, repo, name, revision)
        _check_expected(remote, sha256, size)
        try:
            path = _download(remote, sha256, report)
            if revision != remote.commit:
                store.write_ref(repo, revision, remote.commit)
            return path
        except FileChanged:
            report.note(f"{name} changed on {session.host} during the download; starting over.")
        except OSError as error:
            hint = "Set HF_HUB_CACHE to a writable folder, or repair this one."
            if error.errno == errno.ENAMETOOLONG:
                hint = "Set HF_HUB_CACHE to a folder of another file system, or one with a shorter path."
            message = f"{error.filename or store.repo_dir(repo)} cannot be written: {error.strerror or error}."
            raise GptcliError(message, hint) from error
    raise GptcliError(f"{name} keeps changing on {session.host} during the download.", "Try again later.")


def download_all(repo: str, files: Sequence[RemoteFile], revision: str | None, *, report: Report) -> list[Path]:
    """Store the files of a model; if there are several, of one commit, and only if all of them fit on the disk."""
    commit = revision
    if len(files) > 1:
        commit = latest_commit(repo, revision or "main")
        folder = store.repo_dir(repo) / "blobs"
        missing = [file for file in files if not (file.sha256 and (folder / file.sha256).is_file())]
        size = sum(file.size - _allocated(folder / f"{file.sha256}{PART}") for file in missing)
        _check_space(folder, size, "The model's parts need")
    paths = [download(repo, file.name, commit, sha256=file.sha256, size=file.size, report=report) for file in files]
    if commit is not None and revision != commit:
        store.write_ref(repo, revision or "main", commit)
    return paths


def _check_expected(remote: HubFile, sha256: str | None, size: int | None) -> None:
    differs = len(remote.etag) == 64 and sha256 is not None and remote.etag != sha256
    if differs or (size is not None and remote.size != size):
        raise ModelNotFound(
            f"{remote.host} has another file as {remote.name}: {remote.size} bytes with hash {remote.etag}; "
            f"expected were {size or 'any number of'} bytes with SHA-256 {sha256 or 'of any value'}.",
            "Nothing was downloaded.",
        )


def _download(remote: HubFile, expected: str | None, report: Report) -> Path:
    """Store `remote`, with as little work as the state of the store allows; `expected` is its SHA-256, if known."""
    pointer = store.snapshot_path(**remote.place)
    store.check_inside(pointer, remote.repo)
    digest = Digest(remote.etag, remote.size, expected).expected
    folder = store.repo_dir(remote.repo) / "blobs"
    part = folder / f"{digest}{PART}"
    if _is_stored(pointer, remote.size):
        part_file.delete(part)  # left by a kill between publishing the file and deleting its record
        return pointer
    if digest is None:
        raise LoadError(f"{remote.host} has no hash of {remote.name} to verify it by.", "Nothing was downloaded.")
    folder.mkdir(parents=True, exist_ok=True)
    with store.lock(remote.repo, digest, report):
        if len(digest) == 64 and _is_stored(folder / digest, remote.size):
            part_file.delete(part)
            return store.link(**remote.place, sha256=digest)
        if (folder / digest).exists():
            report.note(f"The stored {remote.name} is damaged; downloading it again.")
        for old in part_file.older_versions(folder, PART, remote.name, part):
            if not store.is_locked(remote.repo, old.name.removesuffix(PART)):
                part_file.delete(old)
        _check_space(folder, remote.size - _allocated(part), f"{remote.name} needs")
        return _complete(remote, part, expected, report)


def _complete(remote: HubFile, path: Path, expected: str | None, report: Report) -> Path:
    """Download, verify and publish; the caller holds the lock."""
    while True:
        digest = Digest(remote.etag, remote.size, expected)
        with PartFile(path, remote.size, remote.name) as part:
            kept = f", {part.kept / 1e6:.1f} MB already here" if part.kept else ""
            report.note(f"Downloading {remote.name} ({remote.size / 1e6:.1f} MB{kept}) from {remote.host}.")
            try:
                connections.download(remote, part, digest, report)
            except FileChanged:
                part.discard()
                raise
            if digest.matches:
                pointer = store.publish(path, **remote.place, sha256=digest.sha256)
                part.delete_record()
                return pointer
            part.discard()
        if not part.kept:
            raise LoadError(
                f"{remote.name} was damaged during the download from {remote.host}: "
                f"its SHA-256 is {digest.sha256}, not {digest.expected}.",
                "It was deleted. Try again; if this happens again, a proxy or a mirror changes the file.",
            )
        report.note(f"The earlier part of {remote.name} was damaged; starting over.")


def _is_stored(path: Path, size: int) -> bool:
    """Raises OSError if the name is too long for the file system, which is better known before a download."""
    try:
        return os.stat(path).st_size == size and not integrity.has_rotted(path)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _allocated(part: Path) -> int:
    """The bytes that `part`, a sparse file, takes on the disk."""
    if not part.exists():
        return 0
    status = part.stat()
    return min(status.st_size, getattr(status, "st_blocks", 0) * 512)


def _check_space(folder: Path, count: int, what: str) -> None:
    """Raise GptcliError unless `count` more bytes fit on the disk of `folder`."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if count > max(0, free - RESERVE):
        raise GptcliError(
            f"{what} {count / 1e6:.1f} MB more in {folder}, where {free / 1e6:.1f} MB are free "
            f"and {RESERVE / 1e6:.1f} MB of them are left to other programs.",
            "Free some space (`gptcli models rm` removes a model), or set HF_HUB_CACHE elsewhere.",
        )
