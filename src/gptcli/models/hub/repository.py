"""The model hub as the rest of gptcli sees it: what it has, and `fetch`, which puts one of its files into the store.

It knows the order of the steps and says what happens; talking HTTP, moving bytes, hashing and the layout of
the store are its neighbours'.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import quote

from gptcli.errors import GptcliError, ModelNotFound, OfflineError
from gptcli.models.hub.download import PART, arrive, kept, need_room
from gptcli.models.hub.file import COMMIT, HubFile
from gptcli.models.hub.session import HubSession
from gptcli.models.hub.transfer import Changed
from gptcli.models.refs import reference
from gptcli.models.report import Report
from gptcli.models.store import store
from gptcli.models.store.content import SHA256


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a repository: its bytes, and its SHA-256 where it is in large-file storage."""

    name: str
    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A repository that a search found."""

    repo: str
    downloads: int
    gated: bool
    files: tuple[str, ...]
    """The names of its GGUF files."""
    architecture: str | None
    parameters: int | None


def latest_commit(repo: str, revision: str = "main") -> str:
    """The commit that `revision` of `repo` is now. ModelNotFound, GatedError, OfflineError."""
    return _commit(_about(HubSession(), repo, revision))


def list_files(repo: str, revision: str | None = None) -> list[RemoteFile]:
    """Every file of `repo` whose name can be stored, in the hub's order. ModelNotFound, GatedError, OfflineError."""
    files = []
    for item in _dicts(_about(HubSession(), repo, revision or "main", blobs="true").get("siblings")):
        name, size, lfs = item.get("rfilename"), item.get("size"), item.get("lfs")
        sha256 = str(lfs.get("sha256")) if isinstance(lfs, dict) else ""
        if isinstance(size, int) and _is_file(name):
            files.append(RemoteFile(name, size, sha256 if SHA256.fullmatch(sha256) else None))
    return files


def search(words: str, *, limit: int = 20) -> list[Found]:
    """Repositories with GGUF files that match `words`, the most downloaded first. OfflineError."""
    fields = ["siblings", "downloads", "gated", "gguf"]
    answer = HubSession().json(
        "/api/models", words, search=words, filter="gguf", sort="downloads", limit=limit, expand=fields
    )
    return [_found(item) for item in _dicts(answer) if reference.is_repo(str(item.get("id")))]


def fetch(
    repo: str,
    filename: str,
    revision: str | None,
    *,
    expected_sha256: str | None = None,
    expected_size: int | None = None,
    report: Report,
) -> Path:
    """Store `filename` of `repo` at `revision` (None: `main`), verified; return the path under which it is found.

    The hub is asked once, and retried only if it was there. What an earlier run brought is kept and
    completed, also after SIGKILL. ModelNotFound, GatedError or OfflineError where the hub does not give it,
    GptcliError on a full disk, LoadError where what came is not what was promised.
    """
    _check_names(repo, filename, revision or "main")
    session = HubSession()
    for _ in range(3):
        remote = HubFile(session, repo, filename, revision or "main")
        _check_promise(remote, session.host, expected_sha256, expected_size)
        try:
            path = arrive(remote, expected_sha256, session.host, report)
            _move_reference(repo, revision or "main", remote.commit)
            return path
        except Changed:
            report.note(f"{filename} changed on {session.host} while it was fetched; starting over.")
        except OSError as error:
            raise GptcliError(
                f"{error.filename or store.repo_dir(repo)} cannot be written: {error.strerror or error}.",
                "Set HF_HUB_CACHE to a folder that can, or mend this one.",
            ) from error
    raise GptcliError(f"{filename} changes on {session.host} faster than it can be fetched.", "Try again later.")


def fetch_all(repo: str, files: Sequence[RemoteFile], revision: str | None, *, report: Report) -> list[Path]:
    """Store all parts of a split model, of one commit, or say before the first byte that there is no room."""
    session = HubSession()
    commit = _commit(_about(session, repo, revision or "main"))
    folder = store.repo_dir(repo) / "blobs"
    missing = [file for file in files if not (file.sha256 and (folder / file.sha256).is_file())]
    need_room(
        folder,
        sum(file.size - kept(folder / f"{file.sha256}{PART}") for file in missing),
        "the model's parts",
    )
    paths = [
        fetch(repo, file.name, commit, expected_sha256=file.sha256, expected_size=file.size, report=report)
        for file in files
    ]
    _move_reference(repo, revision or "main", commit)
    return paths


def _about(session: HubSession, repo: str, revision: str, **parameters: str) -> dict[str, Any]:
    _check_names(repo, "x", revision)
    answer = session.json(f"/api/models/{repo}/revision/{quote(revision, safe='')}", repo, **parameters)
    return answer if isinstance(answer, dict) else {}


def _commit(about: dict[str, Any]) -> str:
    commit = about.get("sha")
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise OfflineError("The hub does not say which commit it has.", "Check HF_ENDPOINT: it must be a model hub.")
    return commit


def _found(item: dict[str, Any]) -> Found:
    """Whatever the hub sends, in the types that were promised, and fit to be shown."""
    downloads, gguf = item.get("downloads"), item.get("gguf")
    header = gguf if isinstance(gguf, dict) else {}
    architecture, parameters = header.get("architecture"), header.get("total")
    names = (sibling.get("rfilename") for sibling in _dicts(item.get("siblings")))
    return Found(
        repo=str(item["id"]),
        downloads=downloads if isinstance(downloads, int) else 0,
        gated=bool(item.get("gated")),
        files=tuple(name for name in names if _is_file(name) and name.lower().endswith(".gguf")),
        architecture=architecture if isinstance(architecture, str) and architecture.isprintable() else None,
        parameters=parameters if isinstance(parameters, int) else None,
    )


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _check_names(repo: str, filename: str, revision: str) -> None:
    """ModelNotFound for names that could lead out of the store's folder, or that no terminal should show."""
    if not reference.is_repo(repo):
        raise ModelNotFound(f"{repo!r} is no repository name.", "A repository is named USER/REPO.")
    if not _is_file(filename):
        raise ModelNotFound(f"{filename!r} is no file name inside a repository.")
    if not _is_file(revision):
        raise ModelNotFound(f"{revision!r} is no branch, tag or commit.")


def _is_file(name: object) -> TypeGuard[str]:
    if not isinstance(name, str) or not name.isprintable():
        return False
    return all(step not in {"", ".", ".."} and not set(step) & set("\\:") for step in name.split("/"))


def _check_promise(remote: HubFile, host: str, sha256: str | None, size: int | None) -> None:
    other = len(remote.etag) == 64 and sha256 is not None and remote.etag != sha256
    if other or (size is not None and remote.size != size):
        raise ModelNotFound(
            f"{host} has another file as {remote.name}: {remote.size} bytes with hash {remote.etag}, "
            f"where {size or 'any number of'} bytes with SHA-256 {sha256 or 'of any value'} were expected.",
            "Nothing was fetched.",
        )


def _move_reference(repo: str, revision: str, commit: str) -> None:
    """Note that the hub's `revision` is `commit` now, for whoever looks without a network."""
    if revision == commit:
        return
    path = store.repo_dir(repo).joinpath("refs", *revision.split("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    new.write_text(commit, "ascii")
    os.replace(new, path)
