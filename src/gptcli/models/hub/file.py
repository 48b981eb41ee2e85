"""One file on the hub, at one commit: what it is, and its bytes from wherever the hub sends one for them.

It knows the hub's headers, ranges and validators; where the bytes go on this machine is none of its business.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from gptcli.errors import OfflineError
from gptcli.models.hub.session import HubSession
from gptcli.models.hub.transfer import Changed, Interrupted

if TYPE_CHECKING:
    from httpx2 import Response

COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_GONE = {401, 403, 404, 410, 416}
"""What a content network says when a signed link is too old, or the file has shrunk: the hub must be asked again."""


class HubFile:
    """A `transfer.Sender` for one file. Its commit stays what it was when the hub was first asked."""

    def __init__(self, session: HubSession, repo: str, name: str, revision: str) -> None:
        """Ask the hub. ModelNotFound, GatedError, OfflineError."""
        self.repo = repo
        self.name = name
        self.ranges = True
        self._session = session
        self._lock = threading.Lock()
        self.etag, self.size, self.commit, self._url = self._asked(revision)
        # Only the hub itself uses its etag as the validator; a content network has one of its own, seen in
        # its answers.
        self._validator = f'"{self.etag}"' if self._url == session.endpoint + self._path(self.commit) else None

    @contextmanager
    def read(self, start: int, stop: int) -> Iterator[Iterator[bytes]]:
        url, validator = self._url, self._validator
        headers = {"range": f"bytes={start}-{stop - 1}"}
        if validator:
            headers["if-range"] = validator
        with self._session.stream(url, headers) as response:
            if response.status_code == 206:
                self._check(response, start)
                self._validator = validator or _strong(response)
                yield response.iter_raw()
            elif response.status_code == 200 and validator in {None, _strong(response)}:
                self._check_size(response.headers.get("content-length", ""))
                self.ranges = start == 0 and stop == self.size
                yield _without(response.iter_raw(), start)
            elif response.status_code == 200:
                self._validator = None  # another file; or the same from a server that names it otherwise
                self._ask_again(url)
                raise Interrupted("the file may have changed", 0.0)
            elif response.status_code in _GONE:
                self._ask_again(url)
                raise self._session.interruption(response)
            else:
                raise self._session.interruption(response)

    def _check(self, response: Response, start: int) -> None:
        """That a partial answer is the part that was asked for, of a file that is as large as ours."""
        unit, _, rest = response.headers.get("content-range", "").partition(" ")
        span, _, total = rest.partition("/")
        if total != "*":
            self._check_size(total)
        if unit.lower() != "bytes" or span.partition("-")[0] != str(start):
            raise Interrupted("an answer has not the bytes that were asked for")

    def _check_size(self, size: str) -> None:
        if size.isdigit() and int(size) != self.size:
            raise Changed

    def _ask_again(self, failed: str) -> None:
        """Get a new link, unless another connection did; Changed where the hub has another file by now."""
        with self._lock:
            if self._url != failed:
                return
            etag, size, _, self._url = self._asked(self.commit)
            if (etag, size) != (self.etag, self.size):
                raise Changed

    def _asked(self, revision: str) -> tuple[str, int, str, str]:
        """Etag, bytes, commit and link, as the hub says them now."""
        path = self._path(revision)
        url, headers = self._session.head(path, self.repo)
        etag = headers.get("x-linked-etag") or headers.get("etag") or ""
        etag = etag.removeprefix("W/").strip('"')
        size = headers.get("x-linked-size") or headers.get("content-length") or ""
        commit = headers.get("x-repo-commit", "")
        if not (_ETAG.fullmatch(etag) and size.isdigit() and COMMIT.fullmatch(commit)):
            raise OfflineError(
                f"{self._session.host} does not say which commit, hash and size {self.name} has.",
                "Check HF_ENDPOINT: it must be a model hub or a full mirror of one.",
            )
        if url == self._session.endpoint + path:
            url = self._session.endpoint + self._path(commit)  # a branch may move while we read
        return etag, int(size), commit, url

    def _path(self, revision: str) -> str:
        return f"/{self.repo}/resolve/{quote(revision, safe='')}/{quote(self.name)}"


def _strong(response: Response) -> str | None:
    """The answer's etag, if it may be used to ask for more of the same (RFC 9110, 13.1.5)."""
    etag: str = response.headers.get("etag", "")
    return etag if etag.startswith('"') else None


def _without(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    """All but the first `count` bytes."""
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count = max(0, count - len(piece))
