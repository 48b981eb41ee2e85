"""The curated models that have a short name, read from catalog.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Wheel:
    """A mirror in a Python wheel of `size` bytes: `requirement` pins it, `member` is the file's path inside."""

    requirement: str
    member: str
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One curated model. Sizes are bytes, None if unknown. Without a file, the repository's best is chosen."""

    alias: str
    name: str
    repo: str
    file: str | None
    licence: str
    parameters: str
    good_for: str
    commit: str | None = None
    size: int | None = None
    sha256: str | None = None
    wheel: Wheel | None = None
    """Where to download it if the hub does not provide it."""


@cache
def default_alias() -> str:
    """The alias of the default model."""
    return str(_document()["default"])


@cache
def entries() -> Mapping[str, Entry]:
    """All entries by alias, in the catalog's order."""
    return MappingProxyType({item["alias"]: _entry(item) for item in _document()["models"]})


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(__file__).with_name("catalog.json").read_bytes())
    return document


def _entry(item: dict[str, Any]) -> Entry:
    wheel = item.get("wheel")
    return Entry(**{**item, "wheel": Wheel(**wheel) if wheel else None})
