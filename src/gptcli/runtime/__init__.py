"""What a user may choose about the model and the machine that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CACHE_TYPES = {"f16": 2.0, "bf16": 2.0, "f32": 4.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32}
CACHE_TYPES |= {"q4_1": 20 / 32, "q4_0": 18 / 32, "iq4_nl": 18 / 32}
"""llama.cpp's types of numbers in a KV cache, and the bytes of each: a block of 32 with its scale (ggml-common.h)."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Which model to load, and how; None leaves the choice to gptcli."""

    model: str | None = None
    ctx_size: int | None = None
    """Tokens that one sequence may have."""
    threads: int | None = None
    threads_batch: int | None = None
    device: str = "auto"
    gpu_layers: int | None = None
    cache_type_k: str | None = None
    """Type of the keys in the KV cache, one of `CACHE_TYPES`; None is f16."""
    cache_type_v: str | None = None
    chat_template: Path | None = None
    """File with a template in place of the model's own."""
    adapters: tuple[tuple[Path, float], ...] = ()
    """LoRA files and their scales."""
    offline: bool = False
    force: bool = False
    """Load even if memory seems too small."""
    verbose: bool = False
    """Show llama.cpp's log on stderr."""
    speculation: bool | None = False
    """Whether draft tokens are verified where that is faster; None: only where that changes no rounding."""
    draft: str | None = None
    """A smaller model of the same vocabulary that drafts, too."""
    constrained: bool = False
    """Answers will have constraints, which are prepared while the model loads."""
    use_server: bool = False
    """Let a running `gptcli serve` answer, if it has the same model and honours these options."""

    @property
    def cache_types(self) -> tuple[str, str]:
        """Types of the keys and of the values in the KV cache."""
        return self.cache_type_k or "f16", self.cache_type_v or "f16"
