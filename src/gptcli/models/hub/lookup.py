"""Searching the hub for models: what it finds, with the sizes of each repository's quantizations.

It knows lists; what a repository has is asked of the hub, all at the same time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gptcli.errors import GptcliError
from gptcli.models.gguf import quantization, split
from gptcli.models.hub import repository as hub


@dataclass(frozen=True, slots=True)
class Hit:
    """A repository, and the bytes of each quantization that it has (None where the hub did not say)."""

    repo: str
    downloads: int
    gated: bool
    architecture: str | None
    parameters: int | None
    quantizations: dict[str, int | None]


def look_up(words: str, *, limit: int) -> list[Hit]:
    """Repositories with GGUF models that match `words`, the most downloaded first. OfflineError."""
    found = [one for one in hub.search(words, limit=limit) if quantization.candidates(one.files)]
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(_sizes, (one.repo for one in found)))
    return [
        Hit(one.repo, one.downloads, one.gated, one.architecture, one.parameters, _by_kind(one.files, known))
        for one, known in zip(found, sizes, strict=True)
    ]


def _sizes(repo: str) -> dict[str, int]:
    try:
        return {file.name: file.size for file in hub.list_files(repo)}
    except GptcliError:  # gated, or gone since: its names alone are shown
        return {}


def _by_kind(files: tuple[str, ...], sizes: dict[str, int]) -> dict[str, int | None]:
    kinds: dict[str, int | None] = {}
    for name in quantization.candidates(files):
        parts = [sizes.get(part, 0) for part in split.parts(name)]
        kinds.setdefault(quantization.of(name) or name, sum(parts) if all(parts) else None)
    return kinds
