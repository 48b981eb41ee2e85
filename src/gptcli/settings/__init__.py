"""What a user sets once, and the folders of gptcli; `__init__` has the folders, for they are needed at every start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_XDG = {
    "cache": ("XDG_CACHE_HOME", "~/.cache"),
    "data": ("XDG_DATA_HOME", "~/.local/share"),
    "config": ("XDG_CONFIG_HOME", "~/.config"),
}

FOLDER_VARIABLES = frozenset(f"GPTCLI_{kind}_DIR" for kind in ("CACHE", "DATA", "CONFIG", "RUNTIME"))


def cache_dir() -> Path:
    """For what can be computed or downloaded again: `GPTCLI_CACHE_DIR`, else the system's user cache."""
    return _folder("GPTCLI_CACHE_DIR", "cache")


def prefix_cache_dir() -> Path:
    """The prefix cache's folder in the cache folder."""
    return cache_dir() / "prefixes"


def data_dir() -> Path:
    """For conversations and aliases: `GPTCLI_DATA_DIR`, else the system's user data folder."""
    return _folder("GPTCLI_DATA_DIR", "data")


def runtime_dir() -> Path:
    """For sockets: `GPTCLI_RUNTIME_DIR`, else the folder that the system gives a user while logged in, else one in the
    cache folder, for a folder in /tmp could belong to anybody."""
    if value := os.environ.get("GPTCLI_RUNTIME_DIR"):
        return Path(value).expanduser()
    if value := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(value, "gptcli")
    return cache_dir() / "run"


def config_dir() -> Path:
    """For what users write themselves, settings and roles: `GPTCLI_CONFIG_DIR`, else the system's settings folder."""
    return _folder("GPTCLI_CONFIG_DIR", "config")


def settings_file() -> Path:
    """The file of settings, which need not exist."""
    return config_dir() / "settings.toml"


def are_set() -> bool:
    """Whether there is a setting anywhere: one look at the environment and one at the file system."""
    if any(name.startswith("GPTCLI_") and name not in FOLDER_VARIABLES for name in os.environ):
        return True
    return os.path.lexists(settings_file())


def hub_cache_dir() -> Path:
    """The model hub's cache, shared with other tools; follows huggingface_hub.constants."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if value := os.environ.get(variable):
            return Path(value).expanduser()
    if value := os.environ.get("HF_HOME"):
        return Path(value).expanduser() / "hub"
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "huggingface" / "hub"


def offline() -> bool:
    """Whether the environment forbids the network (`HF_HUB_OFFLINE`, `GPTCLI_OFFLINE`)."""
    truthy = {"1", "on", "yes", "true"}
    return any(os.environ.get(name, "").lower() in truthy for name in ("HF_HUB_OFFLINE", "GPTCLI_OFFLINE"))


def _folder(variable: str, kind: str) -> Path:
    if value := os.environ.get(variable):
        return Path(os.path.expanduser(value))
    if sys.platform == "linux" and "ANDROID_ROOT" not in os.environ:  # as platformdirs has it, 4 ms faster
        home, default = _XDG[kind]
        return Path(os.environ.get(home, "").strip() or os.path.expanduser(default), "gptcli")
    import platformdirs

    find = {"cache": platformdirs.user_cache_path, "data": platformdirs.user_data_path}
    return find.get(kind, platformdirs.user_config_path)("gptcli", appauthor=False)
