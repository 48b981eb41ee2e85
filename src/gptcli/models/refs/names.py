"""The user's own names for models and the model meant where none is named, kept in one JSON file.

It knows names and what they stand for as text; whether that text leads anywhere is the resolver's business.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from gptcli import settings
from gptcli.errors import GptcliError


@dataclass(slots=True)
class Names:
    """`aliases` maps a name to a reference; `default` is a reference or None."""

    aliases: dict[str, str] = field(default_factory=dict)
    default: str | None = None


def load() -> Names:
    """What the user has said so far. GptcliError where the file is there and not readable as such."""
    path = file()
    try:
        document = json.loads(path.read_bytes())
        return Names(dict(document["aliases"]), document["default"])
    except FileNotFoundError:
        return Names()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GptcliError(f"The names of models in {path} cannot be read: {error}.", "Repair or remove it.") from error


def save(names: Names) -> None:
    """Replace the file, at once or not at all."""
    path = file()
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps({"default": names.default, "aliases": names.aliases}, indent=2) + "\n", "utf-8")
        os.replace(new, path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise GptcliError(f"{path} cannot be written: {error.strerror}.", "Set GPTCLI_DATA_DIR elsewhere.") from error


def file() -> Path:
    """Where they are kept."""
    return settings.data_dir() / "models.json"
