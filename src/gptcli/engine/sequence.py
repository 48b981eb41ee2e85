"""One sample on its way: its tokens, how many of them are computed, its sampler and its text.

It knows no llama.cpp and no policy; the scheduler reads it, the engine moves it on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gptcli.engine.backend import Sampler
from gptcli.engine.output import OutputProcessor
from gptcli.types import Request


@dataclass(slots=True, eq=False)
class Sequence:
    """There is no prefill or decode phase: each step lets `computed` catch up with `tokens`.

    A reused prefix, a fork for a further sample and a preempted sequence differ only in the `computed` they start with.
    """

    request: Request
    index: int
    tokens: list[int]
    """Prompt and what was generated."""
    prompt_tokens: int
    seed: int
    speech: OutputProcessor
    slot: int = -1
    """The KV cache's sequence id; -1 while it waits."""
    computed: int = 0
    """How many of `tokens` are in the KV cache."""
    begun: int = 0
    """How many of them it began with when it was placed last, in cells that others may use too."""
    reused: int = 0
    """How many of the prompt's tokens were there already."""
    sampler: Sampler | None = None
    forks: list[Sequence] = field(default_factory=list)
    """Further samples of the prompt, which begin as copies once it is computed."""
    started: float = 0.0
    prompt_seconds: float = 0.0
    decode_started: float = 0.0
    row: int = -1
    """Place of its last token in the batch being computed; -1 if it is not in there."""

    @property
    def pending(self) -> int:
        """Tokens still to be computed before the next can be sampled."""
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt_tokens
