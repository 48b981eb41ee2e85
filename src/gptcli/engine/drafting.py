"""Decides how many draft tokens are verified in a step: as many as pay, by measured step times and acceptance.

A step of several tokens costs more than a step of one, how much more depends on the format, the processor and the
threads: four tokens cost 1.9 times as much in Q4_0, and 3.3 times in Q4_1 (docs/speculation.md). Drafts of n-grams cost
nothing until they are verified, so their acceptance is measured even while none are: a text that does not repeat itself
is decoded as if there was no speculation."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import NamedTuple

from gptcli.engine.proposers import Draft, Kind, Proposer

MOST_DRAFT = 15
"""Draft tokens of a sequence in one step, at most."""
_LENGTHS = (3, 7, 15)
"""Lengths that are weighed: with the token before them they are 4, 8 and 16, for llama.cpp multiplies quantized
matrices so many columns at a time."""
_LEAST_GAIN = 1.1
"""Drafts must raise the tokens a second by this factor."""
_FIRST_SLOPE = 0.6
"""What each further token of a step costs, as a part of the first, before it is measured: as in formats
for which it is high (Q4_1), so that a text need not pay for the measurement."""
LATEST = 0.25
"""Weight of the latest step in the mean of its size."""
_FORGET = 0.005
"""How fast the times of sizes that are not used return to what they are assumed to be, with each step of one token, so
that a busy moment does not decide for ever."""
_FIRST_STEPS = 3
"""Of the first steps of a size the shortest counts: memory is touched for the first time in them."""
_OUTLIER = 2.0
"""Steps count as at most so many times the mean: another program may have had the processor."""
_MEMORY = 0.95
"""Weight of earlier draft tokens with each one: about twenty count."""
_PRIOR = {
    Kind.MODEL: 0.7,
    Kind.RESUMED: 0.5,
    Kind.THREE: 0.5,
    Kind.FOUR: 0.6,
    Kind.EIGHT: 0.7,
    Kind.SIXTEEN: 0.8,
    Kind.MORE: 0.9,
}
"""Acceptance that is assumed before it is measured."""
_PRIOR_WEIGHT = 4.0
_INSTANT = 1e-9
"""The shortest step, in seconds; it is only divided by."""
FIRST_PAUSE, LONGEST_PAUSE = 32, 512
"""Tokens without a draft of a model, whose acceptance is then measured again; each trial in vain doubles them."""


@dataclass(slots=True)
class StepTimes:
    """Mean durations of steps, by their number of tokens."""

    _means: dict[int, float] = field(default_factory=dict)
    _counts: dict[int, int] = field(default_factory=dict)

    def observe(self, tokens: int, seconds: float) -> None:
        """A step of so many tokens took `seconds`."""
        count = self._counts[tokens] = self._counts.get(tokens, 0) + 1
        mean = self._means.get(tokens, seconds)
        if count <= _FIRST_STEPS:
            self._means[tokens] = min(seconds, mean)
        else:
            self._means[tokens] += LATEST * (min(seconds, _OUTLIER * mean) - mean)
        if tokens == 1:
            for size in self._means.keys() - {1}:
                self._means[size] += _FORGET * (self._assumed(size) - self._means[size])

    def of(self, tokens: int) -> float:
        """The duration to expect, in seconds; 0 if nothing is known at all."""
        if tokens in self._means or not self._means:
            return self._means.get(tokens, 0.0)
        below = max((size for size in self._means if size < tokens), default=None)
        above = min((size for size in self._means if size > tokens), default=None)
        if below is None or above is None:
            return self._beyond(tokens)
        part = (tokens - below) / (above - below)
        return self._means[below] + part * (self._means[above] - self._means[below])

    def _beyond(self, tokens: int) -> float:
        """Of a size outside the measured ones: by the slope of those, if there are several."""
        first, last = min(self._means), max(self._means)
        if first == last:
            return self._means[first] * (1 + _FIRST_SLOPE * (tokens - 1)) / (1 + _FIRST_SLOPE * (first - 1))
        slope = (self._means[last] - self._means[first]) / (last - first)
        return max(self._means[first], self._means[last] + slope * (tokens - last))

    def _assumed(self, tokens: int) -> float:
        return self._means[1] * (1 + _FIRST_SLOPE * (tokens - 1))


@dataclass(slots=True)
class Acceptance:
    """The chance that a draft token is accepted, if those before it are, by the latest of its kind."""

    _accepted: dict[Kind, float] = field(
        default_factory=lambda: {kind: p * _PRIOR_WEIGHT for kind, p in _PRIOR.items()}
    )
    _verified: dict[Kind, float] = field(default_factory=lambda: dict.fromkeys(_PRIOR, _PRIOR_WEIGHT))

    def observe(self, kind: Kind, accepted: int, *, refused: bool) -> None:
        """So many tokens of a draft were accepted, and the next one was `refused` or there was none."""
        for hit in [1] * accepted + [0] * refused:
            self._accepted[kind] = _MEMORY * self._accepted[kind] + hit
            self._verified[kind] = _MEMORY * self._verified[kind] + 1

    def rate(self, kind: Kind) -> float:
        return self._accepted[kind] / self._verified[kind]

    def expected(self, kind: Kind, length: int) -> float:
        """Tokens that a step with a draft of so many gives, the one that is sampled behind them included."""
        rate = self.rate(kind)
        return float(length + 1) if rate >= 1 else (1 - rate ** (length + 1)) / (1 - rate)


@dataclass(slots=True)
class Drafting:
    """The drafts of one sequence."""

    proposer: Proposer
    acceptance: Acceptance = field(default_factory=Acceptance)
    draft: Draft | None = None
    """The last proposal, verified or not."""
    length: int = 0
    """How many of its tokens are verified."""
    known: int = 0
    """The sequence's tokens when it was made."""
    pause: int = FIRST_PAUSE
    resume: int = 0
    """The sequence's number of tokens from which on the draft model is asked again."""

    def compare(self, tokens: list[int]) -> None:
        """Measure the acceptance of the last draft, now that the sequence has `tokens`."""
        new = tokens[self.known :]
        if self.draft is None or not new:
            return
        compared = min(max(1, self.length), len(new))  # of a draft that was not verified, one token tells enough
        accepted = 0
        while accepted < compared and self.draft.tokens[accepted] == new[accepted]:
            accepted += 1
        self.acceptance.observe(self.draft.kind, accepted, refused=accepted < compared)


class Candidate(NamedTuple):
    """A draft that one sequence of a step may have."""

    acceptance: Acceptance
    kind: Kind
    longest: int
    """Its tokens; 0 if there is none."""


def best_length(times: StepTimes, tokens: int, candidates: Many[Candidate], token_seconds: float = 0.0) -> int:
    """The length of the drafts, the same for all sequences of a step, that gives the most tokens a second; 0 if none
    pay.

    `tokens`: those of the step without drafts. `token_seconds`: what it takes to draft one."""
    best, best_rate = 0, _LEAST_GAIN * len(candidates) / max(_INSTANT, times.of(tokens))
    longest = max(candidate.longest for candidate in candidates)
    for length in [length for length in _LENGTHS if length <= longest] or [longest] * bool(longest):
        counts = [min(length, candidate.longest) for candidate in candidates]
        expected = sum(
            candidate.acceptance.expected(candidate.kind, count) if count else 1.0
            for candidate, count in zip(candidates, counts, strict=True)
        )
        drafted = sum(counts)
        rate = expected / max(_INSTANT, times.of(tokens + drafted) + drafted * token_seconds)
        if rate > best_rate:
            best, best_rate = length, rate
    return best
