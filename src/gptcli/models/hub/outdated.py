"""Which stored models are no longer what the hub has under their name.

It knows what is stored and asks the hub; it fetches nothing.
"""

from __future__ import annotations

from gptcli.errors import GptcliError
from gptcli.models.gguf import split
from gptcli.models.hub import repository as hub
from gptcli.models.store import inventory, store


def outdated() -> tuple[list[str], list[tuple[str, str]]]:
    """Names of models whose content on `main` differs, and repositories that could not be asked with the reason."""
    by_repo: dict[str, list[inventory.Stored]] = {}
    for model in inventory.stored(others=False):
        if model.repo is not None:
            by_repo.setdefault(model.repo, []).append(model)
    changed: list[str] = []
    unknown: list[tuple[str, str]] = []
    for repo, models in by_repo.items():
        try:
            now = {file.name: file.sha256 for file in hub.list_files(repo)}
        except GptcliError as error:
            unknown.append((repo, error.message))
            continue
        changed += [model.name for model in models if _differs(model, now)]
    return changed, unknown


def _differs(model: inventory.Stored, now: dict[str, str | None]) -> bool:
    """A file that is gone from the hub is not newer there."""
    names = split.parts(model.file or "")
    pairs = [(store.blob_name(part), now.get(name)) for part, name in zip(model.parts, names, strict=True)]
    return any(there is not None and here is not None and there != here for here, there in pairs)
