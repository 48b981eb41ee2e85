"""From a shelf into a slot of the KV cache and back: which state is brought, and which is kept.

It knows what the kind of memory can make use of; whether there is room is the placement's affair, files the shelf's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gptcli.engine.backend import Backend, MemoryKind
from gptcli.engine.slots import Slots

if TYPE_CHECKING:
    from gptcli.engine.prefix_cache import PrefixCache

OpenPrefixCache = Callable[[], "PrefixCache"]
"""Opens a shelf; short texts never ask for one, and do not wait for its imports."""
WORTHWHILE = 64
"""Tokens below which a prefix is computed sooner than found."""


class PrefixRestorer:
    """Joins one backend's slots and a shelf. The cache must be unified: llama.cpp writes the number of partitions into
    a state, and takes it for no other."""

    def __init__(self, make_shelf: OpenPrefixCache, backend: Backend, slots: Slots) -> None:
        self._make_shelf = make_shelf
        self._opened: PrefixCache | None = None
        self._backend = backend
        self._slots = slots

    def bring(self, tokens: list[int], at_hand: int, most: int, clear_for: Callable[[int], bool]) -> bool:
        """Let rest in a slot what the shelf has of these tokens, where that is well more than is at hand.

        It may have `most` tokens, for which `clear_for` is asked to have cells. False: nothing came."""
        if len(tokens) - at_hand <= WORTHWHILE:
            return False
        cuttable = {MemoryKind.ATTENTION: most, MemoryKind.WINDOW: self._backend.window, MemoryKind.RECURRENT: 0}
        kept = self._shelf.find(tokens, at_hand, most=most, cuttable=cuttable[self._backend.memory])
        if kept is None or not clear_for(len(kept.tokens)):
            return False
        slot = self._slots.claim()
        self._backend.remove(slot.number, 0)
        with self._shelf.take(kept) as state:
            restored = state is not None and self._backend.restore(slot.number, state)
        if not restored:
            self._shelf.discard(kept.path)
        self._slots.rest(slot.number, kept.tokens if restored else [])
        return restored

    def keep(self) -> None:
        """Put what came to rest last on the shelf. Raises OSError where there is no place for it."""
        slot = self._slots.newest_resting()
        if slot is not None and len(slot.tokens) >= WORTHWHILE:
            text = b"".join(map(self._backend.vocabulary.piece, slot.tokens)).decode("utf-8", "replace")
            cuttable = self._backend.memory is MemoryKind.ATTENTION
            self._shelf.put(slot.tokens, text, lambda: self._backend.state(slot.number), cuttable=cuttable)

    @property
    def _shelf(self) -> PrefixCache:
        if self._opened is None:
            self._opened = self._make_shelf()
        return self._opened
