"""One conversation with the model hub over HTTP: the endpoint, the token, timeouts, and what the hub's refusals mean.

It and lock.py are the ones that import huggingface_hub, late; it knows no file of this machine. huggingface_hub's
own session does the talking: it honours proxies (`HTTPS_PROXY`, `NO_PROXY`), the system's certificates and
its owner's settings, is there anyway, and was measured at 1.7 GB/s from a local server. Its higher-level
calls are not used: they load another 80 ms of modules, retry for 23 s where names do not resolve, and send
the token along to huggingface.co when a mirror redirects there.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import gptcli
from gptcli import settings
from gptcli.errors import GatedError, GptcliError, ModelNotFound, OfflineError, UsageError
from gptcli.models.hub.connection_scaling import Patience
from gptcli.models.hub.transfer import Interrupted

if TYPE_CHECKING:
    from httpx2 import Response

CONNECT_SECONDS = 3.0
"""A hub that has not answered the connection by then is out of reach; huggingface_hub itself waits 10 and
tries again."""

_AGAIN = {408, 429, 500, 502, 503, 504}
_REDIRECTS = 10
_PORTS = {"http": 80, "https": 443}
_LATER = "Try again later; what is stored already works without the network."


def endpoint() -> str:
    """The hub's URL: `HF_ENDPOINT`, else the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


class HubSession:
    """Requests to one endpoint, and to the hosts that it redirects to. May be used from several threads."""

    def __init__(self, patience: Patience | None = None) -> None:
        """OfflineError where the environment forbids the network, UsageError where HF_ENDPOINT is no URL."""
        self.endpoint = endpoint()
        self.host = _host_of(self.endpoint)
        if settings.offline():
            raise OfflineError(
                f"{self.host} was not asked: the network is switched off.",
                "Unset HF_HUB_OFFLINE and GPTCLI_OFFLINE, or leave --offline out, to fetch it.",
            )
        import httpx2  # what huggingface_hub >= 2.4 stands on: wanted for its errors
        from huggingface_hub import constants
        from huggingface_hub.utils import get_session, get_token_to_send  # type: ignore[attr-defined]

        self._errors = httpx2
        self._client = get_session()
        self._headers = {
            "user-agent": f"gptcli/{gptcli.__version__}",  # huggingface_hub asks the network to make up its own
            "accept-encoding": "identity",  # lengths and ranges are of the file, not of a compressed copy
        }
        try:
            token = get_token_to_send(None)
        except OSError as error:
            raise GptcliError(
                f"The hub's token in {error.filename} cannot be read: {error.strerror}.",
                "Mend it, or set HF_TOKEN_PATH.",
            ) from error
        self._secret = f"Bearer {token}" if token else None
        self._patience = patience or Patience(tries=5, longest=8.0)
        self._asking = httpx2.Timeout(constants.HF_HUB_ETAG_TIMEOUT, connect=CONNECT_SECONDS)
        self.stall_seconds = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
        self._reading = httpx2.Timeout(self.stall_seconds)

    def json(self, path: str, about: str, **parameters: Any) -> Any:
        """The answer to GET `path` on the endpoint. `about` is the repository it is about, or what was looked for."""
        response = self._ask("GET", self.endpoint + path, about, parameters)
        try:
            return response.json()
        except ValueError:
            raise self._strange() from None

    def head(self, path: str, about: str) -> tuple[str, Mapping[str, str]]:
        """Where the content of `path` is to be had, and what the answers on the way there said of it."""
        url, headers = self.endpoint + path, dict[str, str]()
        for _ in range(_REDIRECTS):
            response = self._ask("HEAD", url, about, {})
            headers |= response.headers
            if not response.has_redirect_location:
                return url, headers
            del headers["location"]
            headers.pop("content-length", None)  # of the redirect itself
            url = self._next(response)
            if not self._ours(url) and "x-linked-etag" in headers:
                return url, headers  # a signed link to a content network, which may be good for one GET
        raise self._strange()

    @contextmanager
    def stream(self, url: str, headers: dict[str, str]) -> Iterator[Response]:
        """The open answer to GET `url`, of whatever status; Interrupted where the network fails, now or while
        reading."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        try:
            for _ in range(_REDIRECTS):
                with self._client.stream(
                    "GET",
                    url,
                    headers=self._for(url) | headers,
                    timeout=self._reading,
                    follow_redirects=False,
                ) as response:
                    if not response.has_redirect_location:
                        yield response
                        return
                    url = self._next(response)
        except self._errors.TimeoutException:
            raise Interrupted(f"{host} sent nothing for {self.stall_seconds:.0f} s") from None
        except (self._errors.RequestError, self._errors.InvalidURL) as error:
            raise Interrupted(f"{_why(error)} ({host})") from None
        raise self._strange()

    def interruption(self, response: Response) -> Interrupted:
        """What an answer that is not the content means for the moment, and how long it asks to wait."""
        host = response.request.url.host
        return Interrupted(f"{host} answered {response.status_code}", _retry_after(response.headers))

    def _ask(self, method: str, url: str, about: str, parameters: Mapping[str, Any]) -> Response:
        """An answer of less than 400, or the error that says what to do. Only a hub that is there is asked again."""
        for failures in range(1, self._patience.tries + 1):
            try:
                response = self._client.request(
                    method,
                    url,
                    params=parameters or None,
                    headers=self._for(url),
                    timeout=self._asking,
                    follow_redirects=False,
                )
            except (self._errors.RequestError, self._errors.InvalidURL, ConnectionError) as error:
                host = urlsplit(url).hostname
                raise OfflineError(f"{host} cannot be reached: {_why(error)}.", _LATER) from None
            if response.status_code not in _AGAIN:
                break
            pause = self._patience.pause(failures, _retry_after(response.headers))
            if failures == self._patience.tries or pause > 10 * self._patience.longest:
                raise OfflineError(f"{self.host} answers {response.status_code} and serves nothing now.", _LATER)
            time.sleep(pause)
        if response.status_code >= 400:
            raise self._refusal(response, about)
        return response

    def _for(self, url: str) -> dict[str, str]:
        """The headers for `url`: the token goes to the endpoint the user configured, and to nobody else."""
        if self._secret and self._ours(url):
            return self._headers | {"authorization": self._secret}
        return self._headers

    def _ours(self, url: str) -> bool:
        return _origin(url) == _origin(self.endpoint)

    def _next(self, response: Response) -> str:
        """Where `response` redirects to; OfflineError where that is no place to ask."""
        try:
            url = urljoin(str(response.request.url), response.headers["location"])
            scheme, host, _ = _origin(url)
        except ValueError:
            raise self._strange() from None
        if scheme not in _PORTS or not host:
            raise self._strange()
        return url

    def _refusal(self, response: Response, about: str) -> GptcliError:
        """Codes: huggingface_hub/utils/_http.py, `hf_raise_for_status`."""
        code = response.headers.get("x-error-code", "")
        page = f"{self.endpoint}/{about}"
        if code == "GatedRepo" or response.status_code == 403:
            sent = " The token that was sent is of an account without access." if self._secret else ""
            return GatedError(
                f"{about} is gated: {self.host} gives it only to accounts that accepted its licence.{sent}",
                f"Accept it at {page}, and set HF_TOKEN to a token of that account "
                f"(made at {self.endpoint}/settings/tokens).",
            )
        if code == "EntryNotFound":
            return ModelNotFound(f"{about} has no such file.", f"{page}/tree/main shows its files.")
        if code == "RevisionNotFound":
            return ModelNotFound(f"{about} has no such branch, tag or commit.", f"{page}/tree/main is its main branch.")
        if response.status_code in {401, 404}:
            sent = " with the token that was sent" if self._secret else ""
            return ModelNotFound(
                f"{self.host} shows no repository {about}{sent}.",
                "Check the name with `gptcli models search`; "
                "for a private one set HF_TOKEN to a token that may read it.",
            )
        return OfflineError(f"{self.host} answers {response.status_code} to a question about {about}.", _LATER)

    def _strange(self) -> OfflineError:
        return OfflineError(f"{self.host} does not answer as a model hub does.", "Check HF_ENDPOINT and the proxy.")


def _host_of(address: str) -> str:
    try:
        scheme, host, port = _origin(address)
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in _PORTS or not host or not address.isprintable():
        raise UsageError(
            f"HF_ENDPOINT is {address!r}, which is no address of a hub.", "Set it to https://HOST, or unset it."
        )
    return host if port == _PORTS[scheme] else f"{host}:{port}"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds (RFC 9110, 10.2.3; as a date it is not honoured)."""
    value = headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() else None


def _why(error: BaseException) -> str:
    """The reason that the libraries below wrapped, in our words; theirs name URLs with signatures in them."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return "its name is not found (is there a network?)"
        if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
            return "it does not answer in time"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection is refused"
        if "SSL" in type(cause).__name__:
            return "its certificate is not accepted"
        cause = cause.__cause__ or cause.__context__
    return "the connection broke"
