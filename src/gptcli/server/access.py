"""Who may come in: the checks of every request before any route sees it.

A web page can send requests to this machine's own addresses. Three things keep it out: the `Host` of a name that was
rebound to 127.0.0.1 is not one of ours, an `Origin` that was not allowed is refused, and without CORS headers a page
cannot read an answer."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gptcli.errors import UsageError
from gptcli.openai.error import make_error

PRIVATE_PATHS = "/gptcli/"
"""Routes of gptcli's own commands, on the Unix socket only."""
_OPEN_PATHS = ("/health",)
"""What a load balancer asks without a key."""
_CORS = {"access-control-allow-methods": "GET, POST", "access-control-allow-headers": "authorization, content-type"}


class Keys:
    """API keys, of which only hashes are kept."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    @classmethod
    def read(cls, path: Path) -> Keys:
        """The keys of a file, one on each line. Raises UsageError."""
        try:
            lines = path.read_text("utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--api-key-file: {path} cannot be read.", "Put one key on each line.") from error
        keys = [line.strip() for line in lines if line.strip()]
        if not keys:
            raise UsageError(f"--api-key-file: {path} has no key.", "Put one key on each line.")
        return cls(keys)

    def accept(self, authorization: str) -> bool:
        """Whether an `Authorization` header has one of the keys; takes as long for a wrong key as for a right one."""
        scheme, _, key = authorization.partition(" ")
        digest = _digest(key.strip().encode("latin-1", "replace"))
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return scheme.lower() == "bearer" and any(found)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


@dataclass(slots=True)
class Access:
    """The middleware. A request over the Unix socket comes from this user, and is only checked for nothing."""

    app: ASGIApp
    keys: Keys | None
    hosts: Sequence[str]
    """Names, beside localhost and addresses, that a `Host` header may have."""
    origins: Sequence[str]
    """Origins of web pages that may use the server."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_private(scope):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        refusal = self._refusal(scope, headers, origin)
        if refusal is None and origin is not None and scope["method"] == "OPTIONS":
            refusal = Response(status_code=204, headers=_CORS | {"access-control-max-age": "600"})
        if origin in self.origins:
            await (refusal or self.app)(scope, receive, _with_origin(send, str(origin)))
        else:
            await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers, origin: str | None) -> Response | None:
        if len(headers.getlist("host")) != 1 or not self._is_own_host(headers["host"]):
            return _refuse(403, "This server does not answer to that Host; see --allow-host.", "host_not_allowed")
        if origin is not None and origin not in self.origins:
            return _refuse(403, "Web pages of that origin are not allowed; see --cors-origin.", "origin_not_allowed")
        if scope["path"].startswith(PRIVATE_PATHS):
            return _refuse(404, "There is no such path.", "not_found")
        if self.keys is None or scope["path"] in _OPEN_PATHS or (origin is not None and scope["method"] == "OPTIONS"):
            return None
        if not self.keys.accept(headers.get("authorization", "")):
            refused = _refuse(401, "The API key is missing or wrong.", "invalid_api_key")
            refused.headers["www-authenticate"] = "Bearer"
            return refused
        return None

    def _is_own_host(self, host: str) -> bool:
        """Whether a Host header cannot be a name that somebody else controls: an address is none."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host
        name = name.lower().rstrip(".")
        if name == "localhost" or name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True


def is_private(scope: Scope) -> bool:
    """Whether a request came over the Unix socket, as uvicorn marks it: its server has a path and no port."""
    server = scope.get("server")
    return server is not None and server[1] is None


def _refuse(status: int, message: str, code: str) -> Response:
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    return JSONResponse(make_error(message, kind, code=code), status)


def _with_origin(send: Send, origin: str) -> Send:
    """`send`, with the headers that let a page of that origin read the answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            allow = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]
            message["headers"] = [*message.get("headers", ()), *allow]
        await send(message)

    return sending
