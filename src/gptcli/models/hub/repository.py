"""Repositories on the model hub: search, list their files, and read a file from wherever the hub keeps it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gptcli.errors import ModelNotFound, OfflineError
from gptcli.models.hub.session import FileChanged, HubSession, Interrupted, retry_after
from gptcli.models.refs import reference
from gptcli.models.store.integrity import SHA256

if TYPE_CHECKING:
    from httpx2 import Response

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_LINK_EXPIRED = {401, 403, 404, 410, 416}
"""A CDN's status for a signed link that is too old, or a file that has shrunk; the hub gives a new link."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a repository: its bytes, and its SHA-256 if it is in large-file storage."""

    name: str
    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A search result; `files` are the names of its GGUF files."""

    repo: str
    downloads: int
    gated: bool
    files: tuple[str, ...]
    architecture: str | None
    parameters: int | None


def latest_commit(repo: str, revision: str = "main") -> str:
    """The commit of `revision` now. Raises ModelNotFound, GatedError, OfflineError."""
    commit = _info(repo, revision).get("sha")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise OfflineError("The hub names no commit.", "Check HF_ENDPOINT: it must be a model hub.")
    return commit


def list_files(repo: str, revision: str | None = None) -> list[RemoteFile]:
    """The files of `repo` with valid names, in the hub's order. Raises ModelNotFound, GatedError, OfflineError."""
    files, rejected = [], []
    for item in _dicts(_info(repo, revision or "main", blobs="true").get("siblings")):
        name, size, lfs = item.get("rfilename"), item.get("size"), item.get("lfs")
        sha256 = str(lfs.get("sha256")) if isinstance(lfs, dict) else ""
        if isinstance(size, int) and reference.is_filename(name):
            files.append(RemoteFile(name, size, sha256 if SHA256.fullmatch(sha256) else None))
        elif isinstance(name, str) and name.endswith(".gguf"):
            rejected.append(name)
    if rejected and not any(file.name.endswith(".gguf") for file in files):
        raise ModelNotFound(
            f"The names of the {len(rejected)} GGUF files in {repo} are not valid, such as {rejected[0][:80]!a}.",
            "Names that lead out of a folder, control a terminal or exceed 255 bytes are not downloaded.",
        )
    return files


def search(words: str, *, limit: int = 20) -> list[Found]:
    """Repositories with GGUF files that match `words`, the most downloaded first. Raises OfflineError."""
    query: dict[str, Any] = {"search": words, "filter": "gguf", "sort": "downloads", "limit": limit}
    answer = HubSession().json("/api/models", words, **query, expand=["siblings", "downloads", "gated", "gguf"])
    return [_found(item) for item in _dicts(answer) if reference.is_repo(str(item.get("id")))]


def check_names(repo: str, filename: str, revision: str) -> None:
    """Raise ModelNotFound for names that could lead out of the cache or control the terminal."""
    if not reference.is_repo(repo):
        raise ModelNotFound(f"{repo!r} is not a repository name.", "A repository is named USER/REPO.")
    for name, kind in ((filename, "the name of a file in a repository"), (revision, "a branch, tag or commit")):
        if not reference.is_filename(name):
            raise ModelNotFound(f"{name!r} is not {kind}.")


class HubFile:
    """One file at one commit, read in ranges from several threads."""

    def __init__(self, session: HubSession, repo: str, name: str, revision: str) -> None:
        """Look the file up. Raises ModelNotFound, GatedError, OfflineError."""
        self.repo, self.name, self.host = repo, name, session.host
        self.ranges = True
        """False once the server has ignored a range and sent the whole file."""
        self._session = session
        self._lock = threading.Lock()
        self.etag, self.size, self.commit, self._url = self._look_up(revision)
        self.place = {"repo": repo, "commit": self.commit, "filename": name}
        # The hub's etag is a validator for the hub only; a CDN has its own, in its responses.
        self._validator = f'"{self.etag}"' if self._url == session.endpoint + self._path(self.commit) else None

    @contextmanager
    def read(self, start: int, stop: int) -> Iterator[Iterator[bytes]]:
        """Bytes [start, stop), in chunks. Raises Interrupted, FileChanged or a GptcliError."""
        url, validator = self._url, self._validator
        headers = {"range": f"bytes={start}-{stop - 1}"}
        if validator:
            headers["if-range"] = validator
        with self._session.stream(url, headers) as response:
            status, etag = response.status_code, response.headers.get("etag")
            strong = etag if etag and etag.startswith('"') else None  # a weak one is invalid in If-Range (RFC 9110)
            if status == 206:
                self._check_range(response, start)
                self._validator = validator or strong
                yield response.iter_raw()
            elif status == 200 and validator in {None, strong}:
                self._check_size(response.headers.get("content-length", ""))
                self.ranges = start == 0 and stop == self.size
                yield _skip(response.iter_raw(), start)
            elif status == 200:
                self._validator = None  # another file, or the same from a server with other etags
                self._renew_link(url)
                raise Interrupted("the file may have changed", 0.0)
            else:
                if status in _LINK_EXPIRED:
                    self._renew_link(url)
                host = response.request.url.host
                raise Interrupted(f"{host} responded with status {status}", retry_after(response.headers))

    def _check_range(self, response: Response, start: int) -> None:
        unit, _, rest = response.headers.get("content-range", "").partition(" ")
        span, _, total = rest.partition("/")
        if total != "*":
            self._check_size(total)
        if unit.lower() != "bytes" or span.partition("-")[0] != str(start):
            raise Interrupted("the response has another range")

    def _check_size(self, size: str) -> None:
        if size.isdigit() and int(size) != self.size:
            raise FileChanged

    def _renew_link(self, failed: str) -> None:
        """Get a new link unless another connection did; FileChanged if the hub has another file by now."""
        with self._lock:
            if self._url != failed:
                return
            etag, size, _, self._url = self._look_up(self.commit)
            if (etag, size) != (self.etag, self.size):
                raise FileChanged

    def _look_up(self, revision: str) -> tuple[str, int, str, str]:
        """The file's etag, size, commit and URL."""
        path = self._path(revision)
        url, headers = self._session.head(path, self.repo)
        etag = (headers.get("x-linked-etag") or headers.get("etag") or "").removeprefix("W/").strip('"')
        size = headers.get("x-linked-size") or headers.get("content-length") or ""
        commit = headers.get("x-repo-commit", "")
        if not (_ETAG.fullmatch(etag) and size.isdigit() and _COMMIT.fullmatch(commit)):
            raise OfflineError(
                f"{self.host} does not name the commit, hash and size of {self.name}.",
                "Check HF_ENDPOINT: it must be a model hub or a full mirror of one.",
            )
        if url == self._session.endpoint + path:
            url = self._session.endpoint + self._path(commit)  # a branch may move during the download
        return etag, int(size), commit, url

    def _path(self, revision: str) -> str:
        return f"/{self.repo}/resolve/{quote(revision, safe='')}/{quote(self.name)}"


def _info(repo: str, revision: str, **parameters: str) -> dict[str, Any]:
    check_names(repo, "x", revision)
    answer = HubSession().json(f"/api/models/{repo}/revision/{quote(revision, safe='')}", repo, **parameters)
    return answer if isinstance(answer, dict) else {}


def _found(item: dict[str, Any]) -> Found:
    """A search result with every field checked, safe to print."""
    downloads, gguf = item.get("downloads"), item.get("gguf")
    header = gguf if isinstance(gguf, dict) else {}
    architecture, parameters = header.get("architecture"), header.get("total")
    names = (sibling.get("rfilename") for sibling in _dicts(item.get("siblings")))
    return Found(
        repo=str(item["id"]),
        downloads=downloads if isinstance(downloads, int) else 0,
        gated=bool(item.get("gated")),
        files=tuple(name for name in names if reference.is_filename(name) and name.lower().endswith(".gguf")),
        architecture=architecture if isinstance(architecture, str) and architecture.isprintable() else None,
        parameters=parameters if isinstance(parameters, int) else None,
    )


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _skip(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """All but the first `count` bytes."""
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:]
        count = max(0, count - len(chunk))
