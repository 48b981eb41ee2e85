"""From a request to sequences that can run: its tokens, its samplers, and whether it fits at all.

It knows prompts and limits, and nothing of what else is running.
"""

from __future__ import annotations

import os

from gptcli.engine.backend import Backend
from gptcli.engine.output import OutputProcessor
from gptcli.engine.sequence import Sequence
from gptcli.errors import ContextFull, RequestError
from gptcli.prompt.encoding import encode
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Request

_SEEDS = 2**32 - 1
"""Seeds there are: llama.cpp takes 2**32 - 1 itself to mean a random one (LLAMA_DEFAULT_SEED)."""


def admit(request: Request, backend: Backend, limit: int, template: ChatTemplate | None) -> Sequence:
    """The request's first sample, with the others as its forks; `limit` is what one text may have, in tokens.

    Raises RequestError, ContextFull among them: the prompt and one new token must fit. LoadError: a bad template."""
    prompt = encode(request.prompt, backend.vocabulary, template)
    tokens = list(prompt.tokens)
    if len(tokens) >= limit:
        raise _too_long(len(tokens), limit, backend.trained_context)
    if request.n > backend.most_sequences:
        raise RequestError(
            f"{request.n:,} samples were asked for, llama.cpp computes {backend.most_sequences:,} at once.",
            f"Ask for {backend.most_sequences} or fewer.",
        )
    sampling = backend.default_sampling(request.sampling)
    seed = int.from_bytes(os.urandom(8), "little") % _SEEDS if sampling.seed is None else sampling.seed
    samples = []
    for index in range(request.n):
        sample_seed = (seed + index) % _SEEDS
        samples.append(
            Sequence(
                request=request,
                index=index,
                tokens=list(tokens),
                prompt_tokens=len(tokens),
                seed=sample_seed,
                sampler=backend.sampler(sampling, sample_seed, tokens, ignore_end=request.ignore_eos),
                speech=OutputProcessor(request, index, is_chat=prompt.is_chat, thinking=prompt.thinking),
            )
        )
    if prompt.begun:
        for sample in samples:
            sample.speech.resume(sample.speech.piece(token, backend.vocabulary) for token in tokens[-prompt.begun :])
    leader, *leader.forks = samples
    return leader


def _too_long(count: int, limit: int, trained: int) -> ContextFull:
    what = f"the prompt has {count:,} tokens, the context holds {limit:,} and one must be left for the answer."
    if limit < trained:
        return ContextFull(
            what, f"Use --ctx-size {min(trained, count + 256)} or more (this model can have {trained:,})."
        )
    return ContextFull(what, "This model was trained for no more (--ctx-size cannot raise it): shorten the prompt.")
