"""Whether stored files are what they should be: hashed where their hash is known, checked in structure everywhere.

It knows stored models and where a right SHA-256 is written; it repairs nothing.
"""

from __future__ import annotations

from pathlib import Path

from gptcli.errors import LoadError
from gptcli.models.gguf import structure
from gptcli.models.refs import catalog
from gptcli.models.report import Report
from gptcli.models.store import store, trust
from gptcli.models.store.inventory import Stored

_BLOCK = 1 << 22


def verify(model: Stored, *, report: Report) -> str | None:
    """What is damaged of `model`, or None; every byte of it is read where a hash says what it should be."""
    try:
        structure.check(model.path)
    except LoadError as error:
        return error.message
    for part in model.parts:
        expected = _expected(model, part)
        if expected is not None:
            found = sha256(part, report)
            if found != expected:
                return f"{part} is damaged: its SHA-256 is {found}, not {expected}."
            trust.remember(part, found)
    return None


def _expected(model: Stored, part: Path) -> str | None:
    """The blob's name in the hub's cache, else the catalog's word."""
    name = store.blob_name(part) if model.repo else None
    if name is not None and len(name) == 64:
        return name
    entry = next((one for one in catalog.entries().values() if (one.repo, one.file) == (model.repo, model.file)), None)
    return entry.sha256 if entry and entry.commit == model.commit else None


def sha256(path: Path, report: Report, label: str | None = None) -> str:
    """The SHA-256 of a file, in lower-case hexadecimal; `label` is what is shown meanwhile, instead of its name."""
    import hashlib

    digest = hashlib.sha256()
    report.start(label or path.name, path.stat().st_size)
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                report.advance(len(block))
    finally:
        report.finish()
    return digest.hexdigest()
