"""The user's own names for models and their default model, kept in one JSON file."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from gptcli import settings
from gptcli.errors import GptcliError, ModelNotFound, UsageError
from gptcli.models.files import replace_text
from gptcli.models.refs import catalog, reference
from gptcli.models.refs.reference import AliasReference, PathReference

MAX_LENGTH = 200
"""Of a name: a file is called after it."""


@dataclass(slots=True)
class Names:
    """`aliases` maps names to references; `default` is a reference or None."""

    aliases: dict[str, str] = field(default_factory=dict)
    default: str | None = None


def imports_dir() -> Path:
    """The folder of imported files, which only aliases lead to."""
    return settings.data_dir() / "models"


def load() -> Names:
    """The stored names. Raises GptcliError if the file is invalid."""
    try:
        document = json.loads(_file().read_bytes())
        return Names(dict(document["aliases"]), document["default"])
    except FileNotFoundError:
        return Names()
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"The names of models in {_file()} cannot be read: {error}."
        raise GptcliError(message, "Repair or remove it.") from error


def save(names: Names) -> None:
    """Replace the file, atomically."""
    document = {"default": names.default, "aliases": names.aliases}
    try:
        replace_text(_file(), json.dumps(document, indent=2) + "\n")
    except OSError as error:
        hint = "Set GPTCLI_DATA_DIR elsewhere."
        raise GptcliError(f"{_file()} cannot be written: {error.strerror}.", hint) from error


def check(name: str) -> str:
    """Return `name` if it is allowed as an alias; raise UsageError otherwise."""
    valid = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", name) and len(name) <= MAX_LENGTH
    if not valid or name.lower().endswith(".gguf"):
        hint = f"Use up to {MAX_LENGTH} letters, digits and . _ - +, without .gguf."
        raise UsageError(f"{name!r} is not a valid name.", hint)
    if name in catalog.entries():
        raise UsageError(f"{name} is a model in the catalog.", "Choose another name.")
    return name


def check_new(name: str, source: Path) -> str:
    """Return `name` if it is free or already names `source`; raise UsageError otherwise."""
    target = load().aliases.get(check(name))
    if target is not None and not (os.path.exists(target) and os.path.samefile(source, target)):
        raise UsageError(f"{name} names another model already.", "Choose one with --name, or remove it first.")
    return name


def add(name: str, text: str) -> None:
    """Make `name` an alias of the reference `text`. Raises ModelNotFound if nothing has that reference."""
    names = load()
    check(name)
    target = names.aliases.get(text) or _checked_target(text)  # an alias stands for a model, never for another alias
    _check_not_last(names, name)
    names.aliases[name] = target
    save(names)


def set_path(name: str, path: Path) -> None:
    """Make `name` an alias of a file that gptcli keeps."""
    names = load()
    names.aliases[name] = str(path)
    save(names)


def remove(name: str) -> None:
    """Remove an alias. Raises ModelNotFound if there is none."""
    names = load()
    if name not in names.aliases:
        raise ModelNotFound(f"There is no alias {name!r}.", "`gptcli models alias` lists them.")
    _check_not_last(names, name)
    del names.aliases[name]
    names.default = None if names.default == name else names.default
    save(names)


def set_default(text: str) -> None:
    """Make `text` the default model. Raises ModelNotFound if nothing has that reference."""
    names = load()
    names.default = text if text in names.aliases else _checked_target(text)
    save(names)


def spellings(text: str) -> tuple[str, ...]:
    """The names that a model has in a section of the settings: as written, what an alias stands for, and each without
    its quantization; of a path also the file's name without its suffix."""
    found = [text, load().aliases.get(text, text)]
    found += [name.partition(":")[0] for name in found if "/" in name and ":" in name]
    found += [Path(name).stem for name in found if name.lower().endswith(".gguf")]
    return tuple(dict.fromkeys(found))


def _checked_target(text: str) -> str:
    """`text` in the form in which it is stored, a path as an absolute one."""
    text = text.strip()
    target = reference.parse(text)
    if isinstance(target, PathReference):
        path = Path(target.path).expanduser().absolute()
        if not path.is_file():
            raise ModelNotFound(f"There is no file {path}.", "Check the path.")
        return str(path)
    if isinstance(target, AliasReference) and not (
        target.name in catalog.entries() or target.name.partition(":")[0] in reference.EXTERNAL_STORES
    ):
        raise ModelNotFound(f"No model is called {target.name!r}.", "`gptcli models list --catalog` shows the names.")
    return text


def _check_not_last(names: Names, name: str) -> None:
    """Raise UsageError if `name` is the only name of an imported file, which nobody would find without it."""
    target = names.aliases.get(name, "")
    is_only = list(names.aliases.values()).count(target) == 1
    if is_only and Path(target).parent == imports_dir() and os.path.exists(target):
        raise UsageError(f"{name} is the only name of {target}.", f"`gptcli models rm {name}` deletes both.")


def _file() -> Path:
    return settings.data_dir() / "models.json"
