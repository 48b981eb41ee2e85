"""What tests share: this folder on the path, homes of their own, a tiny model and the starter model.

Models are made or found once a session; everything else is new for each test.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from shell import Shell
from tiny_gpt2 import write_tiny_gpt2

from gptcli import settings
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

# Where Ctrl-C is ignored, as in a script's background jobs, every program started from here would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's settings and an empty home: no test sees or changes what belongs to who runs it."""
    folder = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGINGFACE_", "GPTCLI_", "XDG_"))]:
        monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("GPTCLI_RUNTIME_DIR", str(folder / "run"))  # no server of theirs answers a test
    return folder


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """gptcli as a program, with an empty home and no network."""
    return Shell(tmp_path / "home")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of a megabyte that talks nonsense."""
    return write_tiny_gpt2(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def starter_places() -> dict[str, str]:
    """Where the starter model is kept: in GPTCLI_TEST_CACHE, else the caches of who runs the tests."""
    if folder := os.environ.get("GPTCLI_TEST_CACHE"):
        return {"HF_HUB_CACHE": folder, "GPTCLI_CACHE_DIR": str(Path(folder) / "gptcli")}
    return {"HF_HUB_CACHE": str(settings.hub_cache_dir()), "GPTCLI_CACHE_DIR": str(settings.cache_dir())}


@pytest.fixture(scope="session")
def starter(starter_places: dict[str, str]) -> Path:
    """The starter model, fetched by gptcli where it is not here yet."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in starter_places.items():
            patch.setenv(name, value)
        return resolve("smollm2", offline=False, report=Silent()).path


@pytest.fixture
def starter_shell(starter: Path, starter_places: dict[str, str], tmp_path: Path) -> Shell:
    """The same as `shell`, on a machine that has fetched the starter model before."""
    return Shell(tmp_path / "home", **starter_places)
