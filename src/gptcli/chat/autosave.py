"""A conversation as it grows, and its place in the store: what is in the one is in the other before anybody is told.

It knows turns and a store that may fail, and neither models nor screens. A store that fails loses nothing: the talk
goes on in memory, and the next turn writes all of it again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from gptcli.chat.conversation import Conversation, Turn, new_turn_id
from gptcli.chat.store import Store
from gptcli.errors import GptcliError


class Autosave:
    """One conversation; without a store it is kept in memory only."""

    def __init__(self, conversation: Conversation, store: Store | None, say: Callable[[str], None]) -> None:
        """`say` tells what has to be heard: that something could not be saved."""
        self.conversation = conversation
        self._store = store
        self._say = say
        self._stored = bool(store and conversation.updated)
        """Whether the store has all that the conversation has."""

    @property
    def saving(self) -> bool:
        return self._store is not None

    @property
    def behind(self) -> bool:
        """Whether something was said that should be in the store and is not."""
        return self._store is not None and not self._stored and bool(self.conversation.turns)

    def open(self, conversation: Conversation) -> None:
        """Go over to another one, new or stored."""
        self.conversation = conversation
        self._stored = bool(self._store and conversation.updated)

    def append(self, *turns: Turn) -> None:
        """Add turns, and go on from the last of them. One that nobody has spoken in is not worth storing yet."""
        grown = self.conversation.add(*turns)
        self._change(grown, lambda store: store.append(self.conversation, *turns))

    def lengthen(self, turn: Turn) -> None:
        """Put the longer version of an answer in its place, or beside it (see `conversation.extension`)."""
        grown = self.conversation.extend(turn)
        if not self._change(grown, lambda store: store.extend(self.conversation, turn)):
            # A row that is there is never written again, so the longer version needs an id of its own.
            self.conversation = self.conversation.add(dataclasses.replace(turn, id=new_turn_id()))

    def move(self, leaf: str | None) -> None:
        """Go on from another turn; None is before the first."""
        if leaf != self.conversation.leaf:
            self._change(self.conversation.at(leaf), lambda store: store.set_leaf(self.conversation, leaf))

    def keep(self, name: str | None, store: Store) -> None:
        """Save all of it from now on, under a name if one is given. Raises GptcliError where that fails."""
        if not self._stored:
            wanted = dataclasses.replace(self.conversation, name=name or self.conversation.name)
            self.conversation = store.create(wanted)
        elif name:
            store.rename(self.conversation.id, name)
            self.conversation = dataclasses.replace(self.conversation, name=name)
        self._store, self._stored = store, True

    def _change(self, grown: Conversation, write: Callable[[Store], Conversation]) -> bool:
        """Have it as `grown`, in the store too; false, and said, where that cannot take it now."""
        store = self._store
        if store is None or not any(turn.role == "user" for turn in grown.turns.values()):
            self.conversation = grown
            return True
        try:
            self.conversation = write(store) if self._stored else store.create(grown)
        except GptcliError as error:
            self._stored = False
            self._say(f"This is not saved: {error.message} It is tried again with the next message.")
            self.conversation = grown
            return False
        self._stored = True
        return True
