"""Memory: how much is free, how much a model and its context need, and the check before either is created."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gptcli.errors import OutOfMemory
from gptcli.models.gguf.header import Header, read_header
from gptcli.models.gguf.quantization import split_paths

if TYPE_CHECKING:
    from gptcli.llama.devices import Offload  # it loads llama.cpp

STEP = 512
"""The most tokens per decode step: llama.cpp's default n_ubatch, and the engine's."""
_PADDING = 256
"""llama.cpp pads its cache to a multiple of this."""
_MIN_CONTEXT = 256
"""A model that does not fit with such a context need not be loaded."""
_F16_BYTES = 2.0
"""Of one number in the KV cache, unless another type is chosen."""
_WINDOW_PERIODS = {"gpt-oss": 2, "gemma2": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4}
"""One layer in so many sees the whole context, the others a window (llama.cpp, src/models, `load_swa_pattern`)."""
_NO_LIMIT = 1 << 60
"""cgroup v1 writes a number near 2**63 for "no limit"."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of memory for a model with one context."""

    weights: int
    cache: int
    compute: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.compute


class MemoryCheck:
    """The check of one model against the memory that was free before loading; mapped weights count as free after."""

    def __init__(self, path: Path, *cell_bytes: float) -> None:
        """`cell_bytes`: of a number in the keys and in the values of the KV cache."""
        self._cell_bytes = cell_bytes
        self._header = read_header(path, upto_tokenizer=True)
        self._free = available()

    def check(self, context: int | None) -> None:
        """Raise OutOfMemory, with the numbers and what would fit, unless the weights and this context fit."""
        require(self._header, context or _MIN_CONTEXT, self._free, self._cell_bytes)

    def for_devices(self, offload: Offload, cores: int = 1) -> Callable[[int], None]:
        """The check before each context of so many tokens, one for each engine core, in the memory of its devices."""
        free = sum(device.free for device in offload.devices) if offload.is_gpu else self._free

        def check(context: int) -> None:
            buffers = (cores - 1) * compute(self._header, context)  # each core has one; `require` counts the first
            require(self._header, context * cores, max(0, free - buffers), self._cell_bytes)

        return check if free else lambda context: None


def available(root: Path = Path("/")) -> int:
    """Bytes that can be used without swapping: what the system has free, or its container if that is less."""
    import psutil  # 8 ms that commands without a model need not wait for

    return min([int(psutil.virtual_memory().available), *_cgroups_free(root)])


def need(header: Header, context: int, cell_bytes: Sequence[float] = ()) -> Need:
    """The memory for a model with `context` tokens in its cache, with flash attention, within about a tenth."""
    return Need(weights(header), int(cache(header, context, *cell_bytes)), compute(header, context))


def rough_need(size: int) -> int:
    """The memory for a model of which only the size is known, with a few thousand tokens."""
    return size + size // 8 + (256 << 20)


def weights(header: Header) -> int:
    """All parts of the model, as they are on disk: llama.cpp maps them.

    Tensors that it repacks for the processor (Q4_0, Q4_K) are copies, but the system reclaims the pages of the file
    first, so they count once."""
    return sum(part.stat().st_size for part in split_paths(header.path) if part.exists())


def cache(header: Header, context: int, key_bytes: float = _F16_BYTES, value_bytes: float = _F16_BYTES) -> float:
    """The keys and values of `context` tokens in every layer, or the state of recurrent layers."""
    heads = header.per_layer("attention.head_count") or []
    kv_heads = header.per_layer("attention.head_count_kv") or heads
    head_size = (header.own("embedding_length") or 0) // max(heads, default=0) if any(heads) else 0
    keys = header.own("attention.key_length") or head_size
    values = header.own("attention.value_length") or head_size
    state = (header.own("ssm.state_size") or 0) * (header.own("ssm.inner_size") or 0) * 4
    recurrent = header.own("block_count") or 0 if not any(kv_heads) else sum(count == 0 for count in kv_heads)
    windowed = _windowed_layers(header, len(kv_heads))
    window = min(context, (header.own("attention.sliding_window") or context) + STEP)
    cells = sum(count * (window if local else context) for count, local in zip(kv_heads, windowed, strict=True))
    return cells * (keys * key_bytes + values * value_bytes) + recurrent * state


def compute(header: Header, context: int) -> int:
    """The compute buffer: the largest intermediate of a step (its logits or its activations), and the mask."""
    step = min(STEP, context)
    tokens = header.arrays.get("tokenizer.ggml.tokens")
    vocabulary = tokens.count if tokens else header.own("vocab_size") or 0
    embedding = header.own("embedding_length") or 0
    feed_forward = max(header.per_layer("feed_forward_length") or [0])
    experts = max(header.per_layer("expert_used_count") or [1])
    row = 4 * step
    largest = row * max(vocabulary + 2 * embedding, 2 * feed_forward * max(experts, 1) + 4 * embedding)
    return largest + context * step * 6 + row * 2 * embedding


def largest_context(header: Header, free: int, most: int | None = None, cell_bytes: Sequence[float] = ()) -> int:
    """The most tokens, up to `most` or the trained context, that fit into `free` bytes; 0 if none do."""
    low, high = 0, max(1, -(-(most or header.own("context_length") or 1 << 17) // _PADDING))
    while low < high:
        middle = (low + high + 1) // 2
        if need(header, middle * _PADDING, cell_bytes).total <= free:
            low = middle
        else:
            high = middle - 1
    return low * _PADDING


def require(header: Header, context: int, free: int, cell_bytes: Sequence[float] = ()) -> None:
    """Raise OutOfMemory, with the numbers and what would fit, unless `context` tokens fit into `free` bytes."""
    wanted = need(header, context, cell_bytes)
    if wanted.total <= free:
        return
    fits = largest_context(header, free, context, cell_bytes)
    smaller = f"--ctx-size {fits} would fit" if fits else "No context fits: use a smaller model or quantization"
    raise OutOfMemory(
        f"{header.path.name} with a context of {context:,} tokens needs {_mib(wanted.total)} (weights "
        f"{_mib(wanted.weights)}, KV cache {_mib(wanted.cache)}, compute {_mib(wanted.compute)}), and "
        f"{_mib(free)} are free.",
        f"{smaller}; --force skips this check.",
    )


def _windowed_layers(header: Header, layers: int) -> list[bool]:
    """Which layers have a sliding window, by the file or its architecture."""
    pattern = header.metadata.get(f"{header.architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, tuple) and len(pattern) == layers:
        return [bool(item) for item in pattern]
    period = pattern if isinstance(pattern, int) and pattern else _WINDOW_PERIODS.get(header.architecture, 1)
    return [layer % period < period - 1 for layer in range(layers)]


def _cgroups_free(root: Path) -> list[int]:
    """What is left in this process's cgroup and each one above it (v2, and v1's memory controller)."""
    left: list[int] = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, name = line.split(":", 2)
        if controllers not in {"", "memory"} and "memory" not in controllers.split(","):
            continue
        v1 = controllers != ""
        top = root / "sys/fs/cgroup" / ("memory" if v1 else "")
        files = ("memory.limit_in_bytes", "memory.usage_in_bytes") if v1 else ("memory.max", "memory.current")
        group = top / name.lstrip("/")
        while group.is_relative_to(top):
            limit, usage = ("".join(_lines(group / file)) for file in files)
            if limit.isdigit() and usage.isdigit() and int(limit) < _NO_LIMIT:
                left.append(max(0, int(limit) - int(usage) + _page_cache(group)))
            group = group.parent
    return left


def _page_cache(group: Path) -> int:
    """Bytes of cached files, which count as used by the group but can be reclaimed."""
    fields = dict(line.split(" ", 1) for line in _lines(group / "memory.stat"))
    return sum(int(fields.get(name, 0)) for name in ("inactive_file", "active_file"))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii", "replace").splitlines()
    except OSError:
        return []


def _mib(count: float) -> str:
    return f"{count / 2**20:,.0f} MiB"
