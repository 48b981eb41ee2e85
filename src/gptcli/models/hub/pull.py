"""Models on the hub: download one, find the outdated ones, search."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gptcli.errors import GptcliError, ModelNotFound
from gptcli.models.gguf import quantization
from gptcli.models.gguf.quantization import split_parts
from gptcli.models.hub import repository
from gptcli.models.hub.download import download_all
from gptcli.models.hub.repository import Found, RemoteFile
from gptcli.models.progress import Report
from gptcli.models.refs.reference import HubReference, did_you_mean
from gptcli.models.store import integrity, inventory, store
from gptcli.models.store.summary import summarize

_MAX_LISTED = 6
"""Alternatives in a message; a repository may have thirty."""


def download(target: HubReference, *, report: Report) -> Path:
    """Store the current files of `target` and return the one to open (the first of a split model).

    Stored files are not downloaded again. Raises ModelNotFound, GatedError, OfflineError, and LoadError if it is no
    model."""
    files = {file.name: file for file in repository.list_files(target.repo, target.revision)}
    names = _named_files(target, files) if target.file else _choose_files(target, files, report)
    path, *_ = download_all(target.repo, [files[name] for name in names], target.revision, report=report)
    integrity.check(path)  # the hub's hash says only that these are the hub's bytes
    summarize(path)  # so that a listing need not read it
    return path


def outdated() -> tuple[list[str], list[tuple[str, str]]]:
    """Models whose content on `main` differs, and repositories that did not respond, with the reason."""
    models = inventory.stored(external=False)
    changed, failed = list[str](), list[tuple[str, str]]()
    for repo in dict.fromkeys(model.repo for model in models if model.repo is not None):
        try:
            current = {file.name: file.sha256 for file in repository.list_files(repo)}
            changed += [model.name for model in models if model.repo == repo and _differs(model, current)]
        except GptcliError as error:
            failed.append((repo, error.message))
    return changed, failed


def search(words: str, *, limit: int) -> list[tuple[Found, dict[str, int | None]]]:
    """Repositories with GGUF models that match `words`, the most downloaded first, and the bytes of each quantization.

    Raises OfflineError."""
    found = [one for one in repository.search(words, limit=limit) if quantization.candidates(one.files)]
    with ThreadPoolExecutor(8) as pool:
        return list(zip(found, pool.map(_quantizations, found), strict=True))


def _named_files(target: HubReference, files: dict[str, RemoteFile]) -> list[str]:
    names = split_parts(target.file or "")
    if missing := [name for name in names if name not in files]:
        hint = did_you_mean(missing[0], files) or f"It has {_some(quantization.candidates(files))}."
        raise ModelNotFound(f"{target.repo} has no file {missing[0]}.", hint)
    return names


def _choose_files(target: HubReference, files: dict[str, RemoteFile], report: Report) -> list[str]:
    try:
        choice = quantization.choose(files, target.tag)
    except ModelNotFound as error:
        raise ModelNotFound(f"{target.repo}: {error.message}", error.hint) from error
    report.note(f"{target.repo}: chose {_describe(choice.file, files)}.")
    if choice.alternatives:
        report.note(f"It also has {_some([_describe(name, files) for name in choice.alternatives])}.")
    if target.tag is None and any(quantization.of(name) == "Q4_0" for name in choice.alternatives):
        from gptcli.llama.devices import repacks_q4_0

        if repacks_q4_0():  # measured by bench/quant_formats.py with SmolLM2 135M on AVX-512
            report.note(
                f"On a CPU, {target.repo}:Q4_0 reads prompts 1.7 times as fast as Q4_K_M (measured with a 135M "
                "model), because llama.cpp rearranges it during loading; its answers are slightly worse."
            )
    return split_parts(choice.file)


def _describe(name: str, files: dict[str, RemoteFile]) -> str:
    size = sum(files[part].size for part in split_parts(name))
    return f"{quantization.of(name) or name} ({size / 1e6:,.0f} MB)"


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - _MAX_LISTED} more" if len(texts) > _MAX_LISTED else ""
    return ", ".join(texts[:_MAX_LISTED]) + more


def _differs(model: inventory.Stored, current: dict[str, str | None]) -> bool:
    """Whether a file has other content; a file deleted on the hub is not outdated."""
    names = split_parts(model.file or "")
    pairs = [(store.blob_name(part), current.get(name)) for part, name in zip(model.parts, names, strict=True)]
    return any(theirs is not None and ours is not None and theirs != ours for ours, theirs in pairs)


def _quantizations(found: Found) -> dict[str, int | None]:
    """The bytes of each quantization; None if the repository is gated, or was deleted since."""
    sizes, totals = dict[str, int](), dict[str, int | None]()
    with contextlib.suppress(GptcliError):
        sizes = {file.name: file.size for file in repository.list_files(found.repo)}
    for name in quantization.candidates(found.files):
        parts = [sizes.get(part, 0) for part in split_parts(name)]
        totals.setdefault(quantization.of(name) or name, sum(parts) if all(parts) else None)
    return totals
