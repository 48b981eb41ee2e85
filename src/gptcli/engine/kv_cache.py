"""Manages the KV cache: which slot a sequence gets, whose prefix it reuses, what stays cached, and the cache's size."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from gptcli.engine.backend import Backend, CacheConfig, MemoryKind
from gptcli.engine.cache_config import ROUND, CachePlanner
from gptcli.engine.sequence import Sequence
from gptcli.engine.slots import MIN_PREFIX, Slot, Slots, common_prefix
from gptcli.errors import LoadError

if TYPE_CHECKING:
    from gptcli.engine.prefix_cache import PrefixCache

OpenPrefixCache = Callable[[], "PrefixCache"]
"""Opens the prefix cache. Short prompts never need it, and do not wait for its imports."""
_HEADROOM = 32
"""Cells that each running sequence is given before another one starts, so that not every step preempts one."""
_CHANGE_AFTER = 64
"""Requests that are admitted before the kind of a server's cache changes again."""
_LOSS = 4
"""Cached tokens that are lost for each one reused, above which another slot is used: two conversations that only begin
alike do not end each other."""
_MIN_WAIT = 32
"""Tokens of a prefix which a running sequence is computing that are worth waiting for; fewer are computed again."""
_CELLS_PER_TOKEN = 64
"""Cells of a partition that are copied sooner than one token is computed: llama.cpp copies all of them, in use or not
(SmolLM2 135M on one thread: 8 µs a cell, 1.7 ms a token; larger models compute longer)."""


class KVCacheManager:
    """Owns the slots of one backend."""

    def __init__(
        self,
        backend: Backend,
        planner: CachePlanner,
        context: int | None = None,
        open_prefix_cache: OpenPrefixCache | None = None,
        *,
        reuse: bool = True,
        draft_rows: int = 0,
    ) -> None:
        """`context`: cells to have from the start. `open_prefix_cache`: opens the store of states that outlive the
        process. `reuse`: whether computed tokens stay cached for requests to come. `draft_rows`: draft tokens that a
        step may have."""
        self._backend = backend
        self._planner = planner
        self._limit = planner.limit
        self._context = context or 0
        self._reuse = reuse
        self._draft_rows = draft_rows
        self._open_prefix_cache = cache(open_prefix_cache) if open_prefix_cache and reuse else None
        self._since_change = _CHANGE_AFTER
        self._refused = sys.maxsize
        """Cells of longer partitions for which there was not enough memory."""
        self._slots = Slots()
        self._slots.grow(backend.config.sequences)
        for number in range(len(self._slots)):  # an earlier engine may have left tokens there
            backend.remove(number, 0)

    def configure(self, waiting: Many[Sequence]) -> None:
        """Prepare the cache for requests like these, before the first of them gets a slot and with none running.

        Raises LoadError where there is not enough memory."""
        config = self._planner.choose(waiting)
        rows = self._backend.scored_rows if any(map(_is_scored, waiting)) else self._draft_rows
        config = replace(config, scored_rows=rows)
        while True:
            try:
                self._ensure(config)
                return
            except LoadError:
                smaller = self._planner.smaller(config, least=self._planner.need(waiting[0]))
                if smaller is None:
                    raise
                config = smaller

    def suits(self, sequences: Many[Sequence]) -> bool:
        """Whether the cache is of the right kind for these sequences; asked again only after many more were admitted,
        so that mixed requests do not change it back and forth."""
        self._since_change += 1
        if self._since_change <= _CHANGE_AFTER:
            return True
        self._planner.may_partition |= self._planner.serving
        if self._planner.suits(sequences):
            return True
        self._since_change = 0
        return False

    @property
    def is_too_small(self) -> bool:
        """Whether all partitions are in use, and there could be more of them."""
        return self._slots.idle == 0 and self._planner.may_add_partitions

    def allocate(self, leader: Sequence, running: Many[Sequence]) -> bool:
        """Give the sequence a slot, with the longest prefix that is available; False if it must wait for others.

        With nothing running it always succeeds, after `configure`."""
        reserved = sum(sequence.followers for sequence in running)
        if running and self._slots.idle - reserved <= leader.followers:
            return False
        if running and _is_scored(leader) and not self._provide_rows():
            return False
        tokens = leader.tokens[: leader.reusable + 1]
        donor, shared = self._running_donor(tokens, running)
        whole = self._backend.memory is MemoryKind.RECURRENT
        slot, cached = self._slots.longest_prefix(tokens, whole=whole)
        if donor is not None and shared - max(donor.computed, cached) >= _MIN_WAIT:
            return False
        computed = min(shared, donor.computed) if donor is not None else 0
        available = max(cached, computed)
        if running and not self._has_cells(leader, available, running):
            return False
        if self._restore_prefix(tokens, available, running):
            slot, cached = self._slots.longest_prefix(tokens, whole=whole)
        if donor is not None and computed > cached and self._copies(computed):
            self._start_new(leader, donor.slot, computed)
        elif slot is not None:
            self._start_cached(leader, slot, cached)
        else:
            self._start_new(leader)
        return True

    def held(self, tokens: list[int], running: Many[Sequence]) -> int:
        """How many of a prompt's first tokens are in the cache, or soon will be."""
        if not tokens:
            return 0
        lengths = (min(common_prefix(one.tokens, tokens), one.prompt_tokens) for one in running)
        return max(self._slots.longest_prefix(tokens)[1], *lengths, 0)

    def fits_partition(self, prompt_tokens: int, max_tokens: int | None) -> bool:
        """Whether the cache need not be made anew for a request of this length."""
        config = self._backend.config
        partition = config.cells // max(1, config.sequences)
        return config.unified or self._partition_for(prompt_tokens, max_tokens) <= partition

    def cached_prompts(self) -> list[list[int]]:
        """What is cached and not in use, the first to be lost at the front."""
        return [slot.tokens for slot in self._slots.cached()]

    def fork(self, leader: Sequence, child: Sequence) -> None:
        """Start `child` with what `leader` has computed; its slot was reserved when that got its own."""
        self._start_new(child, leader.slot, leader.computed)
        child.reused = leader.reused

    def free(self, sequence: Sequence, *, keep: bool = True) -> None:
        """Free the slot of a sequence, if it has one. With `keep`, its computed tokens stay cached until the cells are
        needed. If it gets a slot again, it is allocated like a new one."""
        if sequence.slot >= 0:
            held = sequence.tokens[: sequence.computed] if keep and self._reuse else []
            # An aborted batch may have left more than was counted, and not every memory can be cut back to that.
            if not self._backend.remove(sequence.slot, len(held)):
                self._backend.remove(sequence.slot, 0)
                held = []
            self._slots.free(sequence.slot, held)
            sequence.slot, sequence.computed = -1, 0

    def reclaim(self, running: Many[Sequence]) -> bool:
        """Get more cells after a batch that found none: evict cached tokens, or grow; False if neither is possible.

        Raises LoadError where there is no memory to grow and no other sequence to preempt."""
        if self._unified and (cached := self._slots.cached()):
            self._clear(cached[0])
            return True
        before = self._backend.config.cells
        wanted = min(2 * before, self._limit * len(running))
        if wanted <= before:
            return False
        try:
            self._reserve(replace(self._backend.config, cells=wanted))
        except LoadError:
            if len(running) == 1:
                raise
        return self._backend.config.cells > before

    def compact(self, running: Many[Sequence]) -> None:
        """In partitions, move running sequences to the first slots if they are no neighbours: llama.cpp cuts a step
        where an id is missing (llama-batch.cpp, split_equal), whichever is the first."""
        if self._unified or self._backend.memory is MemoryKind.RECURRENT:
            return
        numbers = [sequence.slot for sequence in running]
        if numbers and max(numbers) - min(numbers) < len(numbers):  # none is missing; what others hold stays cached
            return
        moving = sorted((one for one in running if one.slot >= len(running)), key=lambda one: one.slot)
        gaps = sorted(set(range(len(running))) - {one.slot for one in running}) if moving else ()
        for sequence, number in zip(moving, gaps, strict=True):
            self._clear(self._slots.allocate(self._slots[number]))
            self._backend.copy(sequence.slot, number, sequence.computed)
            self._backend.remove(sequence.slot, 0)
            self._slots.free(sequence.slot, [])
            sequence.slot = number

    def stop_partitioning(self) -> bool:
        """From the next `configure` on, let a sequence have all cells; False if it has them already."""
        self._planner.may_partition = False
        self._since_change = 0
        return not self._unified

    def save_prefix(self) -> None:
        """Save what the last sequence computed for other processes. Raises OSError.

        The cache must be unified: llama.cpp writes the number of partitions into a state and accepts no other."""
        cached = self._slots.cached()
        if self._open_prefix_cache is not None and self._unified and cached and len(cached[-1].tokens) >= MIN_PREFIX:
            number, tokens = cached[-1].number, cached[-1].tokens
            text = b"".join(map(self._backend.vocabulary.piece, tokens)).decode("utf-8", "replace")
            cuttable = self._backend.memory is MemoryKind.ATTENTION
            self._open_prefix_cache().save(tokens, text, lambda: self._backend.state(number), cuttable=cuttable)

    def _restore_prefix(self, tokens: list[int], available: int, running: Many[Sequence]) -> bool:
        """Restore a prefix from the prefix cache into an idle slot; False if it is not well longer than `available`."""
        if self._open_prefix_cache is None or not self._unified or len(tokens) - available <= MIN_PREFIX:
            return False
        used = sum(len(sequence.tokens) + _HEADROOM for sequence in running)
        most = self._backend.config.cells - used - len(tokens) if running else self._limit
        memory, window = self._backend.memory, self._backend.window
        cuttable = {MemoryKind.ATTENTION: most, MemoryKind.WINDOW: window, MemoryKind.RECURRENT: 0}[memory]
        prefixes = self._open_prefix_cache()
        saved = prefixes.find(tokens, available, most=most, cuttable=cuttable)
        if saved is None or not self._provide_cells(len(saved.tokens), used):
            return False
        slot = self._slots.allocate()
        self._clear(slot)
        restored = prefixes.restore(saved, lambda state: self._backend.restore(slot.number, state))
        self._slots.free(slot.number, saved.tokens if restored else [])
        return restored

    def _provide_cells(self, count: int, used: int) -> bool:
        """Have cells for `count` tokens besides the `used` ones: grow, or evict cached tokens."""
        try:
            self._ensure(replace(self._backend.config, cells=used + count))
        except LoadError:
            return False
        for slot in self._slots.cached():
            if used + self._slots.cached_tokens + count <= self._backend.config.cells:
                break
            self._clear(slot)
        return used + self._slots.cached_tokens + count <= self._backend.config.cells

    def _has_cells(self, leader: Sequence, available: int, running: Many[Sequence]) -> bool:
        """Whether the leader's tokens, except the `available` ones, fit beside what is running; a common prefix uses
        the same cells and counts once. It is an estimate: a step that finds no cells reclaims some."""
        config = self._backend.config
        if not config.unified:
            return self._lengthen(self._partition_for(leader.prompt_tokens, leader.request.max_tokens))
        own = sum(len(sequence.tokens) - sequence.prefix + _growth(sequence) for sequence in running)
        prefixes = [sequence.prefix for sequence in running]
        common = max(prefixes) if min(prefixes) else 0  # one that began with nothing has the prefix among its own
        needed = own + common + len(leader.tokens) - available + _growth(leader)
        return needed <= config.cells or (self._planner.serving and self._grow(needed))

    def _partition_for(self, prompt_tokens: int, max_tokens: int | None) -> int:
        """Cells that a sequence of this length begins with, if it has them to itself."""
        return min(prompt_tokens + (max_tokens or _HEADROOM), self._limit)

    def _lengthen(self, tokens: int) -> bool:
        """Have partitions of at least so many cells; False if there is not enough memory, or for a server, which has a
        unified cache for what is long. To wait until all others end took a second for each length that was new."""
        config = self._backend.config
        cells = -(-tokens // ROUND) * ROUND * config.sequences
        if tokens > config.cells // config.sequences and cells < self._refused and not self._planner.serving:
            try:
                self._ensure(replace(config, cells=cells))
            except LoadError:
                self._refused = cells
        return tokens <= self._backend.config.cells // config.sequences

    def _grow(self, cells: int) -> bool:
        """Have at least so many cells, and half as many again as now; False if there is not enough memory."""
        config = self._backend.config
        try:
            self._ensure(replace(config, cells=max(cells, config.cells + config.cells // 2)))
        except LoadError:
            return False
        return self._backend.config.cells >= cells

    def _provide_rows(self) -> bool:
        """Let a step have the logits of scored tokens; False if there is not enough memory."""
        try:
            self._ensure(replace(self._backend.config, scored_rows=self._backend.scored_rows))
        except LoadError:
            return False
        return True

    @property
    def _unified(self) -> bool:
        return self._backend.config.unified

    @property
    def _shares_cells(self) -> bool:
        """Whether a copy costs nothing: sequences then have the cells of their common prefix in common."""
        return self._unified and self._backend.memory is MemoryKind.ATTENTION

    def _copies(self, count: int) -> bool:
        """Whether a prefix of so many tokens is copied rather than computed again."""
        config = self._backend.config
        worth = self._unified or count * _CELLS_PER_TOKEN >= config.cells // config.sequences
        return worth and self._backend.memory is MemoryKind.ATTENTION

    def _ensure(self, wanted: CacheConfig) -> None:
        """Have a cache at least as large as `wanted` and of its kind; it stays without or with flash attention while
        cached tokens would be lost otherwise."""
        current = self._backend.config
        if wanted.unified is current.unified and self._slots.cached_tokens:
            wanted = replace(wanted, flash=current.flash)
        sequences, rows = max(wanted.sequences, current.sequences), max(wanted.scored_rows, current.scored_rows)
        wanted = replace(wanted, sequences=sequences, scored_rows=rows)
        changes = not wanted.same_kind(current)
        for slot in self._slots.cached() if changes else ():
            self._clear(slot)
        cells = max(wanted.cells, self._context)
        if changes or cells > current.cells or (sequences, rows) != (current.sequences, current.scored_rows):
            self._reserve(replace(wanted, cells=max(cells, current.cells)))

    def _reserve(self, config: CacheConfig) -> None:
        self._backend.reserve(replace(config, cells=-(-config.cells // ROUND) * ROUND))
        self._slots.grow(config.sequences)

    def _running_donor(self, tokens: list[int], running: Many[Sequence]) -> tuple[Sequence | None, int]:
        """The running sequence whose prompt shares most with `tokens`, if a part of its state can be copied."""
        best, longest = None, 0
        for sequence in running if self._backend.memory is MemoryKind.ATTENTION else ():
            shared = min(common_prefix(sequence.tokens, tokens), len(tokens) - 1, sequence.prompt_tokens)
            if shared > longest and self._copies(shared):
                best, longest = sequence, shared
        return best, longest

    def _start_cached(self, sequence: Sequence, slot: Slot, shared: int) -> None:
        """Continue the cached tokens of `slot`: a copy of them if there are cells for both, else themselves, cut,
        unless too many would be lost while another slot is idle."""
        shared = min(shared, sequence.reusable)
        loses = not self._shares_cells and _LOSS * shared < len(slot.tokens) - shared and self._slots.idle > 1
        if shared < len(slot.tokens) and self._copies(shared) and (self._slots.empty or loses):
            self._slots.touch(slot)
            self._start_new(sequence, slot.number, shared)
            return
        if loses:  # the slot that is evicted instead may have a beginning in common, too
            slot = self._slots.next_free()
            shared = min(common_prefix(slot.tokens, sequence.tokens), sequence.reusable)
        if self._truncate(slot, shared):
            self._assign(sequence, self._slots.allocate(slot), shared)
        else:
            self._start_new(sequence)

    def _truncate(self, slot: Slot, length: int) -> bool:
        """Cut the tokens of `slot` to `length`; False, and nothing changed, where this memory cannot be cut there."""
        if self._backend.memory is MemoryKind.RECURRENT:
            return length == len(slot.tokens)
        # A window that has moved on no longer holds what the tokens before the cut would attend to.
        seen_from = max(0, length - self._backend.window)
        if self._backend.memory is MemoryKind.WINDOW and self._backend.first_position(slot.number) > seen_from:
            return False
        if not self._backend.remove(slot.number, length):
            return False
        slot.tokens = slot.tokens[:length]
        return True

    def _start_new(self, sequence: Sequence, source: int = -1, length: int = 0) -> None:
        """Give the sequence another slot, with a copy of `length` tokens of `source`."""
        slot = self._slots.allocate()
        self._clear(slot)
        if length:
            self._backend.copy(source, slot.number, length)
        self._assign(sequence, slot, length)

    def _assign(self, sequence: Sequence, slot: Slot, computed: int) -> None:
        slot.tokens = []  # those of a busy slot are its sequence's
        sequence.slot, sequence.computed, sequence.prefix = slot.number, computed, computed

    def _clear(self, slot: Slot) -> None:
        self._backend.remove(slot.number, 0)
        slot.tokens = []


def _is_scored(sequence: Sequence) -> bool:
    """Whether a step needs more than one row of logits for it."""
    return sequence.request.prompt_logprobs is not None or bool(sequence.request.continuations)


def _growth(sequence: Sequence) -> int:
    """Cells to keep free for what will follow a sequence."""
    return sequence.tokens_below + (0 if sequence.request.max_tokens == 0 else _HEADROOM)
