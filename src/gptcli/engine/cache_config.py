"""Chooses how a KV cache is made for the requests that wait, and how many requests to compute at once.

Unified or partitioned, flash attention or matrix products, many requests or few: all of that is weighed here, with the
measurements behind it (bench/RESULTS.md), and nowhere else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace

from gptcli.engine.backend import Backend, CacheConfig, MemoryKind
from gptcli.engine.sequence import Sequence
from gptcli.engine.slots import common_prefix

ROUND = 256
"""llama.cpp rounds a context up to a multiple of this many cells (llama-context.cpp, GGML_PAD of n_ctx)."""
_OPEN_END = 1024
"""Cells reserved at first for an answer without a limit."""
_SHARED = 0.5
"""Part of a prompt that must be shared with others for a unified cache to pay off: a prefix is computed once in it, but
each token attends to every cell."""
_DENSE_RATIO = 3.0
"""Without flash attention a token multiplies with every cell of a unified cache, at a fifth of the price (CPU: 5 ns a
head and layer instead of 23): that pays off while all cells are no more than so many times those of one sequence."""
_DENSE_THREADS = 1
"""With one thread it is 1.3 times as fast as with flash attention, with two that share the work 0.8 times."""
_DENSE_CELLS = 8192
"""Above, the scores of a step take too much memory: a MiB for each head."""

_TREE_STEPS = 2
"""Steps that the prompts of continuations fill together, so that the short branches of some are computed beside the
prompts of others. Of prompts that are only scored themselves, no more run than fill one: more at once are no faster,
and every token attends to all cells of a unified cache."""

GROUP = 16
"""Numbers of parallel requests are multiples of this: llama.cpp multiplies quantized matrices so many columns at a time
on a CPU, and ten sequences are slower than eight (Q4_0, AVX-512: 16 at once 895 tokens/s, 12 at once 590)."""
_LONG_PROMPT = 256
"""Tokens of a server's first prompt from which on its cache is unified at once. With 500 of them in common, sixteen
clients waited for the change and then computed them again: 8.6 s until their first token."""
_ENOUGH = 4
"""Requests that say whether a cache of the other kind would be better for those of a server."""
_FIRST_PLACES = (4, 8)
"""Partitions that a server has at first; then multiples of `GROUP`."""
_FIRST_CELLS = 4096
"""Cells of a server's unified cache at first, unless one request needs more."""
_MOST_RESERVED = 32_768
"""Cells that a server reserves for requests that may come, at most: partitions with room for a long one each would
take all memory (a 7B model with grouped heads: 128 KiB a cell, 4 GiB)."""
_GPU_ROWS = 4 * GROUP
"""Requests that an engine core computes at once on a GPU, at least, if there are so many."""
_GPU_CORES = 4
"""On a GPU. While one computes, tokens are chosen for the others and their steps are prepared on the CPU, which takes
as long (H200, 256 strangers: 135M 4,470 tokens/s with one core, 6,350 with two, 6,620 with four of 64 rows)."""
_WIDER = (4, 2)
"""Times as many requests are computed at once where they are short and many, and few continue others. A step of 32 is 7
percent faster for each token than one of 16, one of 64 another 4 percent, but the cache is larger (two threads, 256
strangers: twice as many 1.06 to 1.1 times as fast, four times another 1.05; ten groups with an instruction each: 1.08
and 1.12; chats whose turns are rows, of which more then run before those that they continue: 0.91)."""
MANY = 2
"""Times as many requests as could run at once must be known, so that more of them do: with fewer, some cores would end
long before others."""
MAX_CONTINUED = 0.125
"""The part of them that others may continue."""
_WIDE_BYTES = 1 << 30
"""The KV cache of so many in one core, at most: four times as many in SmolLM2 135M have 360 MiB, twice as many in a 7B
model with grouped heads 1 GiB."""
_SERVED_AT_ONCE = 4 * GROUP
"""Requests that a server computes at once. With 64 clients and 32 at once, half of them waited 30 s for their first
token; with 64 all had it after 9 s, at the same tokens a second (SmolLM2 135M, two threads)."""
_MAX_CORES = 8
"""Each core computes a shared prefix for itself and has buffers of its own."""


@dataclass(slots=True)
class CachePlanner:
    """Chooses the config of one backend's KV cache."""

    backend: Backend
    limit: int
    """Tokens that one sequence may have."""
    parallel: int
    """Requests computed at once."""
    wider: tuple[int, ...] = ()
    """How many times as many where they are short and many, the most first."""
    may_partition: bool = True
    serving: bool = False
    """Whether requests come one after the other for ever, so that those that wait say little about the next ones."""

    def choose(self, waiting: Many[Sequence]) -> CacheConfig:
        """The config for requests like `waiting`, of which there is at least one."""
        backend, parallel = self.backend, self.parallel
        samples = max(1 + leader.followers for leader in waiting)
        needs = [self.need(leader) for leader in waiting]
        if min(parallel * samples, backend.max_sequences) == 1:
            return CacheConfig(needs[0], 1)
        shared = shared_tokens([leader.tokens for leader in waiting])
        only_scored = all(leader.is_scoring and leader.request.max_tokens == 0 for leader in waiting)
        if only_scored:
            steps = _TREE_STEPS if any(leader.request.continuations for leader in waiting) else 1
            parallel = min(parallel, -(-steps * backend.step_tokens * len(waiting) // (sum(needs) - shared)))
        sharing_pays = backend.memory is MemoryKind.ATTENTION and _sharing_pays(shared, waiting)
        config = self._unified(waiting, needs, shared, parallel, dense=sharing_pays and not only_scored)
        # A single request says nothing about those to come, so it does not change a unified cache. A server begins with
        # partitions: what is cached in other ones costs a single request no time. After a long prompt others are likely
        # to begin alike, and in a unified cache none of them computes that again.
        begins = not backend.config.cells
        long = waiting[0].prompt_tokens >= _LONG_PROMPT
        alone = len(waiting) == 1 and backend.config.unified and (long or not (self.serving and begins))
        # On a GPU a unified cache is as fast for rows that are alike, and twice as fast where their lengths differ: it
        # computes in one piece what partitions cut (H200: 1,042 tokens/s against 534, log-normal lengths).
        may_partition = self.may_partition and not alone and backend.cpu_threads > 0
        if not may_partition or samples > 1 or (sharing_pays and (self.serving or only_scored or not config.flash)):
            return config
        each = -(-max(needs) // ROUND) * ROUND
        if not only_scored and each <= ROUND:
            parallel *= next((times for times in self.wider if times * parallel <= len(waiting)), 1)
        sequences = min(parallel, backend.max_sequences)
        enough = backend.config.sequences <= sequences  # there are never fewer than before
        if self.serving and (not enough or each * sequences > _MOST_RESERVED):
            return config
        if self.serving:
            sequences = min(sequences, max(_places(len(waiting)), backend.config.sequences))
        partitions = CacheConfig(each * sequences, sequences, unified=False)
        if sharing_pays:  # prefixes are copied from one to another; those in a unified cache would be lost
            copies_pay = begins or not backend.config.unified
            return partitions if copies_pay and partitions.cells <= _MOST_RESERVED else config
        return partitions

    def _unified(
        self, waiting: Many[Sequence], needs: list[int], shared: int, parallel: int, *, dense: bool
    ) -> CacheConfig:
        """A cache in which every prefix is held once; `dense`: without flash attention where that pays."""
        backend = self.backend
        samples = max(1 + leader.followers for leader in waiting)
        used, own = sum(needs) - shared, sum(needs) / len(waiting) - shared / max(1, len(waiting) - 1)
        dense = dense and backend.cpu_threads == _DENSE_THREADS and not backend.needs_flash
        # If fewer run than wait, they still need all of the prefixes; if more run, these may bring further ones.
        cells = max(used - int(own * (len(waiting) - parallel)), used * parallel // len(waiting), max(needs))
        if self.serving:  # it grows when they come; until then, what a few have computed stays cached
            kept = min(_FIRST_PLACES[0] * max(needs), _FIRST_CELLS)
            cells = max(used, max(needs), kept if len(waiting) == 1 else min(cells, _MOST_RESERVED))
        dense = dense and cells <= min(_DENSE_RATIO * sum(needs) / len(needs), _DENSE_CELLS)
        return CacheConfig(cells, min(parallel * samples, backend.max_sequences), flash=not dense)

    def suits(self, sequences: Many[Sequence]) -> bool:
        """Whether the cache is of the kind that would be chosen for these; a few say nothing about it."""
        if not self.serving or len(sequences) < _ENOUGH:
            return True
        return self.choose(sequences).unified is self.backend.config.unified

    @property
    def may_add_partitions(self) -> bool:
        """Whether a server's cache has partitions, and could have more."""
        config = self.backend.config
        return self.serving and not config.unified and config.sequences < min(self.parallel, self.backend.max_sequences)

    def need(self, leader: Sequence) -> int:
        """Cells that a request needs at most, its samples together."""
        samples = 1 + leader.followers
        answer = leader.request.max_tokens if leader.request.max_tokens is not None else _OPEN_END
        if leader.request.continuations:
            return min(leader.prompt_tokens + leader.tokens_below, self.limit * samples)
        known = leader.prompt_tokens if leader.request.max_tokens is not None else len(leader.tokens)
        return min(known + answer * samples, self.limit * samples)

    def smaller(self, config: CacheConfig, least: int) -> CacheConfig | None:
        """The config to try where there is no memory for this one: half of it, so that fewer run at once, in
        partitions as long as that is possible. None if it has `least` cells, which one request needs."""
        sequences = config.sequences // 2
        if not config.unified and sequences > max(1, self.backend.config.sequences):
            return replace(config, cells=config.cells // config.sequences * sequences, sequences=sequences)
        if config.unified and config.cells == least:
            return None
        return replace(config, cells=max(config.cells // 2, least), unified=True)


def _places(waiting: int) -> int:
    """Partitions that a server begins with for so many requests; more are made when more come, for each takes memory
    (SmolLM2 135M: 6 MB for 256 cells)."""
    return next((places for places in _FIRST_PLACES if places >= waiting), -(-waiting // GROUP) * GROUP)


def shared_tokens(prompts: list[list[int]]) -> int:
    """Tokens that are not computed again when every prefix that two prompts have in common is computed once.

    In sorted order, a prompt's longest common prefix with any before it is the one with its neighbour."""
    ordered = sorted(prompts)
    prefixes = itertools.starmap(common_prefix, itertools.pairwise(ordered))
    return sum(prefixes)


def _sharing_pays(shared: int, waiting: Many[Sequence]) -> bool:
    """Whether enough of an average prompt is shared; the first prompt never finds anything computed."""
    average = sum(leader.prompt_tokens for leader in waiting) / len(waiting)
    return len(waiting) > 1 and shared / (len(waiting) - 1) > _SHARED * average


def choose_cores(parallel: int | None, threads: int) -> int:
    """How many engine cores to run, each with a KV cache and a part of the threads of its own.

    Threads that compute a step together wait for each other some 500 times in it; separate cores do not, and one core's
    sampling and Python run while others compute (2 threads: 1.11 to 1.22 times as fast). `parallel`: the number of
    requests that the user chose; a core for few does not pay off. `threads`: 0 where a GPU computes."""
    most, rows = (min(threads, _MAX_CORES), GROUP) if threads else (_GPU_CORES, _GPU_ROWS)
    return max(1, most if parallel is None else min(most, parallel // rows))


def cores_to_fill(requests: int, cores: int, threads: int) -> int:
    """Among how many of the cores to spread the first requests. Each thread of a CPU computes for a core of its own; on
    a GPU two steps of a few sequences read the weights twice, and are slower than one."""
    return cores if threads else min(cores, -(-requests // _GPU_ROWS))


def default_parallel(backend: Backend, cores: int, *, serving: bool = False) -> int:
    """The number of requests to compute at once with so many engine cores.

    On a CPU a group for each core: its step is limited by arithmetic, so that more at once are hardly faster and need
    more memory. With two threads 64 at once were 10 percent faster in some kinds of rows and 5 percent slower in
    others than 32; where all share a long instruction and each token multiplies with all cells, a third slower. A
    server's clients wait for their first token, so it begins with more of them."""
    many = (GROUP if backend.cpu_threads else _GPU_ROWS) * cores
    many = max(many, _SERVED_AT_ONCE) if serving else many
    return min(many, backend.max_sequences * cores)


def wider(backend: Backend, parallel: int) -> tuple[int, ...]:
    """How many times `parallel` requests one core may compute at once where they are short, the most first."""
    most = min(backend.max_sequences, _WIDE_BYTES // (ROUND * backend.cell_bytes))
    return tuple(times for times in _WIDER if times * parallel <= most)


def share_of(whole: int, rank: int, count: int) -> int:
    """The `rank`-th of `count` parts of `whole`, as even as possible, the larger ones first."""
    return whole // count + (rank < whole % count)
