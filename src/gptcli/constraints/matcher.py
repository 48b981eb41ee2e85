"""Follows an answer that has a constraint: which tokens may come next, which must, and how it can end.

llguidance's errors never raise: after one, its mask allows only the end, and a bad schema would look like an empty
answer. So every step is checked here."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gptcli.constraints.closing import joined_ending, rest_of_ending, shortest_ending
from gptcli.constraints.compilation import excess
from gptcli.constraints.grammar import compile_grammar, refusal
from gptcli.constraints.tokens import Tokens, bytes_tokenizer
from gptcli.errors import EngineError
from gptcli.types import Constraint

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from llguidance import LLMatcher, LLTokenizer

    Worker = Callable[[], ThreadPoolExecutor]

_KEPT = 64
"""Constraints of which a compiled matcher is kept."""
_LONGEST_ENDING = 1 << 16
_LONG_ENDING = 300
"""An ending of more bytes is kept as far as possible; another one takes 20 ms to find, and is hardly shorter."""
_SHORT_DETOUR = 16
"""So many bytes may come before what is kept of a shorter one."""
_SLOW_SECONDS = 0.0003
"""A mask that took longer is made while the model computes; the exchange with the other thread takes a third of it."""


class Matcher:
    """One answer's constraint, made by `Compiler.matcher`."""

    __slots__ = ("_ahead", "_begun", "_bytes", "_compiled", "_counted", "_ending", "_follower", "_slow", "_vocabulary")

    def __init__(self, compiled: Compiled, vocabulary: Tokens) -> None:
        self._compiled = compiled
        self._vocabulary = vocabulary
        self._follower: LLMatcher | None = None
        self._begun: list[int] = []  # tokens that the follower has not seen, because it is not made yet
        self._bytes = compiled.of_bytes and compiled.of_bytes.deep_copy()
        self._ahead: Future[bytes] | None = None
        self._slow = False
        self._ending = compiled.ending
        self._counted = (b"", 0)  # the last ending that was tokenized, and how many tokens it has

    def mask(self) -> bytes:
        """A bit for each token, the lowest first: whether it may come next. Raises EngineError."""
        if self._ahead is not None:
            mask, self._ahead = self._ahead.result(), None
        elif (of_bytes := self._of_few()) is not None:
            return self._vocabulary.mask(of_bytes)
        else:
            began = time.perf_counter()
            mask = self._tokens.compute_bitmask()
            self._slow = time.perf_counter() - began > _SLOW_SECONDS
        self._check(self._tokens)
        return mask

    @property
    def allows_few(self) -> bool:
        """Whether so few tokens may come next that the mask is made without the tokenizer."""
        return self._of_few() is not None

    def _of_few(self) -> LLMatcher | None:
        """The matcher over bytes, while there is no tokenizer and so few tokens are allowed that none is needed."""
        if self._follower is not None or self._bytes is None or self._vocabulary.is_made:
            return None
        few = self._vocabulary.are_few(self._bytes)
        self._check(self._bytes)
        return self._bytes if few else None

    def prepare(self) -> None:
        """Begin to make the next mask in another thread, if the last one took long enough for that to be worth it."""
        if self._slow and not self._tokens.is_stopped():
            self._ahead = self._compiled.worker().submit(self._tokens.compute_bitmask)

    @property
    def _tokens(self) -> LLMatcher:
        """Follows the text token by token. It may not be used while another thread does."""
        if self._ahead is not None:
            self._ahead.exception()  # waits
        if self._follower is None:
            self._follower = self._compiled.follower().deep_copy()
            self._feed(self._follower, self._begun)
        return self._follower

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a generation."""
        return self._vocabulary.ends

    @property
    def can_end(self) -> bool:
        """Whether the ending makes the text legal; a grammar that names special tokens has none to offer."""
        return self._bytes is not None or self.accepting

    @property
    def complete(self) -> bool:
        """Whether the text is legal as it is and nothing may follow it."""
        follower = self._bytes if self._follower is None else self._tokens
        return follower is not None and bool(follower.is_stopped())

    @property
    def accepting(self) -> bool:
        """Whether the text is legal as it is."""
        return bool((self._bytes or self._tokens).is_accepting())

    @property
    def ending(self) -> list[int]:
        """The tokens of the shortest legal ending; none, if the text is legal as it is."""
        return self._vocabulary.tokenize(self._ending) if self._ending else []

    def forced(self) -> list[int]:
        """The tokens that must come next, as far as that is certain."""
        if self._follower is None and (start := self._compiled.start[len(self._begun) :]):
            return start
        if (of_bytes := self._of_few()) is not None:
            return self._vocabulary.forced(of_bytes)
        found = self._tokens.compute_ff_tokens()
        self._check(self._tokens)
        return list(found)

    def is_short(self, room: int) -> bool:
        """Whether the ending has fewer than `room` tokens. A token has at least one byte."""
        return len(self._ending) < room or self._short_enough(self._ending, room - 1)

    def accept(self, token: int, room: int) -> bool:
        """Add a token to the text, unless no ending would fit into `room` further tokens; returns whether it was added.

        The token must be one that the mask allows, and no end. Raises EngineError."""
        text = self._vocabulary.piece(token)
        if self._bytes is not None and text:
            if not self._bytes.consume_tokens(list(text)):
                self._check(self._bytes)
            ending = self._ending_after(text, room)
            if ending is None:
                self._bytes.rollback(len(text))
                return False
            self._ending = ending
        self._consume([token])
        return True

    def accept_forced(self, tokens: list[int]) -> None:
        """Add tokens that must come next, or those of the ending. Raises EngineError."""
        text = b"".join(map(self._vocabulary.piece, tokens))
        if self._bytes is not None and text:
            self._bytes.consume_tokens(list(text))
            self._check(self._bytes)
            self._ending = next(self._endings(text), b"")
        self._consume(tokens)

    def may_add(self, tokens: list[int], room: int) -> bool:
        """Whether the ending has at most `room` tokens after these, with which it begins."""
        rest = self._ending[sum(len(self._vocabulary.piece(token)) for token in tokens) :]
        return room >= 0 and self._short_enough(rest, room)

    def _consume(self, tokens: list[int]) -> None:
        if self._follower is None and self._bytes is not None:
            self._begun += tokens
            if self._begun == self._compiled.start:
                self._vocabulary.start()  # the tokenizer is made while the model computes these
            return
        follower, self._ahead = self._tokens, None
        self._feed(follower, tokens)

    def _feed(self, follower: LLMatcher, tokens: list[int]) -> None:
        """Let the follower see tokens. Raises EngineError."""
        if tokens and not follower.consume_tokens(tokens):
            self._check(follower)
            raise EngineError("the constraint refuses a token that it allowed.")

    def _ending_after(self, text: bytes, room: int) -> bytes | None:
        """An ending for the text with `text` added, if one fits: what is left of the last one, else a new one."""
        fitting = (ending for ending in self._endings(text) if self._short_enough(ending, room))
        return next(fitting, None)

    def _endings(self, text: bytes) -> Iterator[bytes]:
        """Endings for the text with `text` added, the quickest to find first."""
        assert self._bytes is not None
        if (rest := rest_of_ending(self._bytes, self._ending, text)) is not None:
            yield rest
        is_long = len(self._ending) > _LONG_ENDING
        detour = _LONGEST_ENDING if is_long else _SHORT_DETOUR
        joined = joined_ending(self._bytes, self._ending, detour)
        if joined is not None:
            yield joined
        if joined is None or not is_long:
            shortest = shortest_ending(self._bytes, _LONGEST_ENDING)
            if shortest is not None:
                yield shortest

    def _short_enough(self, ending: bytes, room: int) -> bool:
        if len(ending) <= room:  # each token has a byte at least
            return True
        if self._counted[0] != ending:
            self._counted = ending, len(self._vocabulary.tokenize(ending))
        return self._counted[1] <= room

    def _check(self, matcher: LLMatcher) -> None:
        if matcher.is_error():
            raise EngineError(f"llguidance failed: {_first_line(matcher.get_error())}.", "Simplify the constraint.")


@dataclass(slots=True)
class Compiled:
    """A constraint with nothing behind it."""

    grammar: str
    tokens: Tokens
    of_bytes: LLMatcher | None
    """Follows the text byte by byte, to search endings; None for a grammar of special tokens, which has none."""
    ending: bytes
    """The shortest text of all."""
    worker: Worker
    """Makes masks while the model computes."""
    start: list[int]
    """The tokens that every text begins with, without the last one, which may go on in many ways: known from the bytes,
    before there is a tokenizer."""
    _follower: LLMatcher | None = None

    def follower(self) -> LLMatcher:
        """Follows the text token by token. Waits for the tokenizer. Raises EngineError."""
        if self._follower is None:
            from gptcli.constraints.library import new_matcher

            made = new_matcher(self.tokens.result(), self.grammar)
            if made.is_error():
                raise EngineError(f"llguidance failed: {_first_line(made.get_error())}.", "Simplify the constraint.")
            self._follower = made
        return self._follower


@dataclass(slots=True)
class Compiler:
    """Makes matchers for the answers of one model, and keeps what is compiled for the answers to come."""

    tokens: Tokens
    _compiled: OrderedDict[Constraint, Compiled] = field(default_factory=OrderedDict)
    _bytes: LLTokenizer | None = None
    _threads: ThreadPoolExecutor | None = None

    def matcher(self, constraint: Constraint) -> Matcher:
        """A matcher with nothing behind it. Raises RequestError for a constraint that cannot be kept."""
        made = self._compiled.get(constraint)
        if self._compiled:  # it is not the only answer, so the tokenizer will pay
            self.tokens.start()
        if made is None:
            made = self._compiled[constraint] = self._compile(constraint)
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(constraint)
        return Matcher(made, self.tokens)

    def _compile(self, constraint: Constraint) -> Compiled:
        from gptcli.constraints.library import new_matcher

        if too_much := excess(constraint):
            raise refusal(constraint, too_much)
        self._bytes = self._bytes or bytes_tokenizer()
        grammar = compile_grammar(constraint)
        of_bytes = new_matcher(self._bytes, grammar)
        follows_bytes = not of_bytes.is_error()
        ending = shortest_ending(of_bytes, _LONGEST_ENDING, patient=True) if follows_bytes else b""
        if ending is None:
            raise refusal(constraint, "no text satisfies it, or none that is short enough to be found")
        start = self.tokens.tokenize(of_bytes.compute_ff_bytes())[:-1] if follows_bytes else []
        compiled = Compiled(grammar, self.tokens, of_bytes if follows_bytes else None, ending, self._worker, start)
        if not start and not (follows_bytes and self.tokens.are_few(of_bytes)):
            try:
                compiled.follower()
            except EngineError as error:
                raise refusal(constraint, error.message) from None
        return compiled

    def _worker(self) -> ThreadPoolExecutor:
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor  # 8 ms that fast masks need not wait for

            self._threads = ThreadPoolExecutor(1, "masks")
        return self._threads


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0].rstrip(".")
