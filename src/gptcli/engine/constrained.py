"""Chooses the tokens of a sample that has a constraint: sampled within its mask, forced, or those of its ending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gptcli.errors import EngineError, GptcliError, RequestError
from gptcli.prompt.encoding import Vocabulary
from gptcli.prompt.reasoning import OPENERS, ChannelSplitter, closes_reasoning
from gptcli.types import Request, TokenPrompt

if TYPE_CHECKING:
    from gptcli.constraints.matcher import Matcher
    from gptcli.engine.backend import Backend, Sampler

_TRIES = 8
"""Tokens that are sampled in one place, where no ending of the constraint fits after them; then its ending is taken."""
_LEAST_REASONING = 32
"""Tokens that must be left for reasoning to begin."""
_TAIL = 8
"""Tokens at the end of a prompt in which a template may have closed the reasoning."""


@dataclass(slots=True)
class Reasoning:
    """Follows the reasoning before an answer, which no constraint applies to."""

    vocabulary: Vocabulary
    splitter: ChannelSplitter
    openers: frozenset[int]
    """Tokens that may begin reasoning where the answer would begin."""
    begun: bool = False
    """Whether the model is reasoning."""

    @classmethod
    def of(cls, prompt: TokenPrompt, vocabulary: Vocabulary) -> Reasoning:
        """What may come after the prompt."""
        tail = "".join(vocabulary.name(token) for token in prompt.tokens[-_TAIL:])
        openers: set[int] = set()
        if prompt.is_chat and not prompt.thinking and not closes_reasoning(tail):
            found = (vocabulary.tokenize(text.encode(), add_special=False, parse_special=True) for text in OPENERS)
            openers = {tokens[0] for tokens in found if len(tokens) == 1}
        return cls(vocabulary, ChannelSplitter(thinking=prompt.thinking), frozenset(openers), prompt.thinking)

    def push(self, token: int) -> None:
        """Follow a token of the reasoning, its markers included."""
        self.begun = True
        text = self.vocabulary.piece(token).decode("utf-8", "replace") or self.vocabulary.name(token)
        self.splitter.push(text)
        self.openers = frozenset()
        self.begun = not self.splitter.answering

    @property
    def exit(self) -> list[int]:
        """The tokens that lead to the answer."""
        if not self.begun:
            return []
        return self.vocabulary.tokenize(self.splitter.exit.encode(), add_special=False, parse_special=True)


@dataclass(slots=True)
class ConstrainedSampler:
    """Chooses the tokens of one sample. `left` is always how many tokens the sample may still get, at least one; the
    shortest legal ending fits into it, and so it does after each token that is chosen."""

    sampler: Sampler
    matcher: Matcher
    reasoning: Reasoning
    ignore_end: bool = False
    one_by_one: bool = False
    """Whether forced tokens come one a step too, because the probability of each is wanted."""
    closed: bool = False
    """Whether the ending was taken because the tokens were running out."""
    _no_more: bool = False

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a generation."""
        return self.matcher.ends

    @property
    def complete(self) -> bool:
        """Whether the text is legal and nothing follows."""
        return not self.reasoning.begun and (self._no_more or self.matcher.complete)

    @property
    def can_end(self) -> bool:
        """Whether `ending` makes the text legal."""
        return self.matcher.can_end

    def resume(self, tokens: list[int]) -> None:
        """Follow the tokens of an answer that is continued. Raises EngineError for one that breaks the constraint."""
        for number, token in enumerate(tokens):
            if not self.reasoning.begun and token not in self.reasoning.openers:
                self.matcher.accept_forced(tokens[number:])
                return
            self.reasoning.push(token)

    def next(self, row: int, left: int) -> list[tuple[int, bool]]:
        """The next tokens, and of each whether it was forced. Only the first can be a sampled one. Raises EngineError,
        LoadError."""
        if self.reasoning.begun:
            return self._reason(row, left)
        if forced := self._forced(left):
            return [(token, True) for token in forced]
        if not self.matcher.is_short(left) and (ending := self.matcher.ending):
            self.closed = True
            return [(token, True) for token in self._take(ending)]
        token = self._sample(row, left)
        if token is None:  # its ending, if there is any, is all that fits
            return [(token, True) for token in self._take(self.matcher.ending[:1])]
        if self.one_by_one or self.reasoning.begun or token in self.ends:
            return [(token, False)]
        tokens = [(token, False), *((follower, True) for follower in self._forced(left - 1))]
        self.matcher.prepare()
        return tokens

    def ending(self) -> list[int]:
        """The tokens that make the text legal at once. They need not be computed."""
        return [*self.reasoning.exit, *self.matcher.ending]

    def _reason(self, row: int, left: int) -> list[tuple[int, bool]]:
        leave = self.reasoning.exit
        token = self.sampler.sample(row) if left > len(leave) + len(self.matcher.ending) else None
        if token is None or token in self.ends:  # without an answer there would be nothing that is legal
            self.closed = token is None
            for marker in leave:
                self.reasoning.push(marker)
                self.sampler.accept(marker)
            return [(marker, True) for marker in leave]
        self.reasoning.push(token)
        return [(token, False)]

    def _forced(self, left: int) -> list[int]:
        """The tokens that the constraint forces, if its ending still fits after them."""
        if left <= 0 or self.reasoning.openers:
            return []
        forced = self.matcher.forced()
        if self.one_by_one:
            forced = forced[:1]
        return self._take(forced) if forced and self.matcher.may_add(forced, left - len(forced)) else []

    def _take(self, tokens: list[int]) -> list[int]:
        if self.one_by_one:
            tokens = tokens[:1]
        self.matcher.accept_forced(tokens)
        for token in tokens:
            self.sampler.accept(token)
        return tokens

    def _sample(self, row: int, left: int) -> int | None:
        """A token after which an ending still fits; None if none is found."""
        mask = bytearray(self.matcher.mask())
        for end in self.ends if self.ignore_end else ():
            _forbid(mask, end)
        for token in self.reasoning.openers if left > _LEAST_REASONING else ():
            mask[token >> 3] |= 1 << (token & 7)
        for _ in range(_TRIES):
            if not any(mask):
                break
            token = self.sampler.choose(row, mask)
            if self._accept(token, left - 1):
                return token
            _forbid(mask, token)
        self.closed = bool(self.matcher.ending)
        self._no_more = not self.closed
        return None

    def _accept(self, token: int, room: int) -> bool:
        if token in self.reasoning.openers:
            self.reasoning.push(token)
        elif token not in self.ends:
            if not self.matcher.accept(token, room):
                return False
            self.reasoning.openers = frozenset()
        self.sampler.accept(token)
        return True


def constrain(
    request: Request, sampler: Sampler, prompt: TokenPrompt, backend: Backend, limit: int
) -> ConstrainedSampler:
    """Keep the request's constraint with the sampler, which is closed if that cannot be done; `limit`: tokens that one
    sequence may have.

    Raises RequestError: the constraint cannot be kept, or not with so few tokens."""
    assert request.constraint is not None
    try:
        matcher = backend.matcher(request.constraint)
        constrained = ConstrainedSampler(
            sampler,
            matcher,
            Reasoning.of(prompt, backend.vocabulary),
            request.ignore_eos,
            one_by_one=request.logprobs is not None,
        )
        if prompt.answer_length:
            _resume(constrained, list(prompt.tokens[-prompt.answer_length :]))
        _check_room(request, len(constrained.ending()), limit + 1 - len(prompt.tokens))
    except GptcliError:
        sampler.close()
        raise
    return constrained


def _resume(constrained: ConstrainedSampler, tokens: list[int]) -> None:
    try:
        constrained.resume(tokens)
    except EngineError:
        message = "the answer so far breaks its constraint, so it cannot be continued."
        raise RequestError(message, "Ask for a new answer, or drop the constraint.") from None


def _check_room(request: Request, least: int, context: int) -> None:
    if request.max_tokens is not None and least > request.max_tokens:
        raise RequestError(
            f"the constraint needs at least {least:,} tokens, and the answer may have {request.max_tokens:,}.",
            f"Allow {least} or more (-n).",
        )
    if least > context:
        raise RequestError(
            f"the constraint needs at least {least:,} tokens; the context has room for {context:,} after the prompt.",
            "Use a larger --ctx-size or a shorter prompt.",
        )


def _forbid(mask: bytearray, token: int) -> None:
    mask[token >> 3] &= ~(1 << (token & 7)) & 0xFF
