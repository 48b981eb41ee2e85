"""Reads the settings file, and knows the line of every key; to write it is the work of `edit`."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

Key = tuple[str, ...]
"""The name of a setting, or `models`, a model and the name."""

_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


@dataclass
class SettingsFile:
    """The content of a file; `problem` is why it cannot be read, at `problem_line`."""

    path: Path
    text: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    problem_line: int = 0

    @classmethod
    def read(cls, path: Path) -> SettingsFile | None:
        """The file, also one with a mistake; None if there is none. Nothing but its absence costs a single look."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return cls(path, problem=f"cannot be read: {error.strerror}")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            return cls(path, problem="is not UTF-8 text", problem_line=data.count(b"\n", 0, error.start) + 1)
        return cls.parse(path, text)

    @classmethod
    def parse(cls, path: Path, text: str) -> SettingsFile:
        """The same of a text."""
        try:
            return cls(path, text, _loads(text))
        except ValueError as error:
            match = _AT_LINE.search(str(error))
            line = int(match[1]) if match and match[1] else text.count("\n") + 1
            why = _AT_LINE.sub("", str(error)).strip().rstrip(".")
            return cls(path, text, {}, f"is not TOML: {why[:1].lower()}{why[1:]}", line)

    def where(self, key: Key = ()) -> str:
        """The file's name and the line of `key`, or of the problem."""
        line = self.lines.get(key, 0) if key else self.problem_line
        return f"{self.path.name}, line {line}" if line else self.path.name

    @cached_property
    def lines(self) -> dict[Key, int]:
        """The line of each key. TOML's reader does not tell it, so statements are read one by one: lines are added
        until they are a whole one."""
        found: dict[Key, int] = {}
        header, statement, start = "", "", 1
        for number, line in enumerate(self.text.splitlines(keepends=True), 1):
            if not statement and not line.strip():
                start = number + 1
                continue
            statement += line
            try:
                document = _loads(header + statement)
            except ValueError:
                continue
            for key in _keys(document):
                found.setdefault(key, start)
            if statement.lstrip().startswith("["):
                header = statement
            statement, start = "", number + 1
        return found


def _loads(text: str) -> dict[str, Any]:
    """Raises ValueError for what is not TOML, which nested arrays without end are as well."""
    if sys.version_info >= (3, 11):
        from tomllib import loads
    else:
        from tomli import loads
    try:
        return loads(text)
    except RecursionError:
        raise ValueError("Values are nested too deeply") from None


def _keys(document: dict[str, Any]) -> list[Key]:
    found: list[Key] = []
    for name, value in document.items():
        found.append((name,))
        if name == "models" and isinstance(value, dict):
            for model, section in value.items():
                found.append((name, model))
                found += [(name, model, key) for key in section] if isinstance(section, dict) else []
    return found
