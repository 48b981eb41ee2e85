"""The interface between the engine and a model runtime: `llama/` implements it with llama.cpp, the tests without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from gptcli.params import Sampling
from gptcli.prompt.encoding import Vocabulary
from gptcli.types import Constraint, TokenInfo

if TYPE_CHECKING:
    from gptcli.constraints.matcher import Matcher


class Decoded(Enum):
    """How a batch ended: `llama_decode`'s return codes 0, 1 and 2."""

    OK = 0
    NO_ROOM = 1  # the KV cache has too few free cells for these tokens; it is unchanged
    ABORTED = 2


class MemoryKind(Enum):
    """What can be done with the model's memory of a sequence."""

    ATTENTION = "attention"  # any part can be cut off or copied
    WINDOW = "window"  # the same, within what a sliding window still holds
    RECURRENT = "recurrent"  # only whole: a state cannot be rolled back


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """How a KV cache is made; `cache_config.py` chooses it."""

    cells: int = 0
    """Tokens that it holds, all sequences together."""
    sequences: int = 0
    unified: bool = True
    """Whether sequences share the cells and common prefixes; if not, each has `cells / sequences` of its own."""
    flash: bool = True
    """Whether attention is flash attention; if not, a step multiplies all its tokens with all cells."""
    scored_rows: int = 0
    """Rows of logits that a step may have beside one of each sequence."""

    def same_kind(self, other: CacheConfig) -> bool:
        """Whether the contents of one cache can be carried over to the other; llama.cpp wants as many partitions."""
        partitions = self.unified or self.sequences == other.sequences
        return (self.unified, self.flash) == (other.unified, other.flash) and partitions


class Sampler(Protocol):
    def sample(self, row: int) -> int:
        """Choose a token by the logits of `row` of the last batch. Raises EngineError where none is possible, and
        LoadError where the model computes nothing of use."""

    def choose(self, row: int, mask: bytearray) -> int:
        """The same among the tokens whose bits are set in `mask`, the lowest first, at least one. It counts as part of
        the text once it is accepted."""

    def accept(self, token: int) -> None:
        """Take note of a token that now follows, for penalties."""

    def close(self) -> None: ...


class Backend(Protocol):
    @property
    def vocabulary(self) -> Vocabulary: ...

    memory: MemoryKind
    window: int
    """Tokens that a sliding window spans; 0 where there is none."""
    config: CacheConfig
    """The KV cache as it is; it may have fewer cells than `reserve` asked for, and has none before."""
    max_sequences: int
    """The most sequences that a KV cache can be made for."""
    trained_context: int
    """Tokens that one sequence of this model may have."""
    cell_bytes: int
    """Bytes of a cell of the KV cache, about: in 16 bits, and as if every layer had one."""
    step_tokens: int
    """The most tokens that one `decode` computes."""
    scored_rows: int
    """Rows of logits that a step may well have beside one of each sequence: as many as take a bounded memory."""

    @property
    def exact_tokens(self) -> int:
        """Tokens in the KV cache up to which a step of several tokens of a sequence is known to give, bit for bit, the
        logits of as many steps of one token; 0 where it is not."""

    @property
    def needs_flash(self) -> bool:
        """Whether the KV cache can be used by flash attention only: its values are quantized (llama-context.cpp)."""

    @property
    def cpu_threads(self) -> int:
        """Threads that compute a token of each sequence; 0 where a GPU does."""

    def default_sampling(self, sampling: Sampling) -> Sampling:
        """`sampling` with the model file's own defaults in every field that the user did not choose."""

    def reserve(self, config: CacheConfig) -> None:
        """Make a KV cache no smaller than the current one, and carry its contents over. The kind changes only while
        nothing is held. Raises LoadError where there is not enough memory."""

    def share_threads(self, rank: int, count: int) -> None:
        """Compute the next steps with the `rank`-th of `count` parts of all threads."""

    def add(self, token: int, position: int, sequence: int, *, logits: bool) -> int:
        """Add a token to the next batch; returns its index there, the `row` of `sample` and `describe`."""

    def decode(self) -> Decoded:
        """Compute the batch and begin a new one. Raises EngineError where llama.cpp fails."""

    def remove(self, sequence: int, start: int) -> bool:
        """Remove the sequence from position `start` on; False where this memory cannot be cut there."""

    def copy(self, source: int, target: int, end: int) -> None:
        """Copy positions [0, end) of `source` to the empty `target`. In partitions all cells are copied, whatever `end`
        is."""

    def first_position(self, sequence: int) -> int:
        """The smallest position that the sequence still holds; -1 for none."""

    def state(self, sequence: int) -> memoryview:
        """Everything that the sequence holds, for `restore`."""

    def restore(self, sequence: int, state: memoryview) -> bool:
        """Fill an empty sequence with a state; False, and nothing held, if that came from a cache of another kind or
        does not fit. `state` is writable, and no reference to it is kept."""

    def sampler(self, sampling: Sampling, seed: int, history: list[int], *, ignore_end: bool) -> Sampler:
        """A sampler that has seen `history`. Raises RequestError for a bad bias."""

    def matcher(self, constraint: Constraint) -> Matcher:
        """What follows an answer with a constraint. Raises RequestError for one that cannot be kept."""

    def describe(self, row: int, token: int, alternatives: int) -> TokenInfo:
        """The token's probability in the logits of `row`, and the most likely `alternatives`. Raises LoadError where
        the model computes no numbers."""

    def describe_prompt(self, row: int, tokens: Sequence[int], alternatives: int) -> list[TokenInfo]:
        """The same for the tokens of a prompt, the first one by the logits of `row`, and so on. All those rows must
        have logits. A control token has its name as its text."""

    def describe_first(self, token: int) -> TokenInfo:
        """The first token of a prompt, whose log-probability is NaN."""
