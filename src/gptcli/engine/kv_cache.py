"""Where sequences lie in the KV cache: whose prefix is reused, what rests there, how large it is.

It knows slots, cells and what the model's memory can do; it computes nothing and emits nothing.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import replace

from gptcli.engine.backend import Backend, MemoryKind
from gptcli.engine.cache_config import ROUND, CacheConfig, cells_of, shape_for
from gptcli.engine.prefix_restore import OpenPrefixCache, PrefixRestorer
from gptcli.engine.sequence import Sequence
from gptcli.engine.slots import Slot, Slots, common_prefix
from gptcli.errors import LoadError

_HEADROOM = 32
"""Cells that a running sequence is given before a further one is placed, so that not each step preempts somebody."""
_WORTH_WAITING = 32
"""Tokens of a prefix somebody is just computing that make it worth waiting for; fewer are computed again."""


class KVCacheManager:
    """Owns the sequence ids of one backend."""

    def __init__(
        self,
        backend: Backend,
        limit: int,
        context: int | None,
        parallel: int,
        shelf: OpenPrefixCache | None = None,
        *,
        narrow: bool = False,
        reuse: bool = True,
    ) -> None:
        """`limit`: tokens one text may have; `context`: cells to have from the start, if that was said; `shelf`: where
        states come from and are kept that outlive the process; `reuse`: whether what a text computed stays;
        `narrow`: whether fewer than `parallel` may run where that is faster."""
        self._backend = backend
        self._limit = limit
        self._context = context or 0
        self._parallel = parallel
        self._narrow = narrow
        self._reuse = reuse
        self._slots = Slots()
        self._revival = PrefixRestorer(shelf, backend, self._slots) if shelf is not None and reuse else None
        self._unified = self._flash = self._may_part = True

    def shape(self, waiting: Many[Sequence]) -> None:
        """Make the KV cache ready for requests like these, before one of them is placed and with none running.

        Raises LoadError where the memory cannot be had."""
        may_part = self._may_part and (len(waiting) > 1 or not self._unified)  # one tells nothing of those to come
        parallel, limit = self._parallel, self._limit
        wanted = shape_for(waiting, parallel, limit, self._backend, may_part=may_part, narrow=self._narrow)
        least = cells_of(waiting[0], limit)
        while True:
            try:
                self._have(wanted)
                return
            except LoadError:
                if wanted.cells == least and wanted.unified:
                    raise
                wanted = self._less(wanted, least)

    def _less(self, wanted: CacheConfig, least: int) -> CacheConfig:
        """Half of it: fewer will run at once, in partitions where these can still be had."""
        sequences = wanted.sequences // 2
        if not wanted.unified and sequences > max(1, len(self._slots)):
            return replace(wanted, cells=wanted.cells // wanted.sequences * sequences, sequences=sequences)
        return replace(wanted, cells=max(wanted.cells // 2, least), unified=True)

    def place(self, leader: Sequence, running: Many[Sequence]) -> bool:
        """Give the sequence a slot, with the longest prefix that can be had; False if it must wait for others.

        With nothing running it always succeeds, if `shape` was told of it."""
        if running and self._slots_left(running) <= len(leader.forks):
            return False
        donor, shared = self._running_donor(leader.tokens, running)
        slot, resting = self._slots.best(leader.tokens, whole=self._backend.memory is MemoryKind.RECURRENT)
        if donor is not None and shared - max(donor.computed, resting) >= _WORTH_WAITING:
            return False
        at_hand = max(resting, min(shared, donor.computed) if donor is not None else 0)
        if running and not self._has_room(leader, at_hand, running):
            return False
        if self._revive(leader.tokens, at_hand, running):
            slot, resting = self._slots.best(leader.tokens, whole=self._backend.memory is MemoryKind.RECURRENT)
        if donor is not None and min(shared, donor.computed) > resting:
            self._copy(leader, donor.slot, min(shared, donor.computed))
        elif slot is not None:
            self._take(leader, slot, resting)
        else:
            self._fresh(leader)
        return True

    def fork(self, leader: Sequence, child: Sequence) -> None:
        """Let `child` begin with the prompt that `leader` has computed; its slot was counted when that was placed."""
        self._copy(child, leader.slot, leader.prompt_tokens)
        child.reused = leader.reused

    def release(self, sequence: Sequence) -> None:
        """The sequence has ended; what it computed stays until its place is needed."""
        if sequence.slot >= 0:
            held = sequence.tokens[: sequence.computed] if self._reuse else []
            # An aborted batch may have left more than was counted, and not every memory can be cut back to that.
            if not self._backend.remove(sequence.slot, len(held)):
                self._backend.remove(sequence.slot, 0)
                held = []
            self._slots.rest(sequence.slot, held)
            sequence.slot = -1

    def forget(self, sequence: Sequence) -> None:
        """Take the sequence out of the KV cache; it can be placed again, and is then computed anew."""
        self._backend.remove(sequence.slot, 0)
        self._slots.rest(sequence.slot, [])
        sequence.slot, sequence.computed = -1, 0

    def make_room(self, running: Many[Sequence]) -> bool:
        """After a batch found no room: let go of what rests, or grow; False if neither is left to do.

        Raises LoadError where there is no memory to grow and nobody else whose place could be taken."""
        if self._unified and (oldest := self._slots.oldest_resting()):
            self._clear(oldest)
            return True
        before = self._backend.cells
        wanted = min(2 * before, self._limit * len(running))
        if wanted <= before:
            return False
        try:
            self._resize(wanted, len(self._slots))
        except LoadError:
            if len(running) == 1:
                raise
        return self._backend.cells > before

    def close_gaps(self, running: Many[Sequence]) -> None:
        """In partitions, let those that run have the first sequence ids: a step is cut wherever one is missing."""
        if self._unified or self._backend.memory is MemoryKind.RECURRENT:
            return
        moving = sorted((one for one in running if one.slot >= len(running)), key=lambda one: one.slot)
        if moving:
            taken = {one.slot for one in running}
            gaps = (number for number in range(len(running)) if number not in taken)
            for sequence, number in zip(moving, gaps, strict=True):
                left, slot = sequence.slot, self._slots[number]
                self._clear(slot)
                self._backend.copy(left, number, sequence.computed)
                self._backend.remove(left, 0)
                self._slots.rest(left, [])
                sequence.slot = self._slots.claim(slot).number
                slot.tokens = []

    def unify(self) -> bool:
        """From the next `shape` on let a sequence have all the cells; False if it has them already."""
        self._may_part = False
        return not self._unified

    def shelve(self) -> None:
        """Keep what came to rest last for other processes. Raises OSError where there is no place for it."""
        if self._revival is not None and self._unified:
            self._revival.keep()

    def _revive(self, tokens: list[int], at_hand: int, running: Many[Sequence]) -> bool:
        """Let rest here what the shelf has of these tokens; False if that is not well more than what is at hand."""
        if self._revival is None or not self._unified:
            return False
        used = sum(len(sequence.tokens) + _HEADROOM for sequence in running)
        most = self._backend.cells - used - len(tokens) if running else self._limit
        return self._revival.bring(tokens, at_hand, most, lambda count: self._clear_for(count, used))

    def _clear_for(self, count: int, used: int) -> bool:
        """Have cells for `count` tokens besides those that are `used`, at the cost of what rests."""
        try:
            self._have(CacheConfig(used + count, len(self._slots), self._unified, self._flash))
        except LoadError:
            return False
        while used + self._slots.resting_tokens + count > self._backend.cells:
            oldest = self._slots.oldest_resting()
            if oldest is None:
                return False
            self._clear(oldest)
        return True

    def _slots_left(self, running: Many[Sequence]) -> int:
        """Ids that are neither in use nor promised to a fork."""
        return self._slots.free - sum(len(sequence.forks) for sequence in running)

    def _has_room(self, leader: Sequence, at_hand: int, running: Many[Sequence]) -> bool:
        """Whether the leader's tokens, but for those `at_hand`, fit besides what is running; a prefix in common lies in
        the same cells and counts once. An estimate: a step that finds no room makes some."""
        if not self._unified:
            each = leader.request.max_tokens or _HEADROOM
            return min(leader.prompt_tokens + each, self._limit) <= self._backend.cells // len(self._slots)
        own = sum(len(sequence.tokens) - sequence.begun + _HEADROOM for sequence in running)
        begun = [sequence.begun for sequence in running]
        common = max(begun) if min(begun) else 0  # who began with nothing has the prefix among its own
        return own + common + len(leader.tokens) - at_hand + _HEADROOM <= self._backend.cells

    @property
    def _can_copy_a_part(self) -> bool:
        """Partitioned, each sequence lies in cells of its own, and only whole ones can be copied."""
        return self._unified and self._backend.memory is MemoryKind.ATTENTION

    def _have(self, wanted: CacheConfig) -> None:
        useful = wanted.unified is self._unified and self._slots.resting_tokens
        if not useful and (wanted.unified, wanted.flash) != (self._unified, self._flash):
            while slot := self._slots.oldest_resting():  # of no use in the other kind of cache
                self._clear(slot)
            self._unified, self._flash = wanted.unified, wanted.flash
        cells, sequences = max(wanted.cells, self._context), max(wanted.sequences, len(self._slots))
        backend = self._backend
        changed = (backend.unified, backend.flash) != (self._unified, self._flash)
        if changed or cells > backend.cells or sequences > len(self._slots):
            self._resize(max(cells, backend.cells), sequences)

    def _resize(self, cells: int, sequences: int) -> None:
        rounded = -(-cells // ROUND) * ROUND
        self._backend.reserve(rounded, sequences, unified=self._unified, flash=self._flash)
        self._slots.grow(sequences)

    def _running_donor(self, tokens: list[int], running: Many[Sequence]) -> tuple[Sequence | None, int]:
        """The running sequence whose prompt shares most with `tokens`, where a part of its state can be copied."""
        if not self._can_copy_a_part:
            return None, 0
        best, longest = None, 0
        for sequence in running:
            shared = min(common_prefix(sequence.tokens, tokens), len(tokens) - 1, sequence.prompt_tokens)
            if shared > longest:
                best, longest = sequence, shared
        return best, longest

    def _take(self, sequence: Sequence, slot: Slot, shared: int) -> None:
        """Go on from what rests in `slot`, by copying it where there is room for both, else by cutting it."""
        shared = min(shared, len(sequence.tokens) - 1)
        if shared < len(slot.tokens) and self._can_copy_a_part and self._slots.empty:
            self._copy(sequence, slot.number, shared)
            return
        if not self._cut(slot, shared):
            self._fresh(sequence)
            return
        self._occupy(sequence, self._slots.claim(slot), shared)

    def _cut(self, slot: Slot, length: int) -> bool:
        """Shorten what `slot` holds to `length` tokens; False, and nothing changed, where this memory cannot."""
        if self._backend.memory is MemoryKind.RECURRENT:
            return length == len(slot.tokens)
        # A window that moved on has forgotten what the tokens before the cut would still look at.
        seen_from = max(0, length - self._backend.window)
        if self._backend.memory is MemoryKind.WINDOW and self._backend.first_position(slot.number) > seen_from:
            return False
        if not self._backend.remove(slot.number, length):
            return False
        slot.tokens = slot.tokens[:length]
        return True

    def _copy(self, sequence: Sequence, source: int, length: int) -> None:
        slot = self._slots.claim()
        self._clear(slot)
        self._backend.copy(source, slot.number, length)
        self._occupy(sequence, slot, length)

    def _fresh(self, sequence: Sequence) -> None:
        slot = self._slots.claim()
        self._clear(slot)
        self._occupy(sequence, slot, 0)

    def _occupy(self, sequence: Sequence, slot: Slot, computed: int) -> None:
        slot.tokens = []  # what a busy slot holds is its sequence's affair
        sequence.slot, sequence.computed, sequence.begun = slot.number, computed, computed

    def _clear(self, slot: Slot) -> None:
        self._backend.remove(slot.number, 0)
        slot.tokens = []
