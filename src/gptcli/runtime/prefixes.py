"""Which prefixes on disk belong to a model as it was loaded, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gptcli import settings
from gptcli.llama.backend import LlamaBackend
from gptcli.models.gguf.quantization import split_paths
from gptcli.models.resolve import ModelFile
from gptcli.models.store import integrity

if TYPE_CHECKING:
    from gptcli.engine.prefix_cache import PrefixCache


def folder() -> Path:
    """The folder of the prefix cache."""
    return settings.cache_dir() / "prefixes"


def prefix_cache_opener(
    model: ModelFile, backend: LlamaBackend, adapters: Sequence[tuple[Path, float]]
) -> Callable[[], PrefixCache] | None:
    """Opens the prefix cache of these files on this backend; None where a model's states cannot be kept."""
    if backend.model.is_long_rope:
        return None
    try:
        parts = [_identity(path) for path in split_paths(model.path)]
        files = parts, [(_identity(path), scale) for path, scale in adapters]
    except OSError:  # a file was removed while it was being opened; another may take its name
        return None

    def open_cache() -> PrefixCache:
        from gptcli.engine.prefix_cache import PrefixCache

        return PrefixCache(folder(), repr((files, backend.key)), model.name)

    return open_cache


def _identity(path: Path) -> str:
    """The SHA-256 of a file that was verified, else its real path, size and modification time."""
    known = integrity.recorded(path)
    return repr(integrity.file_state(path)) if known in (None, integrity.CHECKED) else str(known)
