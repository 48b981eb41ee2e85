"""How a KV cache should be made for a set of requests: cells, sequences, and one room for all or one for each.

It is arithmetic on the tokens of their prompts; it makes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence as Many
from dataclasses import dataclass

from gptcli.engine.autotune import GROUP
from gptcli.engine.backend import Backend, MemoryKind
from gptcli.engine.sequence import Sequence
from gptcli.engine.slots import common_prefix

ROUND = 256
"""llama.cpp rounds a context up to this many cells (llama-context.cpp, GGML_PAD of n_ctx)."""
_OPEN_END = 1024
"""Cells reserved at first for a text whose length nobody said."""
_SHARED = 0.5
"""Part of a prompt that must be shared with others for a unified cache to pay: in it a prefix is computed once, but
each token looks at every cell (measured, docs/architecture.md)."""

_DENSE = 3.0
"""Without flash attention a token looks at every cell of a unified cache, at a fifth of the price (CPU: 5 ns a head and
layer instead of 23): that pays while the cells of all are no more than so many times those of one."""
_DENSE_CELLS = 8192
"""Above, the scores of a step take too much memory: a MiB for each head."""


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """`unified`: all sequences share the cells, and prefixes; else each has `cells / sequences` of its own."""

    cells: int
    sequences: int
    unified: bool
    flash: bool = True


def shape_for(
    waiting: Many[Sequence], parallel: int, limit: int, backend: Backend, *, may_part: bool, narrow: bool
) -> CacheConfig:
    """The shape for requests like `waiting` (at least one), of which `parallel` run at once; unified unless it
    `may_part`. With `narrow` fewer run at once where that is faster."""
    samples = max(1 + len(leader.forks) for leader in waiting)
    wanted = [cells_of(leader, limit) for leader in waiting]
    if min(parallel * samples, backend.most_sequences) == 1:
        return CacheConfig(wanted[0], 1, True)
    shared = shared_tokens([leader.tokens for leader in waiting])
    pays = backend.memory is MemoryKind.ATTENTION and _pays(shared, waiting)
    if may_part and samples == 1 and not pays:
        sequences = min(parallel, backend.most_sequences)
        return CacheConfig(-(-max(wanted) // ROUND) * ROUND * sequences, sequences, False)
    prefix = shared / max(1, len(waiting) - 1)
    used, own = sum(wanted) - shared, sum(wanted) / len(waiting) - prefix
    if pays and narrow and backend.dense_pays:
        parallel = _narrowed(parallel, prefix, own)
    # Fewer than wait need all of the prefixes still, more than wait may bring further ones.
    cells = max(used - int(own * (len(waiting) - parallel)), used * parallel // len(waiting), max(wanted))
    most = min(_DENSE * sum(wanted) / len(wanted), _DENSE_CELLS)
    dense = pays and backend.dense_pays and cells <= most
    return CacheConfig(cells, min(parallel * samples, backend.most_sequences), True, flash=not dense)


def _narrowed(parallel: int, shared: float, own: float) -> int:
    """No more than whose own cells together are twice the shared ones: where all look at the cells of all, that is
    where doing without flash attention pays most. As many as before where these would be too few to fill a step."""
    fewer = int(2 * shared / own) // GROUP * GROUP
    return min(parallel, fewer) if fewer else parallel


def shared_tokens(prompts: list[list[int]]) -> int:
    """Tokens that need no computing when every prefix that two prompts have in common is computed once.

    In sorted order the longest prefix that a prompt shares with any before it is the one with its neighbour."""
    ordered = sorted(prompts)
    return sum(common_prefix(left, right) for left, right in itertools.pairwise(ordered))


def _pays(shared: int, waiting: Many[Sequence]) -> bool:
    """Whether a prompt finds enough of itself computed already; the first of them never does."""
    average = sum(leader.prompt_tokens for leader in waiting) / len(waiting)
    return len(waiting) > 1 and shared / (len(waiting) - 1) > _SHARED * average


def cells_of(leader: Sequence, limit: int) -> int:
    """Cells that a request wants at most, its samples together."""
    samples = 1 + len(leader.forks)
    each = leader.request.max_tokens if leader.request.max_tokens is not None else _OPEN_END
    return min(leader.prompt_tokens + each * samples, limit * samples)
