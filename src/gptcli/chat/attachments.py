"""Files attached to a message: found by path or pattern, read as text, and put into fences."""

from __future__ import annotations

import glob
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from gptcli.errors import GptcliError

_MAX_FILES = 100
_MAX_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file's name and text."""

    name: str
    text: str


def attach(argument: str) -> list[Attachment]:
    """The files that a path or globs (also `**`) match, in order. Raises GptcliError if one is not readable text."""
    paths = _find(argument)
    if len(paths) > _MAX_FILES:
        raise GptcliError(f"{argument} matches {len(paths)} files.", f"Attach at most {_MAX_FILES} at once.")
    try:
        size = sum(path.stat().st_size for path in paths)
        if size > _MAX_BYTES:
            raise GptcliError(f"{argument} has {size:,} bytes.", f"Attach at most {_MAX_BYTES:,}.")
        return [Attachment(str(path), _read(path)) for path in paths]
    except OSError as error:
        raise GptcliError(f"{error.filename} cannot be read: {error.strerror}.", "Check the path.") from error


def with_attachments(attachments: list[Attachment], message: str) -> str:
    """The files, each in a fence longer than any that it contains, then the message."""
    parts = []
    for attachment in attachments:
        longest = max(map(len, re.findall("`+", attachment.text)), default=0)
        fence = "`" * max(3, longest + 1)
        parts.append(f"{attachment.name}:\n{fence}\n{attachment.text.rstrip()}\n{fence}")
    return "\n\n".join([*parts, message])


def _find(argument: str) -> list[Path]:
    """One path taken literally if it exists, else words, each a path or a pattern."""
    try:
        words = [argument] if os.path.exists(os.path.expanduser(argument)) else shlex.split(argument)
    except ValueError:
        words = [argument]
    found: dict[Path, None] = {}
    for word in words:
        path = Path(os.path.expanduser(word))
        matches = [path] if path.is_file() else map(Path, sorted(glob.glob(str(path), recursive=True)))
        files = [match for match in matches if match.is_file()]
        if path.is_dir() and not files:
            raise GptcliError(f"{word} is a folder.", f"Attach its files: /file {path}/*")
        if path.exists() and not files:  # a device, a pipe, a socket
            raise GptcliError(f"{word} is not a regular file.", "Attach files of text.")
        if not files:
            raise GptcliError(f"No file matches {word}.", "Check the path.")
        found |= dict.fromkeys(files)
    return list(found)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GptcliError(f"{path} is not text: byte {error.start:,} is not UTF-8.", "Convert it first.") from error
