"""A conversation as a value: a tree of messages and the leaf that is being talked at.

It knows how to walk and grow that tree, and no file, model or screen; every operation returns a new value.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from gptcli.errors import GptcliError
from gptcli.params import Sampling
from gptcli.types import FinishReason, Message

_ID_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is read as another one
_ID_LENGTH = 6
_TITLE_LENGTH = 60


def new_turn_id() -> str:
    """128 random bits in hex: the one who says a turn names it, so saying it twice is saving it once."""
    return os.urandom(16).hex()


def new_conversation_id() -> str:
    """Six letters and digits that can be typed from a screen (29 bits; the store avoids those taken)."""
    return "".join(_ID_LETTERS[byte % len(_ID_LETTERS)] for byte in os.urandom(_ID_LENGTH))


@dataclass(frozen=True, slots=True)
class Turn:
    """One message in the tree; `parent` is the message it answers, None for a first one, as the system's."""

    role: str
    content: str
    parent: str | None = None
    id: str = field(default_factory=new_turn_id)
    created: float = field(default_factory=time.time)
    """Seconds since 1970, UTC."""
    reasoning: str = ""
    """What the model thought before it answered, apart from `content`."""
    model: str | None = None
    finish: FinishReason | None = None
    """Why an answer ended (`CANCELLED`: the user stopped it); None for what a model did not write."""
    sampling: Mapping[str, object] = field(default_factory=dict)
    """The settings that differed from the defaults, see `settings_of`."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def message(self) -> Message:
        return Message(self.role, self.content)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a listing shows of a conversation; times in seconds since 1970."""

    id: str
    name: str | None
    title: str
    model: str | None
    created: float
    updated: float
    messages: int
    """All of them, on every branch."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A tree of turns, oldest first, and the place in it where the talk goes on."""

    id: str = field(default_factory=new_conversation_id)
    name: str | None = None
    title: str = ""
    """The first words of the first user message."""
    model: str | None = None
    """The one that answered last."""
    leaf: str | None = None
    """The turn that the next one answers; None: nothing was said, or all of it was undone."""
    created: float = field(default_factory=time.time)
    updated: float = 0.0
    turns: Mapping[str, Turn] = field(default_factory=dict)

    def path(self, leaf: str | None = None) -> tuple[Turn, ...]:
        """The turns from the root to `leaf`, both included; to the current leaf when none is given."""
        at = self.leaf if leaf is None else leaf
        found = []
        while at is not None:
            turn = self.turns[at]
            found.append(turn)
            at = turn.parent
        return tuple(reversed(found))

    def messages(self) -> tuple[Message, ...]:
        """What the model is to see: the path to the current leaf."""
        return tuple(turn.message for turn in self.path())

    def last(self, role: str) -> Turn | None:
        """The newest turn of `role` on the path: /retry goes to the user's, /edit and /undo to its parent."""
        return next((turn for turn in reversed(self.path()) if turn.role == role), None)

    def children(self, parent: str | None) -> tuple[Turn, ...]:
        """The turns that answer `parent`, oldest first; with None, the roots."""
        return tuple(turn for turn in self.turns.values() if turn.parent == parent)

    def siblings(self, turn_id: str) -> tuple[Turn, ...]:
        """The turn and its alternatives: those that answer the same one, oldest first."""
        return self.children(self.turns[turn_id].parent)

    def branches(self) -> tuple[tuple[Turn, ...], ...]:
        """The path to every turn that none answers, oldest end first."""
        answered = {turn.parent for turn in self.turns.values()}
        return tuple(self.path(turn_id) for turn_id in self.turns if turn_id not in answered)

    def find(self, prefix: str) -> Turn:
        """The one turn whose id starts with `prefix`. Raises GptcliError if none or several do."""
        found = [turn for turn in self.turns.values() if turn.id.startswith(prefix.lower())]
        if len(found) == 1:
            return found[0]
        how_many = f"{len(found)} messages" if found else "No message"
        advice = "Give more of it." if found else "`/branches` lists them."
        raise GptcliError(f"{how_many} of conversation {self.id} begin with {prefix!r}.", advice)

    def at(self, leaf: str | None) -> Conversation:
        """The same tree, to be gone on with after `leaf`; None is before the first message."""
        if leaf is not None and leaf not in self.turns:
            raise KeyError(leaf)
        return replace(self, leaf=leaf)

    def add(self, *turns: Turn) -> Conversation:
        """With `turns`, the last as the leaf; each parent must be there. A known id is left as it is."""
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

    def extend(self, turn: Turn) -> Conversation:
        """With a longer version of an answer (/continue), in its place or beside it, see `extension`."""
        turn = extension(self.turns[turn.id], bool(self.children(turn.id)), turn)
        return replace(self.add(turn), turns={**self.turns, turn.id: turn})


def extension(old: Turn, answered: bool, new: Turn) -> Turn:
    """What to keep of `new`, which goes on from `old`, whose id it has.

    It takes the old one's place only where nothing is lost by that: it begins with the old text, and nobody
    answered that. Otherwise (another process went on with it meanwhile) it gets an id of its own and
    becomes a sibling.
    """
    grows = new.content.startswith(old.content) and new.reasoning.startswith(old.reasoning)
    if grows and not answered:
        return replace(new, parent=old.parent, role=old.role, created=old.created)
    if (new.content, new.reasoning) == (old.content, old.reasoning):
        return old
    return replace(new, parent=old.parent, role=old.role, id=new_turn_id())


def replant(turns: tuple[Turn, ...], parent: str | None) -> tuple[Turn, ...]:
    """Copies of a path with ids of their own, below another parent: a new system message, or a summary."""
    copies: list[Turn] = []
    for turn in turns:
        parent = copies[-1].id if copies else parent
        copies.append(replace(turn, id=new_turn_id(), parent=parent))
    return tuple(copies)


def title_of(text: str) -> str:
    """The first words of `text` on one line, at most 60 characters, "…" where more followed."""
    start = " ".join(text[: 20 * _TITLE_LENGTH].split())
    if len(start) <= _TITLE_LENGTH:
        return start
    cut = start[: _TITLE_LENGTH - 1]
    return (cut.rsplit(" ", 1)[0] or cut) + "…"


def settings_of(sampling: Sampling) -> dict[str, object]:
    """The settings that are not llama.cpp's defaults, as JSON knows values (an infinite bias as "-inf")."""
    default = Sampling()
    found: dict[str, object] = {}
    for item in fields(Sampling):
        value = getattr(sampling, item.name)
        if item.name == "chosen" or value == getattr(default, item.name):
            continue
        if item.name == "logit_bias":
            value = [[token, str(bias) if math.isinf(bias) else bias] for token, bias in value]
        found[item.name] = list(value) if isinstance(value, tuple) else value
    return found
