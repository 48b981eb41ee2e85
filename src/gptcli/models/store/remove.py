"""Deleting stored models by the hub cache's own rules, so that no other program's or repository's file is harmed.

It knows which files make up a model; what may go with them (shared content, empty folders) huggingface_hub decides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from gptcli import settings
from gptcli.errors import GptcliError
from gptcli.models.gguf import split
from gptcli.models.refs import aliases as naming
from gptcli.models.store.imports import imports_dir
from gptcli.models.store.inventory import Stored


def remove(models: Sequence[Stored]) -> int:
    """Delete `models` and return about how many bytes that frees. GptcliError for a file that is not gptcli's."""
    foreign = [model for model in models if model.repo is None and not _is_import(model.path)]
    if foreign:
        raise GptcliError(
            f"{foreign[0].name} is {foreign[0].path}, which gptcli does not own.",
            "Delete it where it came from; `gptcli models alias --remove` removes only a name.",
        )
    freed = _from_hub([model for model in models if model.repo is not None])
    for model in models:
        if model.repo is None:
            freed += sum(part.stat().st_size for part in model.parts if part.stat().st_nlink == 1)
            for part in model.parts:
                part.unlink()
            naming.forget(model.name)
    return freed


def _is_import(path: Path) -> bool:
    return path.parent == imports_dir()


def _from_hub(models: Sequence[Stored]) -> int:
    """The files of each, in every commit; with the last file of a repository all that is left of it."""
    if not models:
        return 0
    from huggingface_hub import scan_cache_dir

    doomed = {(model.repo, name) for model in models for name in split.parts(model.file or "")}
    cache = scan_cache_dir(settings.hub_cache_dir())
    freed = 0
    for repo in cache.repos:
        every = {
            (revision.commit_hash, file, file.file_path.relative_to(revision.snapshot_path).as_posix())
            for revision in repo.revisions
            for file in revision.files
        }
        gone = {item for item in every if repo.repo_type == "model" and (repo.repo_id, item[2]) in doomed}
        if not gone:
            continue
        # By itself, for huggingface_hub takes a commit to be of one repository, and a duplicated one has the same.
        alone = dataclasses.replace(cache, repos=frozenset({repo}))
        if gone == every:
            strategy = alone.delete_revisions(*(revision.commit_hash for revision in repo.revisions))
        else:
            strategy = alone.delete_files(*(file for _, file, _ in gone))
        strategy.execute()
        freed += strategy.expected_freed_size
    return freed
