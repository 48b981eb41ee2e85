"""The rules for the user's own names: which are allowed, what they may stand for, and how one is taken back.

It knows no file and no network: a name may stand for what is not stored yet.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from gptcli import settings
from gptcli.errors import ModelNotFound, UsageError
from gptcli.models.refs import catalog, names, reference
from gptcli.models.refs.reference import AliasReference, PathReference


def check(name: str) -> str:
    """`name` if the user may give it to a model; UsageError otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", name) or name.lower().endswith(".gguf"):
        raise UsageError(f"{name!r} cannot be a model's name.", "Use letters, digits and . _ - +, and no .gguf.")
    if name in catalog.entries():
        raise UsageError(f"{name} is a model of the catalog.", "Choose another name.")
    return name


def check_new(name: str, source: Path) -> str:
    """`name` if `source` may be kept under it: it is free, or that very file has it. UsageError otherwise."""
    target = names.load().aliases.get(check(name))
    if target is not None and not (os.path.exists(target) and os.path.samefile(source, target)):
        raise UsageError(f"{name} is the name of another model already.", "Choose one with --name, or remove it first.")
    return name


def give(name: str, text: str) -> None:
    """Let `name` stand for the reference `text` from now on. ModelNotFound where that names nothing."""
    check(name)
    target = reference.parse(text)
    known = names.load()
    if isinstance(target, AliasReference):
        if target.name in known.aliases:
            text = known.aliases[target.name]  # a name stands for a model, never for another name
        elif not _is_known(target.name):
            raise _unknown(target.name)
    elif isinstance(target, PathReference):
        path = Path(target.path).expanduser().absolute()
        if not path.is_file():
            raise ModelNotFound(f"There is no file {path}.", "Check the path.")
        text = str(path)
    _check_kept(known, name)
    known.aliases[name] = text
    names.save(known)


def forget(name: str) -> None:
    """Take a name back. ModelNotFound where there is none."""
    known = names.load()
    if name not in known.aliases:
        raise ModelNotFound(f"You have given no model the name {name!r}.", "`gptcli models alias` lists the names.")
    _check_kept(known, name)
    del known.aliases[name]
    known.default = None if known.default == name else known.default
    names.save(known)


def set_default(text: str) -> None:
    """Make `text` the model that is meant where none is named."""
    target = reference.parse(text)
    known = names.load()
    if isinstance(target, AliasReference) and target.name not in known.aliases and not _is_known(target.name):
        raise _unknown(target.name)
    if isinstance(target, PathReference):
        path = Path(target.path).expanduser().absolute()
        if not path.is_file():
            raise ModelNotFound(f"There is no file {path}.", "Check the path.")
        text = str(path)
    known.default = text
    names.save(known)


def _check_kept(known: names.Names, name: str) -> None:
    """UsageError where `name` is all that leads to a file in gptcli's keeping, which nobody would find any more."""
    target = known.aliases.get(name)
    if target is None or list(known.aliases.values()).count(target) > 1:
        return
    if Path(target).parent == settings.data_dir() / "models" and os.path.exists(target):
        raise UsageError(f"{name} is the only name of {target}.", f"`gptcli models rm {name}` deletes both.")


def _is_known(name: str) -> bool:
    return name in catalog.entries() or name.partition(":")[0] in reference.OTHER_PROGRAMS


def _unknown(name: str) -> ModelNotFound:
    return ModelNotFound(f"No model is called {name!r}.", "`gptcli models list --catalog` shows the names.")
