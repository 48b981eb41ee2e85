"""Proposes draft tokens from the text itself: prompt lookup, as vLLM's n-gram proposer does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

_NGRAM = 3
"""Tokens that must have occurred before: a pair occurs by chance too often."""
_ENOUGH = 8
"""Matching tokens from which no other occurrence is looked for."""
_MOST_MATCHED = 32
"""Matching tokens beyond which occurrences are not compared any further."""
_MOST_PLACES = 8
"""The latest occurrences that are compared; a text full of one token has very many."""
_GAP = 8
"""Tokens that an edit puts in, or leaves out, before the copy goes on."""


class Kind(IntEnum):
    """What a draft is based on. How many of its tokens are accepted is measured for each kind."""

    MODEL = 0  # a smaller model
    RESUMED = 1  # the last token is near the place where a copy was changed
    THREE = 2  # the last three tokens occurred before
    FOUR = 3  # the last four to seven
    EIGHT = 4
    SIXTEEN = 5
    MORE = 6

    @classmethod
    def of(cls, matched: int) -> Kind:
        """The kind for so many matching tokens."""
        if matched < _NGRAM:
            return cls.RESUMED
        return cls(min(cls.THREE + max(0, matched.bit_length() - 2), cls.MORE))


@dataclass(frozen=True, slots=True)
class Draft:
    """Draft tokens, at least one."""

    tokens: list[int]
    kind: Kind


class Proposer(Protocol):
    """Proposes what one sequence may go on with."""

    def propose(self, tokens: list[int], most: int) -> Draft | None:
        """At most `most` draft tokens; None where there is nothing to propose. `tokens` are those of the same sequence
        at each call, and only ever grow."""


@dataclass(slots=True)
class NgramProposer:
    """Finds the last tokens of a sequence earlier in it, and proposes what followed them there.

    When a text leaves what it copies, as an edit does, the copy goes on at the first token that is found near that
    place: a match of three tokens would come too late. The edit is remembered: where the copied text has the same
    tokens again, as with a variable that is renamed, the draft has what replaced them."""

    _places: dict[tuple[int, ...], list[int]] = field(default_factory=dict)
    """For each n-gram the positions behind it, the latest last."""
    _seen: int = 0
    """Tokens at the last call."""
    _expected: list[tuple[int, int]] = field(default_factory=list)
    """The last proposal: each token, and the position behind what it was copied from."""
    _source: int = -1
    """Position of the token that should come next; -1 for none."""
    _matched: int = 0
    """How many tokens before it equal the last ones."""
    _left: int = 0
    """Position where the last copy was left."""
    _left_at: int = -_GAP
    """Position of the token that left it."""
    _is_copy: bool = False
    """Whether so much was copied before that it is no coincidence."""
    _edits: dict[int, tuple[int, list[int]]] = field(default_factory=dict)
    """For the first of the tokens that an edit replaced: how many they were, and what replaced them."""

    def propose(self, tokens: list[int], most: int) -> Draft | None:
        self._follow(tokens)
        if self._matched < _ENOUGH:
            self._search(tokens)
        self._expected = self._copy(tokens, most) if 0 <= self._source < len(tokens) else []
        if not self._expected:
            return None
        return Draft([token for token, _ in self._expected], Kind.of(self._matched))

    def _follow(self, tokens: list[int]) -> None:
        """Note the n-grams of the new tokens, and go on with the copy as far as they do."""
        for end in range(max(self._seen, _NGRAM), len(tokens)):
            places = self._places.setdefault(tuple(tokens[end - _NGRAM : end]), [])
            places.append(end)
            if len(places) > _MOST_PLACES:
                del places[0]
        new, self._seen = tokens[self._seen :], len(tokens)
        for number, token in enumerate(new if self._source >= 0 else ()):
            if number == len(self._expected) or self._expected[number][0] != token:
                self._edits.pop(tokens[min(self._source, len(tokens) - 1)], None)
                if self._matched >= _NGRAM:
                    self._left, self._left_at = self._source, len(tokens) - len(new) + number
                    self._is_copy = self._matched >= _ENOUGH
                self._source, self._matched = -1, 0
                return
            self._source = self._expected[number][1]
            self._matched += 1

    def _search(self, tokens: list[int]) -> None:
        """Find the occurrence of the last tokens with the longest match, the latest of equally long ones."""
        best = 0
        for place in reversed(self._places.get(tuple(tokens[-_NGRAM:]), ())):
            matched = _NGRAM
            while matched < min(_MOST_MATCHED, place) and tokens[place - matched - 1] == tokens[-matched - 1]:
                matched += 1
            if matched > best:
                best, place_found = matched, place
        if best > self._matched:
            self._source, self._matched = place_found, best
        if self._source < 0 and len(tokens) - self._left_at <= _GAP:
            self._resume(tokens)

    def _resume(self, tokens: list[int]) -> None:
        """Go on with the copy that was left, behind the place near there that has the last token."""
        for place in range(self._left, min(self._left + _GAP, self._left_at)):
            if tokens[place] == tokens[-1]:
                self._source, self._matched = place + 1, 1
                if self._is_copy and place > self._left:
                    self._edits[tokens[self._left]] = place - self._left, tokens[self._left_at : -1]
                return

    def _copy(self, tokens: list[int], most: int) -> list[tuple[int, int]]:
        """The tokens from the source on, edited as before. A copy that reaches the end of the text goes on with its own
        beginning."""
        found: list[tuple[int, int]] = []
        place, period = self._source, len(tokens) - self._source
        while len(found) < most and place - self._source < most + _MOST_MATCHED:
            token = tokens[self._source + (place - self._source) % period]
            removed, put = self._edits.get(token, (1, [token]))
            place += removed
            found += [(one, place) for one in put]
        return found[:most]
