"""One sample of a request while it is computed, and how a request becomes its samples."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from gptcli.engine.backend import Backend, Sampler
from gptcli.engine.output import OutputProcessor
from gptcli.errors import ContextFull, RequestError
from gptcli.params import SEEDS
from gptcli.prompt.encoding import encode
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Request


@dataclass(slots=True, eq=False)
class Sequence:
    """There is no prefill or decode phase: each step lets `computed` catch up with `tokens`.

    A reused prefix, a fork of another sample and a preempted sequence differ only in the `computed` they begin with."""

    request: Request
    index: int
    tokens: list[int]
    """Prompt and generated tokens."""
    prompt_tokens: int
    seed: int
    output: OutputProcessor
    slot: int = -1
    """The KV cache's sequence id; -1 while it waits."""
    computed: int = 0
    """How many of `tokens` are in the KV cache."""
    prefix: int = 0
    """How many of them were there when it got its slot, in cells that other sequences may use too."""
    reused: int = 0
    """How many of the prompt's tokens were there at first."""
    sampler: Sampler | None = None
    forks: list[Sequence] = field(default_factory=list)
    """Further samples of the prompt, which begin as copies once that is computed."""
    started: float = 0.0
    prompt_seconds: float = 0.0
    decode_started: float = 0.0
    row: int = -1
    """Index of its last token in the current batch; -1 if it is not in there."""

    @property
    def pending(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt_tokens


def make_sequence(request: Request, backend: Backend, limit: int, template: ChatTemplate | None) -> Sequence:
    """The request's first sample, with the others as its forks; `limit`: tokens that one sequence may have.

    Raises RequestError, for example ContextFull: the prompt and one new token must fit. LoadError: a bad template."""
    vocabulary = backend.vocabulary
    prompt = encode(request.prompt, vocabulary, template)
    tokens = list(prompt.tokens)
    if len(tokens) >= limit:
        trained = backend.trained_context
        hint = f"Use --ctx-size {min(trained, len(tokens) + 256)} or more (this model's limit is {trained:,})."
        if limit >= trained:
            hint = "Shorten the prompt. This model was trained for no more, so --ctx-size cannot help."
        raise ContextFull(
            f"the prompt has {len(tokens):,} tokens; the context holds {limit:,}, and the answer needs at least one.",
            hint,
        )
    if request.n > backend.max_sequences:
        raise RequestError(
            f"{request.n:,} samples were requested; llama.cpp computes {backend.max_sequences:,} at once.",
            f"Request {backend.max_sequences} or fewer.",
        )
    sampling = backend.default_sampling(request.sampling)
    seed = int.from_bytes(os.urandom(8), "little") % SEEDS if sampling.seed is None else sampling.seed
    samples = []
    for index in range(request.n):
        sample_seed = (seed + index) % SEEDS
        output = OutputProcessor(request, index, is_chat=prompt.is_chat, thinking=prompt.thinking)
        if prompt.answer_length:
            output.resume(output.piece(token, vocabulary) for token in tokens[-prompt.answer_length :])
        sampler = backend.sampler(sampling, sample_seed, tokens, ignore_end=request.ignore_eos)
        samples.append(Sequence(request, index, list(tokens), len(tokens), sample_seed, output, sampler=sampler))
    leader, *leader.forks = samples
    return leader
