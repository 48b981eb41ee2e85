"""Values that only this machine knows, for shell completion: model names, conversations, GGUF files.

Options name these functions as `autocompletion=`. Typer keeps those values that begin with what was typed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable

from gptcli.errors import GptcliError

SAFE = re.compile(r"[\w@%+,./:-]+")
"""Values that need no quotes in any shell; others are not suggested."""

_MOST_CHATS = 200


def one_of(*values: str) -> Callable[[], list[str]]:
    """Suggest `values`, for an option that accepts others too."""
    return lambda: list(values)


def model_names() -> list[str]:
    """The stored models, as far as they can be read, then the catalog's aliases."""
    from gptcli.models.refs import catalog
    from gptcli.models.store import inventory

    stored: list[str] = []
    with contextlib.suppress(GptcliError, OSError):
        stored = [model.name for model in inventory.stored()]
    return list(dict.fromkeys([*stored, *catalog.entries()]))


def models() -> list[str]:
    """Model names and the GGUF files of the working directory."""
    return [*model_names(), *(name for name in os.listdir() if name.lower().endswith(".gguf"))]


def chats() -> list[tuple[str, str]]:
    """Conversations, the last used first: the name, or else the id, and the title."""
    from gptcli import settings
    from gptcli.chat.store import Store

    if not (settings.data_dir() / "conversations.db").exists():
        return []  # a Tab makes no file
    with contextlib.suppress(GptcliError), Store() as store:
        return [
            (chat.name, chat.title) if chat.name and SAFE.fullmatch(chat.name) else (chat.id, chat.name or chat.title)
            for chat in store.summaries(_MOST_CHATS)
        ]
    return []
