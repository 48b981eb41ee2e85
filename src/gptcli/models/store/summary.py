"""Summaries of model files for listings, cached so that twenty cost a millisecond; a changed file is read again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gptcli import settings
from gptcli.errors import LoadError
from gptcli.models.files import read_cache, write_cache
from gptcli.models.gguf.header import read_header
from gptcli.models.gguf.quantization import split_paths
from gptcli.models.store.integrity import file_state

_VERSION = 1
"""Of the fields of `Summary`; a cache of another version is ignored."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a model's header says; `damage` is why there is nothing else."""

    architecture: str = ""
    parameters: int = 0
    context_length: int | None = None
    quantization: str = "?"
    licence: str | None = None
    damage: str | None = None

    @property
    def label(self) -> str:
        """Architecture and parameters for people: `llama 135M`."""
        return f"{self.architecture} {count_text(self.parameters)}"


def summarize(path: Path) -> Summary:
    """The summary of the model that starts with `path`, with the parameters of all its parts. Raises no LoadError."""
    return summarize_all([path])[path]


def summarize_all(paths: Iterable[Path]) -> dict[Path, Summary]:
    """The summaries of several models."""
    file = settings.cache_dir() / "headers.json"
    document = read_cache(file)
    cached: dict[str, Any] = document["files"] if document.get("version") == _VERSION else {}
    found, new = dict[Path, Summary](), {}
    for path in paths:
        key, state = file_state(path)
        if cached.get(key, {}).get("state") == state:
            found[path] = Summary(**cached[key]["summary"])
        else:
            found[path] = _read(path)
            new[key] = {"state": state, "summary": asdict(found[path])}
    if new:
        cached |= new
        existing = {name: entry for name, entry in cached.items() if os.path.exists(name)}
        write_cache(file, {"version": _VERSION, "files": existing})
    return found


def count_text(count: int) -> str:
    """A number of parameters for people: `135M`, `20.9B`."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= limit * 0.9995:
            return f"{count / limit:.3g}{unit}"
    return str(count)


def _read(path: Path) -> Summary:
    try:
        header, *others = map(read_header, split_paths(path))
    except LoadError as error:
        return Summary(damage=error.message)
    return Summary(
        architecture=header.architecture,
        parameters=sum(part.parameters for part in [header, *others]),
        context_length=header.own("context_length"),
        quantization=header.quantization,
        licence=header.text("general.license"),
    )
