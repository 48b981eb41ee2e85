"""Keeps a conversation and its copy in the store the same. If saving fails, the next turn saves all of it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.store import Store
from gptcli.errors import GptcliError


class Autosave:
    """One conversation; without a store it is in memory only. `notify` reports what could not be saved."""

    def __init__(self, conversation: Conversation, store: Store | None, notify: Callable[[str], None]) -> None:
        self._store = store
        self._notify = notify
        self.open(conversation)

    @property
    def enabled(self) -> bool:
        return self._store is not None

    @property
    def failed(self) -> bool:
        """Whether there are turns that should be in the store and are not."""
        return self.enabled and not self._saved and bool(self.conversation.turns)

    def open(self, conversation: Conversation) -> None:
        """Switch to another conversation, new or stored."""
        self.conversation = conversation
        self._saved = bool(self._store and conversation.updated)  # whether the store has the whole conversation

    def append(self, *turns: Turn) -> None:
        """Add turns; the last becomes the leaf. A conversation without a user message is not saved yet."""
        grown = self.conversation.add(*turns)
        self._apply(grown, lambda store: store.append(self.conversation, *turns))

    def save_answer(self, turn: Turn, *, draft: bool = False) -> str:
        """Add an answer, or put its longer version in its place or beside it (see `conversation.extension`); returns
        its id. A draft is the start of an answer that goes on; if it cannot be saved, that is not reported."""
        if draft and not self._saved:
            return turn.id
        if turn.id in self.conversation.turns:
            grown = self.conversation.extend(turn)
            self._apply(grown, lambda store: store.extend(self.conversation, turn), quiet=draft)
        else:
            grown = self.conversation.add(turn)
            self._apply(grown, lambda store: store.append(self.conversation, turn), quiet=draft)
        return self.conversation.leaf or turn.id

    def move(self, leaf: str | None) -> None:
        """Make another turn the leaf; None is before the first."""
        if leaf != self.conversation.leaf:
            self._apply(self.conversation.at(leaf), lambda store: store.set_leaf(self.conversation, leaf))

    def enable(self, name: str | None, store: Store) -> None:
        """Save everything from now on, under a name if there is one. Raises GptcliError if that fails."""
        if not self._saved:
            self.conversation = store.create(
                dataclasses.replace(self.conversation, name=name or self.conversation.name)
            )
        elif name:
            store.rename(self.conversation.id, name)
            self.conversation = dataclasses.replace(self.conversation, name=name)
        self._store, self._saved = store, True

    def _apply(self, changed: Conversation, write: Callable[[Store], Conversation], *, quiet: bool = False) -> None:
        """Make the change here and in the store, with a notice if the store failed."""
        store = self._store
        if store is None or not any(turn.role == "user" for turn in changed.turns.values()):
            self.conversation = changed
            return
        try:
            self.conversation = write(store) if self._saved else store.create(changed)
            self._saved = True
        except GptcliError as error:
            self._saved = False
            self.conversation = changed
            if not quiet:
                self._notify(f"Not saved: {error.message} The next message tries again.")
