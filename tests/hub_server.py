"""A model hub on this machine for tests: it speaks to the real client, misbehaves on request, and counts.

It has two addresses, the hub and the content network that it redirects to, as the public one does. Every test makes its
own; nothing is shared, and nothing leaves 127.0.0.1.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

CHUNK = 64 << 10


@dataclass
class Fault:
    """One misfortune, for the next request that it fits."""

    kind: str
    """`status`, `cut`, `stall` or `corrupt`; `status` may come with a `document`."""
    method: str = "GET"
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    after: int = 0
    """Bytes of the body that are sent before it happens."""
    document: object = None
    where: str = "resolve"
    """`resolve` (a file, on the hub or the content network) or `api`."""


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    host: str
    """`hub` or `cdn`."""
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Repo:
    head: str
    commits: dict[str, dict[str, bytes]]
    gated: bool = False
    private: bool = False


class HubServer:
    """A context manager; `endpoint` is what HF_ENDPOINT should be."""

    def __init__(
        self,
        *,
        redirect: bool = True,
        ranges: bool = True,
        rate: float | None = None,
        connection_rate: float | None = None,
    ) -> None:
        self.repos: dict[str, Repo] = {}
        self.token = "hf_the_right_token"
        self.redirect = redirect
        self.ranges = ranges
        self.rate = rate
        """Bytes a second, over all connections together."""
        self.connection_rate = connection_rate
        """Bytes a second over each connection."""
        self.faults: deque[Fault] = deque()
        self.seen: list[Seen] = []
        self.stable_etags = True
        """False: the content network names the same bytes anew in every answer, as several machines behind one may."""
        self.oldest_link = 0
        """Signed links with a lower number have expired."""
        self.extra_files: list[dict[str, object]] = []
        """Entries that listings show beside the true ones: hostile names."""
        self._links = 0
        self._served = 0
        self._due = 0.0
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._closing = threading.Event()
        self._hub = _listener(self, "hub")
        self._cdn = _listener(self, "cdn")
        self.endpoint = f"http://127.0.0.1:{self._hub.server_port}"
        self.cdn = f"http://127.0.0.1:{self._cdn.server_port}"

    def __enter__(self) -> HubServer:
        for server in (self._hub, self._cdn):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()

    def put(self, repo: str, name: str, data: bytes) -> str:
        """Commit a file; returns the commit, which is `main` from now on."""
        known = self.repos.get(repo) or Repo("", {})
        files = {**known.commits.get(known.head, {}), name: data}
        known.head = hashlib.sha1(repr([(n, etag_of(d)) for n, d in sorted(files.items())]).encode()).hexdigest()
        known.commits[known.head] = files
        self.repos[repo] = known
        return known.head

    def overwrite(self, repo: str, name: str, data: bytes) -> None:
        """Change a file without a new commit, as a hub should not."""
        known = self.repos[repo]
        known.commits[known.head][name] = data

    @property
    def served(self) -> int:
        """Bytes of files that were handed to the network so far."""
        with self._lock:
            return self._served

    def wait_served(self, count: int, timeout: float = 20.0) -> None:
        """Return once `count` bytes in all were served."""
        with self._lock:
            if not self._arrived.wait_for(lambda: self._served >= count, timeout):
                raise TimeoutError(f"{self._served} of {count} bytes were asked for in {timeout} s")

    def requests(self, method: str, host: str | None = None) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and host in (None, seen.host)]

    def take_fault(self, method: str, where: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if (fault.method, fault.where) == (method, where):
                    self.faults.remove(fault)
                    return fault
        return None

    def next_link(self) -> int:
        with self._lock:
            self._links += 1
            return self._links

    def send(self, connection: socket.socket, data: memoryview) -> None:
        """Send at the limited rate, and count what the kernel took."""
        started, total = time.monotonic(), len(data)
        while data:
            piece = data[: CHUNK if self.slow else 4 * CHUNK]
            self._keep_to_rate(len(piece))
            if self.connection_rate:
                due = started + (total - len(data)) / self.connection_rate
                self._closing.wait(max(0.0, due - time.monotonic()))
            self._count(len(piece))  # before, for a client may be done with it before `send` returns
            sent = 0
            try:
                sent = connection.send(piece)
            finally:
                self._count(sent - len(piece))
            data = data[sent:]

    @property
    def slow(self) -> bool:
        return self.rate is not None and self.rate < 64e6

    def _count(self, count: int) -> None:
        with self._lock:
            self._served += count
            self._arrived.notify_all()

    def stall(self) -> None:
        self._closing.wait(30)

    def _keep_to_rate(self, count: int) -> None:
        if not self.rate:
            return
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due, now - 0.005) + count / self.rate  # up to 5 ms late is made up for
            wait = self._due - now
        if wait > 0:
            self._closing.wait(wait)


@lru_cache(maxsize=16)
def etag_of(data: bytes) -> str:
    """As large-file storage names content; kept, for a gigabyte takes a second."""
    return hashlib.sha256(data).hexdigest()


def _listener(hub: HubServer, host: str) -> ThreadingHTTPServer:
    class Handler(_Handler):
        pass

    Handler.hub, Handler.host = hub, host
    server = _Quiet(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


class _Quiet(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: HubServer
    host: str

    def log_message(self, format: str, *args: object) -> None:
        pass

    def setup(self) -> None:
        if self.hub.slow:  # what was counted has nearly all arrived
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
        super().setup()

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.seen.append(Seen(self.host, self.command, self.path, headers))
        url = urlsplit(self.path)
        api = url.path.startswith("/api/")
        fault = self.hub.take_fault(self.command, "api" if api else "resolve")
        if fault and fault.kind == "status":
            self._say(fault.status, fault.document, fault.headers)
        elif self.host == "cdn":
            self._content_network(url.path, parse_qs(url.query), fault)
        elif api:
            self._api(unquote(url.path), parse_qs(url.query))
        else:
            self._resolve(url.path, fault)

    def _say(self, status: int, document: object = None, headers: dict[str, str] | None = None) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self._say(status, {"error": code}, {"X-Error-Code": code, "X-Error-Message": code})

    def _known(self, name: str) -> Repo | None:
        """The repository, if it may be seen with the token that came; else the refusal is sent."""
        repo = self.hub.repos.get(name)
        allowed = self.headers.get("authorization") == f"Bearer {self.hub.token}"
        if repo is None or (repo.private and not allowed):
            self._refuse(401, "RepoNotFound")
            return None
        return repo

    def _api(self, path: str, query: dict[str, list[str]]) -> None:
        parts = path.removeprefix("/api/models").strip("/").split("/")
        if parts == [""]:
            words = query.get("search", [""])[0].lower()
            self._say(200, [self._info(name) for name in self.hub.repos if words in name.lower()])
            return
        name = "/".join(parts[:2])
        repo = self._known(name)
        if repo is None:
            return
        revision = "/".join(parts[3:]) or "main"
        commit = repo.head if revision == "main" else revision
        if commit not in repo.commits:
            self._refuse(404, "RevisionNotFound")
        elif parts[2:3] == ["tree"]:
            self._say(200, [_leaf(name, data) for name, data in repo.commits[commit].items()])
        elif parts[2:3] == ["refs"]:
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}
            self._say(200, {"branches": [branch], "tags": [], "converts": []})
        else:
            self._say(200, self._info(name, commit))

    def _info(self, name: str, commit: str = "") -> dict[str, object]:
        repo = self.hub.repos[name]
        commit = commit or repo.head
        files = [_sibling(name, data) for name, data in repo.commits[commit].items()]
        return {
            "id": name,
            "modelId": name,
            "sha": commit,
            "private": repo.private,
            "gated": "manual" if repo.gated else False,
            "downloads": 7,
            "tags": ["gguf"],
            "siblings": files + self.hub.extra_files,
            "gguf": {"architecture": "gpt2", "total": 124_000_000},
        }

    def _resolve(self, path: str, fault: Fault | None) -> None:
        parts = path.strip("/").split("/")
        name, revision, file = "/".join(parts[:2]), unquote(parts[3]), unquote("/".join(parts[4:]))
        repo = self._known(name)
        if repo is None:
            return
        if repo.gated and self.headers.get("authorization") != f"Bearer {self.hub.token}":
            self._refuse(403 if self.headers.get("authorization") else 401, "GatedRepo")
            return
        commit = repo.head if revision == "main" else revision
        if commit not in repo.commits:
            self._refuse(404, "RevisionNotFound")
        elif file not in repo.commits[commit]:
            self._refuse(404, "EntryNotFound")
        else:
            self._give(name, commit, file, repo.commits[commit][file], fault)

    def _give(self, name: str, commit: str, file: str, data: bytes, fault: Fault | None) -> None:
        etag = etag_of(data)
        headers = {"X-Repo-Commit": commit, "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        if self.hub.redirect:
            link = f"{self.hub.cdn}/{name}/{commit}/{file}?signature={self.hub.next_link()}"
            if fault:
                self.hub.faults.appendleft(fault)  # it is meant for the content
            self._say(302, None, headers | {"Location": link})
        else:
            self._content(data, f'"{etag}"', headers, fault)

    def _content_network(self, path: str, query: dict[str, list[str]], fault: Fault | None) -> None:
        owner, name, commit, file = unquote(path).strip("/").split("/", 3)
        if int(query["signature"][0]) < self.hub.oldest_link:
            self._say(403)
            return
        data = self.hub.repos[f"{owner}/{name}"].commits[commit][file]
        anew = "" if self.hub.stable_etags else len(self.hub.seen)
        self._content(data, f'"cdn-{etag_of(data)[:12]}{anew}"', {}, fault)

    def _content(self, data: bytes, etag: str, headers: dict[str, str], fault: Fault | None) -> None:
        start, stop, status = 0, len(data), 200
        asked = self.headers.get("range")
        if asked and self.hub.ranges and self.headers.get("if-range", etag) == etag:
            first, last = asked.removeprefix("bytes=").split("-")
            start, stop, status = int(first), min(len(data), int(last) + 1 if last else len(data)), 206
            headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
        self.send_response(status)
        for name, value in {**headers, "ETag": etag, "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        body = memoryview(data)[start:stop]
        if fault and fault.kind == "corrupt":
            body = memoryview(
                bytes(body[: fault.after]) + b"\xff" * min(64, len(body)) + bytes(body[fault.after + 64 :])
            )
        if fault and fault.kind in {"cut", "stall"}:
            self.hub.send(self.connection, body[: fault.after])
            if fault.kind == "stall":
                self.hub.stall()
            self.close_connection = True
            return
        self.hub.send(self.connection, body)


def _leaf(name: str, data: bytes) -> dict[str, object]:
    lfs = {"oid": etag_of(data), "size": len(data), "pointerSize": 134}
    return {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": name, "lfs": lfs}


def _sibling(name: str, data: bytes) -> dict[str, object]:
    lfs = {"sha256": etag_of(data), "size": len(data), "pointerSize": 134}
    return {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest(), "lfs": lfs}
