"""One sample of a request while it is computed, and how a request becomes its samples."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field

from gptcli.engine.backend import Backend, Sampler
from gptcli.engine.constrained import ConstrainedSampler, constrain
from gptcli.engine.drafting import Drafting
from gptcli.engine.output import OutputProcessor
from gptcli.engine.tree import Branch, make_tree
from gptcli.errors import ContextFull, RequestError
from gptcli.params import SEEDS
from gptcli.prompt.encoding import encode
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Request, TokenInfo


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
    constrained: ConstrainedSampler | None = None
    """Uses the sampler within a constraint, if the request has one."""
    forks: list[Sequence] = field(default_factory=list)
    """Further samples of the prompt, which begin as copies once that is computed."""
    started: float = 0.0
    prompt_seconds: float = 0.0
    decode_started: float = 0.0
    row: int = -1
    """Index of its last token in the current batch; -1 if it is not in there."""
    most_tokens: int = 0
    """Tokens that may be generated."""
    drafting: Drafting | None = None
    """What is known of its drafts."""
    draft: list[int] = field(default_factory=list)
    """Draft tokens behind its own in the current batch, each with logits."""
    drafted: int = 0
    """Draft tokens that were verified so far."""
    accepted: int = 0
    """How many of them the text went on with."""
    score_from: int = sys.maxsize
    """The next of the prompt's tokens whose log-probability is wanted."""
    is_last_needed: bool = True
    """Whether the last token is computed too; it need not be where nothing follows it."""
    branch: Branch | None = None
    """Continuations of the prompt to be scored, or the branch of them that it ends with."""
    leader: Sequence | None = None
    """Of a branch: the sequence of the prompt."""
    scored: list[TokenInfo] = field(default_factory=list)
    """Of a branch: the scored tokens after the prompt. Of a prompt that is echoed: its own."""
    unscored: int = 0
    """Of a prompt: continuations that have no scores yet."""
    ended: bool = False
    """Of a prompt: whether its request has ended."""

    @property
    def pending(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return len(self.tokens) - self.computed - (not self.is_last_needed)

    @property
    def reusable(self) -> int:
        """Tokens that need not be computed if another sequence has them: some must be, for the logits behind them."""
        last = len(self.tokens) - 1 - (not self.is_last_needed)
        return min(last, max(0, self.score_from - 1))

    @property
    def is_scoring(self) -> bool:
        """Whether log-probabilities of the prompt, or of what follows it, are still to be delivered."""
        return self.score_from < self.prompt_tokens or self.branch is not None

    @property
    def followers(self) -> int:
        """Sequences that will go on from this one, each with a slot of its own."""
        return len(self.forks) + (self.branch.below if self.branch is not None else 0)

    @property
    def tokens_below(self) -> int:
        """Tokens of the branches that will go on from this one."""
        return self.branch.tokens_below if self.branch is not None else 0

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def left(self) -> int:
        """Tokens that may still be generated."""
        return self.most_tokens - self.generated

    def next_tokens(self, left: int) -> list[tuple[int, bool]]:
        """The token to follow, and those that must follow it; of each, whether it was forced. At most `left`.

        Raises EngineError, LoadError."""
        if self.constrained is not None:
            return self.constrained.next(self.row, left)
        assert self.sampler is not None, "it has ended"
        return [(self.sampler.sample(self.row), False)]


def make_sequence(request: Request, backend: Backend, limit: int, template: ChatTemplate | None) -> Sequence:
    """The request's first sample, with the others as its forks; `limit`: tokens that one sequence may have.

    Raises RequestError, for example ContextFull: the prompt and one new token must fit. LoadError: a bad template."""
    vocabulary = backend.vocabulary
    prompt = encode(request.prompt, vocabulary, template)
    tokens = list(prompt.tokens)
    _check_length(request, len(tokens), limit, backend.trained_context)
    if request.continuations or (request.max_tokens == 0 and request.prompt_logprobs is not None and request.n == 1):
        return _scoring_sequence(request, backend, tokens)
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
        sequence = Sequence(request, index, list(tokens), len(tokens), sample_seed, output, sampler=sampler)
        sequence.most_tokens = min(request.max_tokens or limit, limit + 1 - len(tokens))
        if request.constraint is not None:
            sequence.constrained = constrain(request, sampler, prompt, backend, limit)
        samples.append(sequence)
    leader, *leader.forks = samples
    if request.prompt_logprobs is not None:
        leader.score_from = request.prompt_logprobs_start
    return leader


def _check_length(request: Request, length: int, limit: int, trained: int) -> None:
    """Raises ContextFull for a prompt of `length` tokens that leaves no room for what is to follow it."""
    following = max(map(len, request.continuations), default=1)
    if not request.continuations and request.max_tokens == 0 and request.prompt_logprobs is not None:
        following = 0
    if length + following <= limit:
        return
    hint = f"Use --ctx-size {min(trained, length + following + 255)} or more (this model's limit is {trained:,})."
    if limit >= trained:
        hint = "Shorten the prompt. This model was trained for no more, so --ctx-size cannot help."
    needs = f"and the answer needs at least {'one' if following == 1 else f'{following:,}'}"
    raise ContextFull(f"the prompt has {length:,} tokens; the context holds {limit:,}, {needs}.", hint)


def _scoring_sequence(request: Request, backend: Backend, tokens: list[int]) -> Sequence:
    """The sequence of a request that generates nothing. Raises RequestError."""
    output = OutputProcessor(request, 0, is_chat=False, thinking=False)
    sequence = Sequence(request, 0, tokens, len(tokens), request.sampling.seed or 0, output)
    if request.prompt_logprobs is not None:
        sequence.score_from = request.prompt_logprobs_start
    if not request.continuations:
        sequence.is_last_needed = len(tokens) == 1
        return sequence
    sequence.branch = make_tree(request.continuations)
    sequence.unscored = len(request.continuations)
    if sequence.followers >= backend.max_sequences:
        raise RequestError(
            f"the continuations have {sequence.followers:,} branches; llama.cpp computes {backend.max_sequences:,}.",
            "Score them in several requests.",
        )
    return sequence


def make_branch(parent: Sequence, branch: Branch, first: TokenInfo) -> Sequence:
    """The sequence of a branch that follows `parent`; `first` is its first token, which is scored already."""
    tokens = [*parent.tokens, *branch.tokens]
    return Sequence(
        parent.request,
        parent.index,
        tokens,
        len(tokens),
        parent.seed,
        parent.output,
        started=parent.started,
        reused=parent.reused,
        score_from=len(parent.tokens) + 1,
        is_last_needed=bool(branch.children),
        branch=branch,
        leader=parent.leader or parent,
        scored=[*parent.scored, first],
    )
