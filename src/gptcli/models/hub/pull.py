"""Fetching a model that is named by its place on the hub: which of the repository's files, and all of its parts.

It knows lists of names and sizes; the choice among them, the transfer and the store are its neighbours'.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gptcli import settings
from gptcli.errors import ModelNotFound, OfflineError
from gptcli.models.gguf import quantization, split, summary
from gptcli.models.hub import repository as hub
from gptcli.models.hub.repository import RemoteFile
from gptcli.models.hub.session import endpoint
from gptcli.models.refs import reference, resolve
from gptcli.models.refs.reference import HubReference
from gptcli.models.report import Report
from gptcli.models.store import trust

_SHOWN = 6
"""Alternatives that are named; a repository may have thirty."""


def bring(text: str, *, offline: bool, report: Report) -> Path:
    """Store what `text` means, as the hub has it now; where the hub is out of reach, what is here is good enough.

    ModelNotFound, GatedError, OfflineError."""
    target = reference.parse(text, endpoint=endpoint())
    if offline or settings.offline() or not isinstance(target, HubReference):
        return resolve.resolve(text, offline=offline, report=report).path
    try:
        return pull(target, report=report)
    except OfflineError as error:
        path = resolve.stored(target)
        if path is None:
            raise
        report.note(f"{error.message} What is stored of {text} stays as it is.")
        return path


def pull(target: HubReference, *, report: Report) -> Path:
    """Store what `target` means, as the hub has it now, and return the file to open (of a split model the first).

    What of it is here already is not fetched again. ModelNotFound, GatedError, OfflineError.
    """
    path = _pulled(target, report)
    summary.summarize([path])  # a listing finds it read already
    return path


def _pulled(target: HubReference, report: Report) -> Path:
    files = {file.name: file for file in hub.list_files(target.repo, target.revision)}
    names = _named(target, files) if target.file else _chosen(target, files, report)
    wanted = [files[name] for name in names]
    if len(wanted) > 1:
        paths = hub.fetch_all(target.repo, wanted, target.revision, report=report)
    else:
        paths = [_fetch(target, wanted[0], report)]
    for path, file in zip(paths, wanted, strict=True):
        if file.sha256 is not None:
            trust.remember(path, file.sha256)
    return paths[0]


def _fetch(target: HubReference, file: RemoteFile, report: Report) -> Path:
    return hub.fetch(
        target.repo,
        file.name,
        target.revision,
        expected_sha256=file.sha256,
        expected_size=file.size,
        report=report,
    )


def _named(target: HubReference, files: dict[str, RemoteFile]) -> list[str]:
    names = split.parts(target.file or "")
    missing = [name for name in names if name not in files]
    if missing:
        import difflib

        near = difflib.get_close_matches(missing[0], files, n=3, cutoff=0.5)
        advice = f"Did you mean {' or '.join(near)}?" if near else f"It has: {_some(quantization.candidates(files))}."
        raise ModelNotFound(f"{target.repo} has no file {missing[0]}.", advice)
    return names


def _chosen(target: HubReference, files: dict[str, RemoteFile], report: Report) -> list[str]:
    try:
        choice = quantization.choose(files, target.tag)
    except ModelNotFound as error:
        raise ModelNotFound(f"{target.repo}: {error.message}", error.hint) from error
    report.note(f"{target.repo}: chose {_described(choice.file, files)}.")
    if choice.alternatives:
        report.note(f"It also has {_some([_described(name, files) for name in choice.alternatives])}.")
    if target.tag is None and any(quantization.of(name) == "Q4_0" for name in choice.alternatives):
        _recommend(f"{target.repo}:Q4_0", report)
    return list(choice.parts)


def _recommend(name: str, report: Report) -> None:
    """Say what Q4_0 is good for, where that is so. Measured by bench/quant_formats.py on SmolLM2 135M, AVX-512."""
    from gptcli.llama.processor import repacks_q4_0

    if repacks_q4_0():
        report.note(
            f"On a CPU, {name} reads prompts 1.7 times as fast as Q4_K_M (measured with a 135M model), "
            "for llama.cpp rearranges it as it loads; its answers are somewhat worse."
        )


def _described(name: str, files: dict[str, RemoteFile]) -> str:
    size = sum(files[part].size for part in split.parts(name))
    return f"{quantization.of(name) or name} ({size / 1e6:,.0f} MB)"


def _some(texts: Iterable[str]) -> str:
    texts = list(texts)
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
