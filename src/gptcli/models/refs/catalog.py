"""The curated models that gptcli knows by an alias, read from catalog.json.

It knows what is written there and nothing of what is stored, reachable or wanted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Hub:
    """The model hub: the entry's own repository, file and commit."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A Python wheel of `size` bytes with the file in it: `requirement` pins it, `member` is the path inside."""

    requirement: str
    member: str
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One curated model. Sizes are bytes; None where no public source states it.

    Without a file, the repository's best is taken, as for USER/REPO.
    """

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
    sources: tuple[Hub | Wheel, ...] = (Hub(),)
    """Where it can be had, in the order to try."""


@cache
def default_alias() -> str:
    """The alias that is meant where the user names no model."""
    return str(_document()["default"])


@cache
def entries() -> Mapping[str, Entry]:
    """Every entry by its alias, in the catalog's order."""
    return MappingProxyType({item["alias"]: _entry(item) for item in _document()["models"]})


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(__file__).with_name("catalog.json").read_bytes())
    return document


def _entry(item: dict[str, Any]) -> Entry:
    sources = tuple(_source(source) for source in item.get("sources", [{"kind": "hub"}]))
    return Entry(**{**item, "sources": sources})


def _source(item: dict[str, Any]) -> Hub | Wheel:
    if item["kind"] == "hub":
        return Hub()
    return Wheel(requirement=item["requirement"], member=item["member"], size=item["size"])
