"""A backend without a model, for tests and for measuring what the engine itself costs: one token is one byte.

It asserts that the engine keeps the rules of llama.cpp's KV cache (cells, positions, sequence ids). The next token is a
function of all tokens before it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gptcli.constraints.matcher import Compiler, Matcher
from gptcli.constraints.tokens import Tokens
from gptcli.engine.backend import CacheConfig, Decoded, MemoryKind
from gptcli.errors import EngineError, LoadError
from gptcli.params import Sampling
from gptcli.types import Alternative, Constraint, TokenInfo

END = 256
"""The token that ends a generation; 0 to 255 are bytes."""


def alphabet(tokens: list[int], seed: int) -> int:
    """The default model: letters that depend on all tokens before and the seed; about one in thirty ends the text."""
    state = seed
    for token in tokens:
        state = (state * 31 + token + 7) % 1_000_003
    choice = state % 30
    return END if choice == 29 else ord("a") + choice % 26


def logprob(tokens: Sequence[int], token: int) -> float:
    """Of `token` after `tokens`; a multiple of 1/64, so that sums in any order are exactly the same."""
    return _logprob_of(_state(tokens), token)


def _state(tokens: Sequence[int]) -> int:
    state = 1
    for token in tokens:
        state = (state * 29 + token + 3) % 999_983
    return state


def _logprob_of(state: int, token: int) -> float:
    return -(1 + (state + 37 * token) % 512) / 64


class ByteVocabulary:
    size = 257
    bos_text, eos_text = "", "<end>"
    begin: int | None = None
    ends = (END,)

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        return list(text)

    def piece(self, token: int) -> bytes:
        return b"" if token == END else bytes([token])

    def name(self, token: int) -> str:
        return "<end>" if token == END else chr(token)

    def is_end(self, token: int) -> bool:
        return token == END

    def infill(self, prefix: bytes, suffix: bytes) -> list[int] | None:
        return None


@dataclass(slots=True)
class _Entry:
    token: int
    position: int
    sequence: int
    logits: bool


@dataclass(slots=True)
class FakeSampler:
    backend: FakeBackend
    seed: int
    closed: bool = False
    accepted: list[int] = field(default_factory=list)

    def sample(self, row: int) -> int:
        assert not self.closed
        return self.backend.model(self.backend.outputs[row], self.seed)

    def choose(self, row: int, mask: bytearray) -> int:
        """The model's token or, if the mask forbids it, the next one that is allowed."""
        wanted: int = self.sample(row)
        ordered = [*range(wanted, 8 * len(mask)), *range(wanted)]
        token: int = next(token for token in ordered if mask[token >> 3] >> (token & 7) & 1)
        return token

    def accept(self, token: int) -> None:
        assert not self.closed
        self.accepted.append(token)

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True


@dataclass(slots=True)
class FakeBackend:
    """`capacity`: the most cells that `reserve` gets; `fail_at`: numbers of `decode` calls that raise."""

    model: Callable[[list[int], int], int] = alphabet
    memory: MemoryKind = MemoryKind.ATTENTION
    window: int = 0
    max_sequences: int = 256
    trained_context: int = 4096
    cell_bytes: int = 1024
    step_tokens: int = 32
    scored_rows: int = 4
    damaged: frozenset[int] = frozenset()
    """Tokens behind which there are only logits that are NaN."""
    capacity: int | None = None
    fail_at: frozenset[int] = frozenset()
    cpu_threads: int = 2
    exact_tokens: int = 0
    needs_flash: bool = False
    vocabulary: ByteVocabulary = field(default_factory=ByteVocabulary)
    config: CacheConfig = field(default_factory=CacheConfig)
    outputs: dict[int, list[int]] = field(default_factory=dict)
    computed: int = 0
    """Number of tokens computed so far."""
    decodes: int = 0
    samplers: list[FakeSampler] = field(default_factory=list)
    compiler: Compiler | None = None
    _cache: dict[int, list[int]] = field(default_factory=dict)
    _first: dict[int, int] = field(default_factory=dict)
    """The first position that a sequence's window still holds; cutting its end does not restore earlier ones."""
    _batch: list[_Entry] = field(default_factory=list)

    def default_sampling(self, sampling: Sampling) -> Sampling:
        return sampling

    def reserve(self, config: CacheConfig) -> None:
        assert config.cells >= self.config.cells, "smaller than before"
        assert config.same_kind(self.config) or not any(self._cache.values()), "the kind changes while tokens are held"
        assert self.config.sequences <= config.sequences <= self.max_sequences
        for number in range(self.config.sequences, config.sequences):
            self._cache[number], self._first[number] = [], 0
        self.config = replace(config, cells=min(config.cells, self.capacity)) if self.capacity else config

    def share_threads(self, rank: int, count: int) -> None:
        assert 0 <= rank < count

    def add(self, token: int, position: int, sequence: int, *, logits: bool) -> int:
        self._batch.append(_Entry(token, position, sequence, logits))
        assert len(self._batch) <= self.step_tokens, "batch larger than a step"
        return len(self._batch) - 1

    def decode(self) -> Decoded:
        batch, self._batch = self._batch, []
        assert batch, "an empty batch"
        self.decodes += 1
        if self.decodes in self.fail_at:
            raise EngineError("the fake backend fails as configured.")
        if not self._fits(batch):
            return Decoded.NO_ROOM
        rows = sum(entry.logits for entry in batch)
        assert rows <= self.config.sequences + self.config.scored_rows, "more rows of logits than there is memory for"
        self.outputs = {}
        # llama.cpp gives up cells that the window has left before a batch, not within it (find_slot).
        before = {entry.sequence: len(self._cache[entry.sequence]) for entry in batch}
        for row, entry in enumerate(batch):
            held = self._cache[entry.sequence]
            assert entry.position == len(held), f"position {entry.position} after {len(held)} tokens"
            if self.memory is MemoryKind.WINDOW:
                assert self._first[entry.sequence] <= max(0, len(held) - self.window), "the window has moved on"
                self._first[entry.sequence] = max(0, before[entry.sequence] - self.window)
            held.append(entry.token)
            if entry.logits:
                self.outputs[row] = list(held)
        self.computed += len(batch)
        return Decoded.OK

    def remove(self, sequence: int, start: int) -> bool:
        held = self._cache[sequence]
        if self.memory is MemoryKind.RECURRENT and 0 < start < len(held):
            return False
        del held[start:]
        if not held:
            self._first[sequence] = 0
        return True

    def copy(self, source: int, target: int, end: int) -> None:
        assert not self._cache[target], "copied into a sequence that is not empty"
        whole = self.memory is MemoryKind.RECURRENT
        assert not whole or end == len(self._cache[source]), "only a whole sequence can be copied here"
        self._cache[target] = self._cache[source][:end]
        self._first[target] = self._first[source]

    def first_position(self, sequence: int) -> int:
        return self._first[sequence] if self._cache[sequence] else -1

    def state(self, sequence: int) -> memoryview:
        saved = [self.config.unified, self._first[sequence], self._cache[sequence]]
        return memoryview(bytearray(json.dumps(saved).encode()))

    def restore(self, sequence: int, state: memoryview) -> bool:
        assert not self._cache[sequence], "restored into a sequence that is not empty"
        unified, first, held = json.loads(state.tobytes())
        if unified is not self.config.unified or sum(map(len, self._cache.values())) + len(held) > self.config.cells:
            return False
        self._cache[sequence], self._first[sequence] = held, first
        return True

    def sampler(self, sampling: Sampling, seed: int, history: list[int], *, ignore_end: bool) -> FakeSampler:
        made = FakeSampler(self, seed)
        self.samplers.append(made)
        return made

    def matcher(self, constraint: Constraint) -> Matcher:
        if self.compiler is None:
            self.compiler = Compiler(Tokens(vocabulary=self.vocabulary))
        return self.compiler.matcher(constraint)

    def describe(self, row: int, token: int, alternatives: int) -> TokenInfo:
        if self.outputs[row][-1] in self.damaged:
            raise LoadError("the model computes no usable numbers.")
        state = _state(self.outputs[row])
        scores = [(_logprob_of(state, other), other) for other in range(257 if alternatives else 0)]
        best = sorted(scores)[::-1][:alternatives]
        top = [Alternative(other, self.vocabulary.name(other), score) for score, other in best]
        return TokenInfo(token, self.vocabulary.name(token), _logprob_of(state, token), top)

    def describe_prompt(self, row: int, tokens: Sequence[int], alternatives: int) -> list[TokenInfo]:
        return [self.describe(row + offset, token, alternatives) for offset, token in enumerate(tokens)]

    def describe_first(self, token: int) -> TokenInfo:
        return TokenInfo(token, self.vocabulary.name(token), math.nan, [])

    def _fits(self, batch: list[_Entry]) -> bool:
        """Whether there are cells for the batch; a shared prefix is held once in a unified cache."""
        if not self.config.unified:
            sizes = Counter(entry.sequence for entry in batch)
            own = self.config.cells // self.config.sequences
            return all(len(self._cache[number]) + size <= own for number, size in sizes.items())
        count = len(batch)
        if sum(map(len, self._cache.values())) + count <= self.config.cells:
            return True
        prefixes: dict[tuple[int, int], int] = {}
        for held in self._cache.values():
            prefix = 0
            for token in held:
                prefix = prefixes.setdefault((prefix, token), len(prefixes) + 1)
        return len(prefixes) + count <= self.config.cells
