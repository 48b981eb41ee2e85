"""`gptcli doctor`: what it says about this machine, on stdout."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from shell import call

from gptcli import __version__


def report(**more: object) -> dict[str, str]:
    outcome = call("doctor", **more)
    assert (outcome.code, outcome.err) == (0, "")
    return dict(map(str.strip, line.split(":", 1)) for line in outcome.text.splitlines())


def test_versions_devices_places_and_what_would_run_where(home: Path) -> None:
    said = report()
    assert said["gptcli"].startswith(f"{__version__} (Python 3.")
    assert said["llama-cpp-python"] == version("llama-cpp-python")
    assert said["huggingface-hub"] == version("huggingface-hub")
    assert said["llama.cpp"].startswith("CPU")
    assert "usable" in said["processors"]
    assert said["memory free"][-2:] in ("GB", "MB") or said["memory free"] == "unknown"
    assert said["device CPU"]
    assert said["--device auto"].startswith("runs on ")
    assert said["default model"] == "smollm2"
    assert said["model cache"] == str(home / ".cache" / "huggingface" / "hub")
    assert said["network"].startswith("used only")


def test_it_says_what_to_install_for_a_gpu_where_this_build_has_none(home: Path) -> None:
    said = report()
    gpus = [name for name in said if name.startswith("device ") and name != "device CPU"]
    assert ("CMAKE_ARGS=" in said.get("for a GPU", "")) == (not gpus)


def test_places_and_the_network_are_those_of_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTCLI_CACHE_DIR", "/a")
    monkeypatch.setenv("GPTCLI_DATA_DIR", "/b")
    monkeypatch.setenv("HF_HOME", "/c")
    monkeypatch.setenv("GPTCLI_OFFLINE", "1")
    said = report()
    assert (said["cache"], said["data"], said["model cache"]) == ("/a", "/b", "/c/hub")
    assert said["network"] == "off"


def test_it_writes_nothing(home: Path) -> None:
    report()
    assert list(home.iterdir()) == []
