"""What the engine needs of whatever computes: a vocabulary, a batch, a KV cache in sequences, samplers.

It knows the shape only; `llama/` fills it with llama.cpp and `engine/fake.py` with arithmetic on bytes.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from gptcli.params import Sampling
from gptcli.prompt.encoding import Vocabulary
from gptcli.types import TokenInfo


class Decoded(Enum):
    """How a batch ended; the names of `llama_decode`'s return codes 0, 1 and 2."""

    OK = 0
    NO_ROOM = 1  # the KV cache has no place for these tokens; memory is as it was before
    ABORTED = 2


class MemoryKind(Enum):
    """What the model's memory of a sequence can do."""

    ATTENTION = "attention"  # can be cut at any place, and any part copied
    WINDOW = "window"  # the same, within what a sliding window still holds
    RECURRENT = "recurrent"  # only whole: a state has no earlier part to go back to


def share_of(whole: int, rank: int, count: int) -> int:
    """The `rank`-th of `count` shares, as even as can be, the larger ones first."""
    return whole // count + (rank < whole % count)


class Sampler(Protocol):
    def sample(self, row: int) -> int:
        """Choose a token from the logits of output `row` of the last batch, and remember it.

        Raises EngineError where nothing may come next."""
        ...

    def close(self) -> None: ...


class Backend(Protocol):
    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def memory(self) -> MemoryKind: ...

    @property
    def window(self) -> int:
        """Tokens that a sliding window spans; 0 where there is none."""
        ...

    @property
    def cells(self) -> int:
        """Tokens that the KV cache holds, all sequences together; 0 before the first `reserve`."""
        ...

    @property
    def unified(self) -> bool:
        """Whether sequences share the cells, so that parts of one can be copied into another for nothing."""
        ...

    @property
    def flash(self) -> bool:
        """Whether scores of attention are used up at once, rather than kept as the product of two matrices."""
        ...

    @property
    def dense_pays(self) -> bool:
        """Whether doing without `flash` can be faster on this device, with the threads that it has now."""
        ...

    @property
    def sequences(self) -> int:
        """Sequences that the KV cache can hold at once."""
        ...

    @property
    def most_sequences(self) -> int:
        """Sequences that a KV cache could be made for."""
        ...

    @property
    def trained_context(self) -> int:
        """Tokens that one sequence of this model may have."""
        ...

    @property
    def step_tokens(self) -> int:
        """Tokens that one `decode` may compute."""
        ...

    def default_sampling(self, sampling: Sampling) -> Sampling:
        """`sampling` with the model file's own defaults in every field that the user did not choose."""
        ...

    def reserve(self, cells: int, sequences: int, *, unified: bool = True, flash: bool = True) -> None:
        """Make a KV cache of that size, no smaller than the one before; what that holds is carried over, unless the
        kind changes: then it must hold nothing. Not unified, each sequence gets `cells / sequences` of its own. Not
        `flash`, a step multiplies all its tokens with all cells.

        Raises LoadError where the memory cannot be had."""
        ...

    def step_seconds(self, width: int) -> tuple[float, float]:
        """How long a step takes in which `width` sequences get a token each, and how long it took to find out.

        What the KV cache holds is left alone. Raises LoadError where there is no memory for it."""
        ...

    def share_threads(self, rank: int, count: int) -> None:
        """Compute the steps to come with the `rank`-th of `count` shares of the threads that there are."""
        ...

    def add(self, token: int, position: int, sequence: int, *, logits: bool) -> int:
        """Put a token into the next batch; its place there is what `sample` and `describe` call row."""
        ...

    def decode(self) -> Decoded:
        """Compute the batch and begin a new one. Raises EngineError where llama.cpp fails."""
        ...

    def remove(self, sequence: int, start: int) -> bool:
        """Forget the sequence from position `start` on; False where this memory cannot be cut there."""
        ...

    def copy(self, source: int, target: int, end: int) -> None:
        """Let `target` be positions [0, end) of `source`; all of it, where the cache is not unified."""
        ...

    def first_position(self, sequence: int) -> int:
        """The smallest position still held of the sequence; -1 for none."""
        ...

    def state(self, sequence: int) -> memoryview:
        """All that is held of the sequence, for `restore`."""
        ...

    def restore(self, sequence: int, state: memoryview) -> bool:
        """Let the sequence, which holds nothing, hold what a state was taken of; False, and nothing held, where that
        was a cache of another kind or there is no room. `state` is writable, and no reference to it is kept."""
        ...

    def sampler(self, sampling: Sampling, seed: int, history: list[int], *, ignore_end: bool) -> Sampler:
        """A sampler that has seen `history`. Raises RequestError for a bad grammar or bias."""
        ...

    def describe(self, row: int, token: int, alternatives: int) -> TokenInfo:
        """The token's probability in the logits of `row`, and the likeliest `alternatives`."""
        ...
