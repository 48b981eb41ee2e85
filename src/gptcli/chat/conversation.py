"""A conversation as an immutable value: a tree of messages, and the leaf that the next message answers."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gptcli.errors import GptcliError
from gptcli.params import SAMPLING_PARAMS, Sampling
from gptcli.types import FinishReason, Message

SHORT_ID = 8  # hex digits of a turn's id that tell the turns of one conversation apart
_ID_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another
_ID_LENGTH = 6
_TITLE_LENGTH = 60


def new_turn_id() -> str:
    """128 random bits in hex. A turn has its id before it is saved, so saving it twice stores it once."""
    return os.urandom(16).hex()


def new_conversation_id() -> str:
    """Six letters and digits, short enough to type (29 bits; the store avoids ids that are taken)."""
    return "".join(_ID_LETTERS[byte % len(_ID_LETTERS)] for byte in os.urandom(_ID_LENGTH))


@dataclass(frozen=True, slots=True)
class Turn:
    """One message in the tree; `parent` is the message it answers, None for a first message."""

    role: str
    content: str
    parent: str | None = None
    id: str = field(default_factory=new_turn_id)
    created: float = field(default_factory=time.time)  # seconds since 1970, UTC
    reasoning: str = ""  # not part of `content`
    model: str | None = None
    finish: FinishReason | None = None  # why an answer ended
    sampling: Mapping[str, object] = field(default_factory=dict)  # see `settings_of`
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def short_id(self) -> str:
        return self.id[:SHORT_ID]


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation in a listing; times are seconds since 1970."""

    id: str
    name: str | None
    title: str
    model: str | None
    created: float
    updated: float
    messages: int  # the number of messages on all branches


@dataclass(frozen=True, slots=True)
class Conversation:
    """A tree of turns, oldest first."""

    id: str = field(default_factory=new_conversation_id)
    name: str | None = None
    title: str = ""  # the first words of the first user message
    model: str | None = None  # the model that answered last
    leaf: str | None = None  # the turn that the next one answers; None if there is none, or all were undone
    created: float = field(default_factory=time.time)
    updated: float = 0.0
    turns: Mapping[str, Turn] = field(default_factory=dict)

    def path(self, leaf: str | None = None) -> tuple[Turn, ...]:
        """The turns from the root to `leaf`, or to the current leaf."""
        at = self.leaf if leaf is None else leaf
        path = []
        while at is not None:
            path.append(self.turns[at])
            at = path[-1].parent
        return tuple(reversed(path))

    def messages(self) -> tuple[Message, ...]:
        """The messages on the path to the current leaf."""
        return tuple(Message(turn.role, turn.content) for turn in self.path())

    @property
    def system(self) -> str:
        """The system message, empty if there is none."""
        root = next(iter(self.path()), None)
        return root.content if root and root.role == "system" else ""

    def last(self, role: str) -> Turn | None:
        """The newest turn of `role` on the path."""
        return next((turn for turn in reversed(self.path()) if turn.role == role), None)

    def children(self, parent: str | None) -> tuple[Turn, ...]:
        """The turns that answer `parent`, oldest first; for None, the first turns."""
        return tuple(turn for turn in self.turns.values() if turn.parent == parent)

    def siblings(self, turn_id: str) -> tuple[Turn, ...]:
        """The turn and its alternatives, which answer the same turn, oldest first."""
        return self.children(self.turns[turn_id].parent)

    def branches(self) -> tuple[tuple[Turn, ...], ...]:
        """The path to every turn without an answer, oldest first."""
        answered = {turn.parent for turn in self.turns.values()}
        return tuple(self.path(turn_id) for turn_id in self.turns if turn_id not in answered)

    def find(self, prefix: str) -> Turn:
        """The one turn whose id starts with `prefix`. Raises GptcliError if none or several do."""
        found = [turn for turn in self.turns.values() if turn.id.startswith(prefix.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            raise GptcliError(f"{len(found)} message ids start with {prefix!r}.", "Type more of the id.")
        raise GptcliError(f"No message id starts with {prefix!r}.", "`/branches` lists the branches.")

    def at(self, leaf: str | None) -> Conversation:
        """The same tree with another leaf; None is before the first message."""
        if leaf is not None and leaf not in self.turns:
            raise KeyError(leaf)
        return replace(self, leaf=leaf)

    def add(self, *turns: Turn) -> Conversation:
        """With `turns` added, the last as the leaf. A turn whose id is known stays as it is."""
        if not turns:
            return self
        known = dict(self.turns)
        title, model, updated = self.title, self.model, self.updated
        for turn in turns:
            if turn.parent is not None and turn.parent not in known:
                raise KeyError(turn.parent)
            known.setdefault(turn.id, turn)
            title = title or (title_of(turn.content) if turn.role == "user" else "")
            model = turn.model or model
            updated = max(updated, turn.created)
        return replace(self, title=title, model=model, updated=updated, leaf=turns[-1].id, turns=known)

    def put(self, turn: Turn) -> Conversation:
        """With `turn` as the leaf, in place of the turn with its id if there is one."""
        return replace(self.add(turn), turns={**self.turns, turn.id: turn})

    def extend(self, turn: Turn) -> Conversation:
        """With a longer version of an answer, in its place or beside it, see `extension`."""
        return self.put(extension(self.turns[turn.id], bool(self.children(turn.id)), turn))


def extension(old: Turn, answered: bool, new: Turn) -> Turn:
    """The turn to keep of `new`, a longer version of `old` with the same id: it replaces `old`, unless another process
    has answered or continued that meanwhile. Then it becomes a sibling with an id of its own."""
    grows = new.content.startswith(old.content) and new.reasoning.startswith(old.reasoning)
    if grows and not answered:
        return replace(new, parent=old.parent, role=old.role, created=old.created)
    if (new.content, new.reasoning) == (old.content, old.reasoning):
        return old
    return replace(new, parent=old.parent, role=old.role, id=new_turn_id())


def copy_turns(turns: tuple[Turn, ...], parent: str | None) -> tuple[Turn, ...]:
    """Copies of a path, with ids of their own, below another parent."""
    copies: list[Turn] = []
    for turn in turns:
        copies.append(replace(turn, id=new_turn_id(), parent=copies[-1].id if copies else parent))
    return tuple(copies)


def title_of(text: str) -> str:
    """The first words of `text` on one line of at most 60 characters."""
    start = " ".join(text[: 20 * _TITLE_LENGTH].split())
    if len(start) <= _TITLE_LENGTH:
        return start
    cut = start[: _TITLE_LENGTH - 1]
    return (cut.rsplit(" ", 1)[0] or cut) + "…"


def settings_of(sampling: Sampling) -> dict[str, object]:
    """The parameters that are not llama.cpp's defaults, as JSON values (an infinite bias as "-inf")."""
    changed: dict[str, object] = {}
    for name, param in SAMPLING_PARAMS.items():
        value = getattr(sampling, name)
        if value == param.default:
            continue
        if name == "logit_bias":
            value = [[token, str(bias) if math.isinf(bias) else bias] for token, bias in value]
        changed[name] = list(value) if isinstance(value, tuple) else value
    return changed
