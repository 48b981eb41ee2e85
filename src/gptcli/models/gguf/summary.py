"""What a listing says of a model's file, remembered so that 20 of them cost a millisecond and not a walk through each.

It knows headers by way of gguf.py and where the memory of them lies; a changed file is read again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gptcli import settings
from gptcli.errors import LoadError
from gptcli.models.gguf import header as gguf
from gptcli.models.gguf import split
from gptcli.models.store import trust


@dataclass(frozen=True, slots=True)
class Summary:
    """A model by its header; `damage` says why there is nothing else."""

    architecture: str = ""
    parameters: int = 0
    context_length: int | None = None
    quantization: str = "?"
    licence: str | None = None
    damage: str | None = None


def summarize(paths: Iterable[Path]) -> dict[Path, Summary]:
    """A summary for the first part of every model in `paths`; of a split model, with the parameters of all parts."""
    known = _load()
    found: dict[Path, Summary] = {}
    fresh = False
    for path in paths:
        key, state = trust.state(path)
        if known.get(key, {}).get("state") == state:
            found[path] = Summary(**known[key]["summary"])
        else:
            found[path] = _read(path)
            known[key] = {"state": state, "summary": asdict(found[path])}
            fresh = True
    if fresh:
        _save(known)
    return found


def _read(path: Path) -> Summary:
    try:
        header = gguf.read_header(path)
        others = [gguf.read_header(path.with_name(name)) for name in split.parts(path.name) if name != path.name]
    except LoadError as error:
        return Summary(damage=error.message)
    return Summary(
        architecture=header.architecture,
        parameters=sum(part.parameters for part in [header, *others]),
        context_length=header.own("context_length"),
        quantization=header.quantization,
        licence=header.text("general.license"),
    )


def _file() -> Path:
    return settings.cache_dir() / "headers.json"


def _load() -> dict[str, dict[str, Any]]:
    with contextlib.suppress(OSError, ValueError):
        document = json.loads(_file().read_bytes())
        if isinstance(document, dict) and document.get("version") == _VERSION:
            return dict(document["files"])
    return {}


def _save(known: dict[str, dict[str, Any]]) -> None:
    file = _file()
    new = file.with_name(f"{file.name}.{os.getpid()}")
    here = {name: entry for name, entry in known.items() if os.path.exists(name)}
    with contextlib.suppress(OSError):  # a read-only cache: every listing reads again
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps({"version": _VERSION, "files": here}), "utf-8")
        os.replace(new, file)


_VERSION = 1
"""Of what `Summary` holds; a memory of another version is forgotten."""
