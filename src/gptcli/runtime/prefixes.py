"""Which computed prefixes on disk belong to a model as it was opened, where they lie, and who keeps one.

It joins what the model store, llama.cpp and the shelf say; it reads no state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gptcli import settings
from gptcli.engine.engine import LocalEngine
from gptcli.llama.backend import LlamaBackend
from gptcli.models.gguf import split
from gptcli.models.refs.resolve import ModelFile
from gptcli.models.store import trust
from gptcli.terminal import Terminal

if TYPE_CHECKING:
    from gptcli.engine.prefix_cache import PrefixCache


def folder() -> Path:
    """Where the states are."""
    return settings.cache_dir() / "prefixes"


def shelf_opener(
    model: ModelFile, backend: LlamaBackend, adapters: Sequence[tuple[Path, float]]
) -> Callable[[], PrefixCache] | None:
    """Opens the shelf that belongs to these files on this backend; None where there can be none."""
    if backend.model.is_long_rope:
        return None
    parts = [model.path.with_name(name) for name in split.parts(model.path.name)]
    try:
        files = [_identity(path) for path in parts], [(_identity(path), scale) for path, scale in adapters]
    except OSError:  # a file was removed while it was being opened: what comes in its place is another
        return None

    def shelf() -> PrefixCache:
        from gptcli.engine.prefix_cache import PrefixCache

        return PrefixCache(folder(), repr((files, backend.key)), model.name)

    return shelf


def keep(engine: LocalEngine, terminal: Terminal) -> None:
    """Let other processes find what the last text computed. A full disk is mentioned, and no more."""
    try:
        engine.save_prefix()
    except OSError as error:
        terminal.notice(f"What was computed could not be kept for the next time: {error.strerror}.")


def _identity(path: Path) -> str:
    """The SHA-256 of a file that was verified, else its real path, size and time of change."""
    known = trust.known(path)
    return repr(trust.state(path)) if known in (None, trust.CHECKED) else str(known)
