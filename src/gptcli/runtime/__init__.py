"""What a user may choose about the model and the machine that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    chat_template: Path | None = None
    """File with a template in place of the model's own."""
    adapters: tuple[tuple[Path, float], ...] = ()
    """LoRA files and their scales."""
    offline: bool = False
    force: bool = False
    """Load even if memory seems too small."""
    verbose: bool = False
    """Show llama.cpp's log on stderr."""
    constrained: bool = False
    """Answers will have constraints, which are prepared while the model loads."""
    use_server: bool = False
    """Let a running `gptcli serve` answer, if it has the same model and honours these options."""
