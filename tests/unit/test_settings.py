"""The folders are those of platformdirs, or those of the environment."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from gptcli import settings


@pytest.mark.parametrize("xdg", [None, "/somewhere/else", "  ", ""])
def test_the_system_folders_are_those_of_platformdirs(monkeypatch: pytest.MonkeyPatch, xdg: str | None) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        if xdg is not None:
            monkeypatch.setenv(name, xdg)
    assert settings.cache_dir() == platformdirs.user_cache_path("gptcli", appauthor=False)
    assert settings.data_dir() == platformdirs.user_data_path("gptcli", appauthor=False)


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTCLI_CACHE_DIR", "~/c")
    assert settings.cache_dir() == Path("~/c").expanduser()
