"""The models stored on this machine: list, verify and remove them.

They come from the hub's cache, from files that the user gave a name, and from external stores: those of LM Studio and
ollama, which are read in place and never changed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gptcli import settings
from gptcli.errors import GptcliError, LoadError
from gptcli.models.gguf import quantization
from gptcli.models.gguf.quantization import split_parts, split_paths
from gptcli.models.progress import Report
from gptcli.models.refs import aliases, catalog, reference
from gptcli.models.store import integrity, store

_OLLAMA_USUAL = "registry.ollama.ai", "library"
_OLLAMA_WEIGHTS = "application/vnd.ollama.image.model"


@dataclass(frozen=True, slots=True)
class Stored:
    """A complete model: its reference, its files (the first is the one to open), their bytes, when it was last read."""

    name: str
    parts: tuple[Path, ...]
    size: int
    used: float
    repo: str | None = None
    commit: str | None = None
    file: str | None = None

    @property
    def path(self) -> Path:
        return self.parts[0]


def stored(*, external: bool = True) -> list[Stored]:
    """Every stored model, by name; `external` includes the external stores."""
    models = [*_from_hub_cache(), *_from_aliases()]
    if external:
        models += [_stored(name, path) for name, path in external_models().items()]
    return sorted(models, key=lambda model: model.name.lower())


def find(path: Path, models: Sequence[Stored]) -> Stored | None:
    """The stored model that `path` belongs to."""
    return next((model for model in models if path in model.parts), None)


def external_models() -> dict[str, Path]:
    """The models of LM Studio and ollama: their references and (first) files, by name."""
    return dict(sorted([*_lm_studio(), *_ollama()]))


def find_external(name: str) -> Path | None:
    """The file of `lmstudio:USER/REPO/FILE.gguf` or `ollama:NAME[:TAG]`."""
    models = external_models()
    return models.get(name) or models.get(f"{name}:latest")


def verify(model: Stored, *, report: Report) -> str | None:
    """What is damaged in `model`, or None. Every byte is read if its hash is known."""
    try:
        integrity.check(model.path)
    except LoadError as error:
        return error.message
    for part in model.parts:
        if expected := _expected_sha256(model, part):
            if (found := integrity.sha256(part, report)) != expected:
                return f"{part} is damaged: its SHA-256 is {found}, not {expected}."
            integrity.record(part, found)
    return None


def remove(models: Sequence[Stored]) -> int:
    """Delete `models` and return about how many bytes that frees. Raises GptcliError for external files."""
    local = [model for model in models if model.repo is None]
    for model in local:
        if model.path.parent != aliases.imports_dir():
            raise GptcliError(
                f"{model.name} is {model.path}, which gptcli does not own.",
                "Delete the file yourself; `gptcli models alias --remove` removes only a name.",
            )
    freed = _remove_from_hub_cache([model for model in models if model.repo is not None])
    for model in local:
        freed += sum(part.stat().st_size for part in model.parts if part.stat().st_nlink == 1)
        for part in model.parts:
            part.unlink()
        aliases.remove(model.name)
    return freed


def _from_hub_cache() -> Iterator[Stored]:
    """Each file once, in its newest commit."""
    known = {(entry.repo, entry.file): entry.alias for entry in catalog.entries().values()}
    for folder in sorted(settings.hub_cache_dir().glob("models--*--*")):
        repo = "/".join(folder.name.split("--", 2)[1:])
        if not reference.is_repo(repo):
            continue
        seen: set[str] = set()
        for commit in store.commits(repo):
            files = quantization.candidates(store.files(repo, commit))
            for file in files:
                if file not in seen:
                    name = known.get((repo, file)) or _shortest_reference(repo, file, files)
                    yield _stored(name, store.snapshot_path(repo, commit, file), repo, commit, file)
            seen.update(files)


def _shortest_reference(repo: str, file: str, files: list[str]) -> str:
    """USER/REPO:QUANT if only this file has that quantization, else USER/REPO:FILE."""
    tag = quantization.of(file)
    return f"{repo}:{tag}" if tag and [*map(quantization.of, files)].count(tag) == 1 else f"{repo}:{file}"


def _from_aliases() -> Iterator[Stored]:
    for name, target in aliases.load().aliases.items():
        path = Path(target).expanduser()
        if isinstance(reference.parse(target), reference.PathReference) and path.is_file():
            yield _stored(name, path)


def _lm_studio() -> Iterator[tuple[str, Path]]:
    """USER/REPO/FILE.gguf in its models folder, which was another one before version 0.3.5."""
    for place in ("~/.lmstudio/models", "~/.cache/lm-studio/models"):
        root = Path(place).expanduser()
        for name in quantization.candidates([path.relative_to(root).as_posix() for path in root.glob("*/*/*.gguf")]):
            yield f"lmstudio:{name}", root / name


def _ollama() -> Iterator[tuple[str, Path]]:
    """manifests/HOST/NAMESPACE/NAME/TAG: JSON with a list of layers, of which one is the GGUF blobs/sha256-HASH."""
    root = Path(os.environ.get("OLLAMA_MODELS") or "~/.ollama/models").expanduser()
    for manifest in (root / "manifests").glob("*/*/*/*"):
        host, namespace, name, tag = manifest.relative_to(root / "manifests").parts
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            layers = json.loads(manifest.read_bytes())["layers"]
            digest = next(layer["digest"] for layer in layers if layer["mediaType"] == _OLLAMA_WEIGHTS)
            kind, _, value = digest.partition(":")
            path = root / "blobs" / f"{kind}-{value}"
            if kind == "sha256" and value.isalnum() and path.is_file():
                place = [part for part, usual in zip((host, namespace), _OLLAMA_USUAL, strict=True) if part != usual]
                yield "ollama:" + "/".join([*place, f"{name}:{tag}"]), path


def _stored(name: str, path: Path, *place: str) -> Stored:
    """`place` is the repository, commit and name of a file of the hub."""
    parts = tuple(split_paths(path))
    states = [part.stat() for part in parts if part.exists()]
    size, used = sum(state.st_size for state in states), max((state.st_atime for state in states), default=0.0)
    return Stored(name, parts, size, used, *place)


def _expected_sha256(model: Stored, part: Path) -> str | None:
    """The name of the blob in the hub's cache, else the hash in the catalog."""
    name = store.blob_name(part) if model.repo else None
    if name is not None and len(name) == 64:
        return name
    entry = next((one for one in catalog.entries().values() if (one.repo, one.file) == (model.repo, model.file)), None)
    return entry.sha256 if entry and entry.commit == model.commit else None


def _remove_from_hub_cache(models: Sequence[Stored]) -> int:
    """The files of each, in every commit, by huggingface_hub, which keeps shared content; a repository's last file
    takes the repository with it."""
    if not models:
        return 0
    import dataclasses

    from huggingface_hub import scan_cache_dir

    doomed = {(model.repo, name) for model in models for name in split_parts(model.file or "")}
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
        # One repository at a time: huggingface_hub takes a commit to be of one, and a duplicate has the same commits.
        alone = dataclasses.replace(cache, repos=frozenset({repo}))
        if gone == every:
            strategy = alone.delete_revisions(*(revision.commit_hash for revision in repo.revisions))
        else:
            strategy = alone.delete_files(*(file for _, file, _ in gone))
        strategy.execute()
        freed += strategy.expected_freed_size
    return freed
