"""GGUF files that LM Studio and ollama keep on this machine: found by their own layouts, read in place, never touched.

It knows `lmstudio:` and `ollama:` names and the folders behind them, and nothing of gptcli's own store.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gptcli.models.gguf import quantization

_OLLAMA_HOST, _OLLAMA_SPACE = "registry.ollama.ai", "library"
_OLLAMA_WEIGHTS = "application/vnd.ollama.image.model"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A model of another program: its name here, and its (first) file."""

    name: str
    path: Path


def models() -> list[Foreign]:
    """All that is found, by name."""
    return sorted([*_lm_studio(), *_ollama()], key=lambda model: model.name)


def roots() -> list[Path]:
    """The folders in which models are looked for, there or not."""
    return [*_lm_studio_roots(), _ollama_root()]


def find(name: str) -> Path | None:
    """The file of `lmstudio:USER/REPO/FILE.gguf` or `ollama:NAME[:TAG]`."""
    wanted = {name, f"{name}:latest"}
    return next((model.path for model in models() if model.name in wanted), None)


def _lm_studio() -> Iterator[Foreign]:
    """USER/REPO/FILE.gguf below its models folder, which was elsewhere before version 0.3.5."""
    for root in _lm_studio_roots():
        files = [path.relative_to(root).as_posix() for path in root.glob("*/*/*.gguf")]
        for name in quantization.candidates(files):
            yield Foreign(f"lmstudio:{name}", root / name)


def _ollama() -> Iterator[Foreign]:
    """manifests/HOST/SPACE/NAME/TAG, each a JSON list of layers, of which one is blobs/sha256-HASH, a GGUF."""
    root = _ollama_root()
    for manifest in (root / "manifests").glob("*/*/*/*"):
        host, space, name, tag = manifest.relative_to(root / "manifests").parts
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            layers = json.loads(manifest.read_bytes())["layers"]
            digest = next(layer["digest"] for layer in layers if layer["mediaType"] == _OLLAMA_WEIGHTS)
            kind, _, value = digest.partition(":")
            path = root / "blobs" / f"{kind}-{value}"
            if kind == "sha256" and value.isalnum() and path.is_file():
                place = [part for part, usual in ((host, _OLLAMA_HOST), (space, _OLLAMA_SPACE)) if part != usual]
                yield Foreign("ollama:" + "/".join([*place, f"{name}:{tag}"]), path)


def _lm_studio_roots() -> list[Path]:
    return [Path("~/.lmstudio/models").expanduser(), Path("~/.cache/lm-studio/models").expanduser()]


def _ollama_root() -> Path:
    return Path(os.environ.get("OLLAMA_MODELS") or "~/.ollama/models").expanduser()
