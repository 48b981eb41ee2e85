"""Finds roles: in a project, in the user's folder, and those that gptcli brings.

A project's roles are somebody else's prompts. They are used only once the user has allowed their folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from gptcli import settings
from gptcli.errors import GptcliError, UsageError
from gptcli.roles.role import NAME, Role, parse

SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a role: `origin` is project, yours or shipped; `allowed` is whether it may be used."""

    name: str
    path: Path
    origin: str
    allowed: bool = True


def user_folder() -> Path:
    """Where the user's own roles are."""
    return settings.config_dir() / "roles"


def project_folder() -> Path | None:
    """`.gptcli/roles` in the working directory or the nearest folder above it."""
    here = Path.cwd()
    return next((found for folder in (here, *here.parents) if (found := folder / ".gptcli" / "roles").is_dir()), None)


def entries() -> list[Entry]:
    """Every role's file by name; of those with one name, the one that is used comes first."""
    found: list[Entry] = []
    project = project_folder()
    if project is not None:
        found += _entries(project, "project", allowed=is_allowed(project))
    found += [*_entries(user_folder(), "yours"), *_entries(SHIPPED, "shipped")]
    return sorted(found, key=lambda entry: (entry.name, not entry.allowed))


def find(name: str, ask: Callable[[Path], bool]) -> Role:
    """The role of that name. `ask`: whether the user allows a project's folder that was not allowed yet.

    Raises UsageError for an unknown role, with the nearest name, and for one that is not allowed or has a mistake."""
    known = [entry for entry in entries() if entry.name == name]
    if not known:
        names = dict.fromkeys(entry.name for entry in entries())
        near = get_close_matches(name, names, 1)
        hint = f"Did you mean {near[0]}?" if near else "`gptcli roles list` shows the roles."
        raise UsageError(f"There is no role {name!r}.", hint)
    entry = known[0]
    if not entry.allowed:
        folder = entry.path.parent
        if not ask(folder):
            message = f"The role {name} is in {folder}, which you have not allowed."
            raise UsageError(message, "Read it, then allow the folder with `gptcli roles allow`.")
        allow(folder)
    return read(entry)


def read(entry: Entry) -> Role:
    """The role in a file. Raises UsageError for a mistake in it."""
    try:
        return parse(entry.name, entry.path, entry.path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{entry.path} cannot be read: {error.strerror}.", "Check the file.") from error
    except UnicodeDecodeError:
        raise UsageError(f"{entry.path} is not UTF-8 text.", "Save it as UTF-8.") from None


def check_name(name: str) -> str:
    """`name`, if a role may have it. Raises UsageError."""
    if NAME.fullmatch(name):
        return name
    raise UsageError(f"{name!r} is not a name for a role.", "Use lower-case letters, digits, - and _.")


def write(path: Path, text: str) -> None:
    """Make or replace a role's file, whole. Raises GptcliError."""
    part = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(text.encode())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GptcliError(f"{path} cannot be written: {error.strerror}.", "Check its folder.") from error


def is_allowed(folder: Path) -> bool:
    """Whether the user has allowed a project's folder."""
    return os.path.realpath(folder) in _allowed()


def allow(folder: Path, *, wanted: bool = True) -> None:
    """Allow a folder, or no longer. Raises GptcliError."""
    others = [path for path in _allowed() if path != os.path.realpath(folder)]
    write(_allowed_file(), json.dumps([*others, os.path.realpath(folder)] if wanted else others, indent=2) + "\n")


def _entries(folder: Path, origin: str, *, allowed: bool = True) -> Iterator[Entry]:
    if folder.is_dir():
        for path in sorted(folder.glob("*.md")):
            if NAME.fullmatch(path.stem):
                yield Entry(path.stem, path, origin, allowed)


def _allowed() -> list[str]:
    try:
        found = json.loads(_allowed_file().read_bytes())
    except (OSError, ValueError):  # no file, or a damaged one: nothing is allowed
        return []
    return [path for path in found if isinstance(path, str)] if isinstance(found, list) else []


def _allowed_file() -> Path:
    return settings.data_dir() / "allowed-roles.json"
