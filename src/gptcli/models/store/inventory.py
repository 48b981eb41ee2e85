"""Which models are stored on this machine, and by which name each is called.

It knows the store, the user's names and other programs' models; what is in the files is summary.py's to say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gptcli import settings
from gptcli.models.gguf import quantization, split
from gptcli.models.refs import catalog, names, reference
from gptcli.models.store import external as foreign
from gptcli.models.store import store


@dataclass(frozen=True, slots=True)
class Stored:
    """A model that is whole: `parts` are its files, the first the one to open. Sizes are bytes, times seconds."""

    name: str
    """What to type to use it."""
    parts: tuple[Path, ...]
    size: int
    used: float
    """When it was last read, as far as the file system keeps that."""
    repo: str | None = None
    commit: str | None = None
    file: str | None = None

    @property
    def path(self) -> Path:
        return self.parts[0]


def stored(*, others: bool = True) -> list[Stored]:
    """Every model of the hub's cache, the user's own files, and with `others` LM Studio's and ollama's, by name."""
    found = [*_of_hub(), *_named_files()]
    if others:
        found += [_stored(model.name, model.path) for model in foreign.models()]
    return sorted(found, key=lambda model: model.name.lower())


def watched(models: list[Stored]) -> list[str]:
    """Every folder and file that says which `models` there are: `stored` finds others only where one has changed."""
    hub = settings.hub_cache_dir()
    paths = [hub, names.file(), *(part for model in models for part in model.parts)]
    for repo in hub.glob("models--*--*"):
        paths += [repo, repo / "blobs", repo / "refs" / "main", *_tree(repo / "snapshots")]
    for root in foreign.roots():
        paths += _tree(root, files=True)
    targets = [Path(target).expanduser() for target in names.load().aliases.values()]
    return [*map(str, paths), *(str(target) for target in targets if target.is_absolute())]


def _tree(root: Path, *, files: bool = False) -> Iterator[Path]:
    """`root`, there or not, all folders below it and, where wanted, all files."""
    yield root
    for folder, folders, filenames in os.walk(root):
        yield from (Path(folder, name) for name in (*folders, *(filenames if files else ())))


def of_path(path: Path, models: list[Stored]) -> Stored | None:
    """The stored model that `path` opens."""
    return next((model for model in models if path in model.parts), None)


def _of_hub() -> Iterator[Stored]:
    """Each file once, of the commit seen last, though older commits may have it too."""
    aliases = {(entry.repo, entry.file): entry.alias for entry in catalog.entries().values()}
    for folder in sorted(settings.hub_cache_dir().glob("models--*--*")):
        repo = "/".join(folder.name.split("--", 2)[1:])
        if not reference.is_repo(repo):
            continue
        seen: set[str] = set()
        for commit in store.commits(repo):
            files = quantization.candidates(store.files(repo, commit))
            for file in files:
                if file not in seen:
                    seen.add(file)
                    name = aliases.get((repo, file)) or _shortest(repo, file, files)
                    path = store.snapshot_path(repo, commit, file)
                    yield _stored(name, path, repo=repo, commit=commit, file=file)


def _shortest(repo: str, file: str, files: list[str]) -> str:
    """USER/REPO:QUANT where that means this file and no other, else USER/REPO:FILE."""
    tag = quantization.of(file)
    same = [name for name in files if quantization.of(name) == tag]
    return f"{repo}:{tag}" if tag and len(same) == 1 else f"{repo}:{file}"


def _named_files() -> Iterator[Stored]:
    for name, target in names.load().aliases.items():
        path = Path(target).expanduser()
        if isinstance(reference.parse(target), reference.PathReference) and path.is_file():
            yield _stored(name, path)


def _stored(
    name: str, path: Path, *, repo: str | None = None, commit: str | None = None, file: str | None = None
) -> Stored:
    parts = tuple(path.with_name(part) for part in split.parts(path.name))
    states = [part.stat() for part in parts if part.exists()]
    return Stored(
        name=name,
        parts=parts,
        size=sum(state.st_size for state in states),
        used=max((state.st_atime for state in states), default=0.0),
        repo=repo,
        commit=commit,
        file=file,
    )
