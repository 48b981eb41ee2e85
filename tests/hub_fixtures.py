"""What a test needs to talk to its own hub inside this process: an empty cache, and nobody's settings or token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hub_server import HubServer

from gptcli.models.progress import Silent


class Recorder(Silent):
    """A report that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.labels: list[str] = []
        self.done = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def start(self, label: str, total: int | None) -> None:
        self.labels.append(label)

    def advance(self, count: int) -> None:
        self.done += count


@contextmanager
def hub_of_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch, server: HubServer) -> Iterator[HubServer]:
    """Run `server`, with this process's environment and huggingface_hub pointed at it and at `cache`."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "GPTCLI_OFFLINE", "HF_HOME", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))  # huggingface_hub reads its environment only once
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache.parent / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    close_session()
    with server:
        try:
            yield server
        finally:
            close_session()
