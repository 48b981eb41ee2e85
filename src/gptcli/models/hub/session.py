"""HTTP requests to the model hub: the endpoint, the token, timeouts, retries, and what the hub's errors mean.

huggingface_hub's session sends the requests: it honours proxies (`HTTPS_PROXY`, `NO_PROXY`), the system's certificates
and its own settings. Its higher-level calls are not used: they load another 80 ms of modules, retry for 23 s if names
do not resolve, and send the token to huggingface.co if a mirror redirects there."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import gptcli
from gptcli import settings
from gptcli.errors import GatedError, GptcliError, ModelNotFound, OfflineError, UsageError

if TYPE_CHECKING:
    from httpx2 import Response

CONNECT_SECONDS = 3.0
"""A hub that does not accept a connection by then is unreachable; huggingface_hub waits 10 s and retries."""
_RETRY_STATUS = {408, 429, 500, 502, 503, 504}
_MAX_REDIRECTS = 10
_PORTS = {"http": 80, "https": 443}
_LARGE_HEADERS = "its headers are too large"
_LATER = "Try again later; stored models work without the network."


class Interrupted(Exception):
    """The response broke off, and a retry may succeed: a cut, a stall, 429, 5xx."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        """`wait` is the seconds to wait, from `Retry-After`."""
        super().__init__(reason)
        self.reason, self.wait = reason, wait


class FileChanged(Exception):
    """The hub has another file under this name now; what was downloaded is useless."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often and how long to wait before retries; any progress resets the count."""

    tries: int = 9
    first: float = 0.25
    longest: float = 30.0
    """Seconds; nine tries cover a minute without a network. `Retry-After` may be ten times as long."""

    def pause(self, failures: int, retry_after: float | None) -> float:
        """Seconds to wait after so many failures in a row: `retry_after`, else doubling, with jitter."""
        if retry_after is not None:
            return retry_after
        return min(self.longest, self.first * 2.0 ** (failures - 1)) * random.uniform(1.0, 1.2)

    def is_exhausted(self, failures: int, pause: float) -> bool:
        return failures >= self.tries or pause > 10 * self.longest


class HubSession:
    """Requests to one endpoint, and to the hosts it redirects to. Thread-safe."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        """Raises OfflineError if the environment forbids the network, UsageError if HF_ENDPOINT is invalid."""
        self.endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        self.host = _checked_host(self.endpoint)
        if settings.offline():
            raise OfflineError(
                f"{self.host} was not contacted: the network is switched off.",
                "Unset HF_HUB_OFFLINE and GPTCLI_OFFLINE, or omit --offline, to download it.",
            )
        import httpx2  # for the errors of huggingface_hub's session
        from huggingface_hub import constants
        from huggingface_hub.utils import get_session, get_token_to_send  # type: ignore[attr-defined]

        self._errors = httpx2
        self._client = get_session()
        self._headers = {
            "user-agent": f"gptcli/{gptcli.__version__}",  # huggingface_hub contacts the hub to build its own
            "accept-encoding": "identity",  # lengths and ranges must be those of the file
        }
        try:
            token = get_token_to_send(None)
        except OSError as error:
            message = f"The hub's token in {error.filename} cannot be read: {error.strerror}."
            raise GptcliError(message, "Repair the file, or set HF_TOKEN_PATH.") from error
        self._authorization = f"Bearer {token}" if token else None
        self._backoff = backoff or Backoff(tries=5, longest=8.0)
        timeout = httpx2.Timeout(constants.HF_HUB_ETAG_TIMEOUT, connect=CONNECT_SECONDS)
        self._query_options: dict[str, Any] = {"timeout": timeout, "follow_redirects": False}
        self.stall_seconds = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)

    def json(self, path: str, about: str, **parameters: Any) -> Any:
        """The response to GET `path`. `about` is the repository or the search terms, for error messages."""
        response = self._request("GET", self.endpoint + path, about, parameters)
        _check_not_page(response)
        try:
            return response.json()
        except ValueError:
            raise self._not_a_hub() from None

    def head(self, path: str, about: str) -> tuple[str, Mapping[str, str]]:
        """The URL of the content of `path`, and the headers of all responses on the way to it."""
        url, headers = self.endpoint + path, dict[str, str]()
        for _ in range(_MAX_REDIRECTS):
            response = self._request("HEAD", url, about, {})
            headers |= response.headers
            if not response.has_redirect_location:
                _check_not_page(response)
                return url, headers
            del headers["location"]
            headers.pop("content-length", None)  # of the redirect itself
            url = self._redirect_url(response)
            if not self._is_endpoint(url) and "x-linked-etag" in headers:
                return url, headers  # a signed link to a CDN, which may be valid for one GET
        raise self._not_a_hub()

    @contextmanager
    def stream(self, url: str, headers: dict[str, str]) -> Iterator[Response]:
        """The open response to GET `url`, of any status; Interrupted if the network fails, also while reading."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        options: dict[str, Any] = {"timeout": self._errors.Timeout(self.stall_seconds), "follow_redirects": False}
        try:
            for _ in range(_MAX_REDIRECTS):
                with self._client.stream("GET", url, headers=self._headers_for(url) | headers, **options) as response:
                    if not response.has_redirect_location:
                        _check_not_page(response)
                        if (encoding := response.headers.get("content-encoding", "identity")) != "identity":
                            raise OfflineError(
                                f"{host} sent the file compressed ({encoding}), which was not requested.",
                                "A proxy or the mirror in HF_ENDPOINT does that; use another one, or none.",
                            )
                        yield response
                        return
                    url = self._redirect_url(response)
        except self._errors.TimeoutException:
            raise Interrupted(f"{host} sent nothing for {self.stall_seconds:.0f} s") from None
        except (self._errors.RequestError, self._errors.InvalidURL) as error:
            if (reason := _reason(error)) == _LARGE_HEADERS:
                raise OfflineError(f"{host} sent an invalid response: {reason}.", _LATER) from None
            raise Interrupted(f"{reason} ({host})") from None
        raise self._not_a_hub()

    def _request(self, method: str, url: str, about: str, parameters: Mapping[str, Any]) -> Response:
        """A response with a status below 400, or an error with a hint. Only a hub that responds is retried."""
        waited = 0.0
        options: dict[str, Any] = {"params": parameters or None, "headers": self._headers_for(url)}
        for failures in range(1, self._backoff.tries + 1):
            try:
                response = self._client.request(method, url, **options, **self._query_options)
            except (self._errors.RequestError, self._errors.InvalidURL, ConnectionError) as error:
                raise OfflineError(f"{urlsplit(url).hostname} cannot be reached: {_reason(error)}.", _LATER) from None
            if response.status_code not in _RETRY_STATUS:
                break
            pause = self._backoff.pause(failures, wait := retry_after(response.headers))
            if self._backoff.is_exhausted(failures, pause):
                status = f"status {response.status_code} to {failures} requests in {waited:.0f} s"
                asked = f"; it asks to wait {wait:.0f} s" if wait else ""
                raise OfflineError(f"{self.host} is unavailable ({status}{asked}).", _LATER)
            time.sleep(pause)
            waited += pause
        if response.status_code >= 400:
            raise self._error_for(response, about)
        return response

    def _headers_for(self, url: str) -> dict[str, str]:
        """The headers for `url`; the token goes to the configured endpoint only."""
        if self._authorization and self._is_endpoint(url):
            return self._headers | {"authorization": self._authorization}
        return self._headers

    def _is_endpoint(self, url: str) -> bool:
        return _origin(url) == _origin(self.endpoint)

    def _redirect_url(self, response: Response) -> str:
        with contextlib.suppress(ValueError):
            old = response.request.url
            url = urljoin(str(old), response.headers["location"])
            if old.scheme == "https" and _origin(url)[0] == "http":
                raise OfflineError(
                    f"{old.host} redirects from https to http, where anyone on the way could change the answer.",
                    "Check HF_ENDPOINT and the proxy.",
                )
            if _origin(url)[0] in _PORTS:
                return url
        raise self._not_a_hub()

    def _error_for(self, response: Response, about: str) -> GptcliError:
        """The codes are those of huggingface_hub/utils/_http.py, `hf_raise_for_status`."""
        code = response.headers.get("x-error-code", "")
        page = f"{self.endpoint}/{about}"
        if code == "GatedRepo" or response.status_code == 403:
            sent = " The token sent belongs to an account without access." if self._authorization else ""
            return GatedError(
                f"{about} is gated: {self.host} requires an account that accepted its licence.{sent}",
                f"Accept it at {page}, and set HF_TOKEN to a token of that account "
                f"(from {self.endpoint}/settings/tokens).",
            )
        if code == "EntryNotFound":
            return ModelNotFound(f"{about} has no such file.", f"{page}/tree/main shows its files.")
        if code == "RevisionNotFound":
            return ModelNotFound(f"{about} has no such branch, tag or commit.", f"{page}/tree/main is its main branch.")
        if response.status_code in {401, 404}:
            sent = " with the token sent" if self._authorization else ""
            return ModelNotFound(
                f"{self.host} has no repository {about}, or does not show it{sent}.",
                "Check the name with `gptcli models search`; for a private one set HF_TOKEN to a token with access.",
            )
        return OfflineError(f"{self.host} responded to {about} with status {response.status_code}.", _LATER)

    def _not_a_hub(self) -> OfflineError:
        return OfflineError(f"{self.host} does not respond like a model hub.", "Check HF_ENDPOINT and the proxy.")


def _check_not_page(response: Response) -> None:
    """Raise OfflineError for a web page in place of what was requested: the login page of a network, mostly."""
    if response.headers.get("content-type", "").startswith("text/html"):
        raise OfflineError(
            f"{response.request.url.host} sent a web page instead of the model's data.",
            "Log in to this network (open any page in a browser), or check the proxy and HF_ENDPOINT.",
        )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds (RFC 9110, 10.2.3); a date is ignored."""
    value = headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() else None


def _checked_host(url: str) -> str:
    scheme, host, port = _origin(url)
    if scheme not in _PORTS or not url.isprintable():
        raise UsageError(f"HF_ENDPOINT is not a valid URL: {url!r}.", "Set it to https://HOST, or unset it.")
    return host if port == _PORTS[scheme] else f"{host}:{port}"


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port; no scheme if the URL is invalid."""
    try:
        parts = urlsplit(url)
        return parts.scheme if parts.hostname else "", parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", "", None


def _reason(cause: BaseException | None) -> str:
    """The cause inside the libraries' errors, whose texts contain signed URLs."""
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return "its name does not resolve (is there a network?)"
        if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
            return "it does not respond in time"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection is refused"
        if getattr(cause, "error_status_hint", None) == 431:  # h11's
            return _LARGE_HEADERS
        if "SSL" in type(cause).__name__:
            return "its certificate is not accepted"
        cause = cause.__cause__ or cause.__context__
    return "the connection broke"
