"""Whether a model fits into memory: what its weights, its KV cache and computing with it take, from its header alone.

It is arithmetic on a header; how much memory there is, and what is done about it, is asked and decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from gptcli.errors import LoadError
from gptcli.models.gguf import split
from gptcli.models.gguf.header import Header

STEP = 512
"""Tokens that are computed at once at most: llama.cpp's default n_ubatch, and the engine's."""
_GRAIN = 256
"""Contexts are rounded to it, as llama.cpp rounds its cache."""

_WINDOW_PERIODS = {"gpt-oss": 2, "gemma2": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4}
"""Every how many layers one sees the whole context, the others a window (llama.cpp, src/models, `load_swa_pattern`)."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of memory for one context."""

    weights: int
    cache: int
    compute: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.compute


def need(header: Header, context: int, *, cell_bytes: float = 2.0, flash: bool = True) -> Need:
    """What running with a `context` of that many tokens takes, within about a tenth.

    `cell_bytes`: of one number in the cache, 2 for F16, 34/32 for Q8_0. Without `flash` attention the scores of all
    heads are kept for a step. Checked against the buffer sizes that llama.cpp (llama-cpp-python 0.3.36) reports.
    """
    return Need(weights(header), int(cache(header, context, cell_bytes)), compute(header, context, flash=flash))


def rough_need(size: int) -> int:
    """What a model of `size` bytes takes with a few thousand tokens, where nothing but its size is known."""
    return size + size // 8 + (256 << 20)


def weights(header: Header) -> int:
    """All parts of the model, as they are on disk: llama.cpp maps them.

    A tensor that it rearranges for the processor (Q4_0, Q4_K) is a copy, but the pages that it was made from are the
    file's, are not read again, and are the first that the system takes back: it is counted once.
    """
    parts = [header.path.with_name(name) for name in split.parts(header.path.name)]
    return sum(part.stat().st_size for part in parts if part.exists())


def cache(header: Header, context: int, cell_bytes: float = 2.0) -> float:
    """Keys and values of `context` tokens in every layer, or the state of one that has none."""
    heads = header.per_layer("attention.head_count") or []
    shared = header.per_layer("attention.head_count_kv") or heads
    embedding = header.own("embedding_length") or 0
    width = embedding // max(heads, default=0) if any(heads) else 0
    keys = header.own("attention.key_length") or width
    values = header.own("attention.value_length") or width
    state = (header.own("ssm.state_size") or 0) * (header.own("ssm.inner_size") or 0) * 4
    recurrent = header.own("block_count") or 0 if not any(shared) else sum(count == 0 for count in shared)
    near = _windowed(header, len(shared))
    window = min(context, (header.own("attention.sliding_window") or context) + STEP)
    cells = sum(count * (window if local else context) for count, local in zip(shared, near, strict=True))
    return cells * (keys + values) * cell_bytes + recurrent * state


def _windowed(header: Header, layers: int) -> list[bool]:
    """Which layers look back over a window only, where the file or its architecture says so."""
    pattern = header.metadata.get(f"{header.architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, tuple) and len(pattern) == layers:
        return [bool(item) for item in pattern]
    period = pattern if isinstance(pattern, int) and pattern else _WINDOW_PERIODS.get(header.architecture, 1)
    return [layer % period < period - 1 for layer in range(layers)]


def compute(header: Header, context: int, *, flash: bool = True) -> int:
    """The buffer for the largest thing that a step of `STEP` tokens makes: its logits, its scores or its insides."""
    step = min(STEP, context)
    tokens = header.arrays.get("tokenizer.ggml.tokens")
    vocabulary = tokens.count if tokens else header.own("vocab_size") or 0
    embedding = header.own("embedding_length") or 0
    inner = max(header.per_layer("feed_forward_length") or [0])
    experts = max(header.per_layer("expert_used_count") or [1])
    heads = max(header.per_layer("attention.head_count") or [0])
    mask = context * step * (6 if flash else 4)
    scores = 0 if flash else heads * context * step * 4
    row = 4 * step
    largest = max(row * (vocabulary + 2 * embedding), scores, row * (2 * inner * max(experts, 1) + 4 * embedding))
    return largest + mask + row * 2 * embedding


def largest_context(header: Header, memory: int, *, cell_bytes: float = 2.0, flash: bool = True) -> int:
    """The most tokens, in steps of 256 and up to what the model was trained for, that fit into `memory`; 0 for none."""
    low, high = 0, max(1, -(-(header.own("context_length") or 1 << 17) // _GRAIN))
    while low < high:
        middle = (low + high + 1) // 2
        if need(header, middle * _GRAIN, cell_bytes=cell_bytes, flash=flash).total <= memory:
            low = middle
        else:
            high = middle - 1
    return low * _GRAIN


def require(header: Header, context: int, memory: int, *, cell_bytes: float = 2.0, flash: bool = True) -> None:
    """LoadError, with the numbers and what would fit, where a `context` does not fit into `memory` bytes."""
    wanted = need(header, context, cell_bytes=cell_bytes, flash=flash)
    if wanted.total <= memory:
        return
    fits = largest_context(header, memory, cell_bytes=cell_bytes, flash=flash)
    smaller = f"--ctx-size {fits} would fit" if fits else "No context fits: take a smaller model or quantization"
    raise LoadError(
        f"{header.path.name} with a context of {context:,} tokens needs {_mib(wanted.total)} (weights "
        f"{_mib(wanted.weights)}, KV cache {_mib(wanted.cache)}, computing {_mib(wanted.compute)}), and "
        f"{_mib(memory)} are free.",
        f"{smaller}; --force tries it all the same.",
    )


def _mib(count: float) -> str:
    return f"{count / 2**20:,.0f} MiB"
