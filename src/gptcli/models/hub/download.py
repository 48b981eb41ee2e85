"""A file of the hub comes into the store: locked, with room for it, transferred, verified, and only then named.

It knows the order of these steps and what to say of each; every step itself is a neighbour's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from gptcli.errors import GptcliError, LoadError
from gptcli.models.hub import part_file as partfile
from gptcli.models.hub.file import HubFile
from gptcli.models.hub.part_file import PartFile
from gptcli.models.hub.transfer import Changed, transfer
from gptcli.models.report import Report
from gptcli.models.store import store
from gptcli.models.store.content import Content
from gptcli.models.store.lock import held, is_free

PART = ".gptcli-part"
"""What the name of a file in `blobs/` ends with while it is not whole."""

RESERVE = 32 << 20
"""Bytes of a disk that a download leaves alone, so that the other programs on it live on."""


def arrive(remote: HubFile, expected: str | None, host: str, report: Report) -> Path:
    """Have `remote` in the store, by as little work as its state there allows; return where it is found.

    `expected` is its SHA-256, if it is known from elsewhere. Raises what `transfer` does, LoadError where the bytes
    are not those that were promised, GptcliError where there is no room, OSError.
    """
    place = {"repo": remote.repo, "commit": remote.commit, "filename": remote.name}
    pointer = store.snapshot_path(**place)
    store.check_inside(pointer, remote.repo)
    if _whole(pointer, remote.size):
        return pointer
    known = Content(remote.etag, remote.size, expected).promised
    if known is None:
        raise LoadError(
            f"{host} gives no hash of {remote.name}, so that it could not be verified.",
            "Nothing was fetched.",
        )
    folder = store.repo_dir(remote.repo) / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{known}{PART}"
    with held(remote.repo, known, report):
        if len(known) == 64 and _whole(folder / known, remote.size):
            partfile.delete(part)  # a kill came between the file's new name and the end of its record
            return store.link(**place, sha256=known)
        for old in partfile.abandoned(folder, PART, remote.name, part):
            if is_free(remote.repo, old.name.removesuffix(PART)):
                partfile.delete(old)
        need_room(folder, remote.size - kept(part), remote.name)
        return _bring(remote, part, expected, host, report)


def _bring(remote: HubFile, path: Path, expected: str | None, host: str, report: Report) -> Path:
    """Transfer, verify and publish; the caller holds the lock."""
    while True:
        content = Content(remote.etag, remote.size, expected)
        with PartFile(path, remote.size, remote.name) as part:
            here = f", {part.kept / 1e6:.1f} MB of it are here" if part.kept else ""
            report.note(f"Fetching {remote.name} ({remote.size / 1e6:.1f} MB{here}) from {host}.")
            try:
                transfer(remote, part, content, report, remote.name.rpartition("/")[2])
            except Changed:
                part.discard()
                raise
            if content.right:
                pointer = store.publish(
                    path, repo=remote.repo, commit=remote.commit, filename=remote.name, sha256=content.sha256
                )
                part.forget()
                return pointer
            part.discard()
        if not part.kept:
            raise LoadError(
                f"{remote.name} arrived damaged from {host}: its SHA-256 is {content.sha256}, not {content.promised}.",
                "It was not kept. Try again; if it happens again, a proxy or a mirror in between alters it.",
            )
        report.note(f"What an earlier run left of {remote.name} was damaged; starting over.")


def _whole(path: Path, size: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def kept(part: Path) -> int:
    """Bytes that `part` already takes on the disk (it is sparse)."""
    try:
        status = part.stat()
    except OSError:
        return 0
    return min(status.st_size, getattr(status, "st_blocks", 0) * 512)


def need_room(folder: Path, count: int, what: str) -> None:
    """GptcliError, with the numbers, unless `count` bytes more fit on the disk of `folder`."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if count > max(0, free - RESERVE):
        raise GptcliError(
            f"{what} needs {count / 1e6:.1f} MB more in {folder}, where {free / 1e6:.1f} MB are free.",
            "Free some space (`gptcli models rm` removes a model), or set HF_HUB_CACHE elsewhere.",
        )
