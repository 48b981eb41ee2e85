"""Speculative decoding in one engine core: which draft tokens the sequences of a step get."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass, field

from gptcli.engine.draft_model import DraftModel
from gptcli.engine.drafting import (
    FIRST_PAUSE,
    LATEST,
    LONGEST_PAUSE,
    MOST_DRAFT,
    Candidate,
    Drafting,
    StepTimes,
    best_length,
)
from gptcli.engine.proposers import Kind, NgramProposer, Proposer
from gptcli.engine.sequence import Sequence

_TRIAL = 3
"""Draft tokens of a model that does not pay, with which its acceptance is measured now and then."""


@dataclass(slots=True)
class Speculator:
    """`draft` before each step, `observe` after it."""

    model: DraftModel | None = None
    make_proposer: Callable[[], Proposer] = NgramProposer
    """Makes the proposer of a sequence."""
    times: StepTimes = field(default_factory=StepTimes)
    _tokens: int = 0
    """Tokens of the step that is being computed; 0 if its time says nothing about decoding."""
    _token_seconds: float = 0.0
    """What the draft model takes for a token."""

    def draft(self, steps: Many[tuple[Sequence, int]], *, most: int, rows: int) -> None:
        """Give the sequences of a step their draft tokens, if that pays: at most `most` together, and as many as there
        are `rows` of logits for."""
        self._tokens = 0
        if not steps or any(count != sequence.pending or not sequence.generated for sequence, count in steps):
            return
        self._tokens = sum(count for _, count in steps)
        most = min(most // len(steps), rows // len(steps), MOST_DRAFT)
        found = [(sequence, self._propose(sequence, min(most, sequence.left - 1))) for sequence, _ in steps]
        length = best_length(self.times, self._tokens, [_candidate(drafting) for _, drafting in found])
        if not length and self.model is not None and len(found) == 1:
            sequence, drafting = found[0]
            length = self._propose_by_model(self.model, sequence, drafting, min(most, sequence.left - 1))
        for sequence, drafting in found:
            if drafting.draft is not None:
                sequence.draft = drafting.draft.tokens[:length]
                drafting.length = len(sequence.draft)
                self._tokens += drafting.length

    def observe(self, seconds: float) -> None:
        """The step was computed in so many seconds."""
        if self._tokens:
            self.times.observe(self._tokens, seconds)

    def _propose(self, sequence: Sequence, most: int) -> Drafting:
        """Compare the last draft with the tokens that came, and make the next one."""
        drafting = sequence.drafting = sequence.drafting or Drafting(self.make_proposer())
        drafting.compare(sequence.tokens)
        drafting.draft = drafting.proposer.propose(sequence.tokens, most)
        drafting.length, drafting.known = 0, len(sequence.tokens)
        return drafting

    def _propose_by_model(self, model: DraftModel, sequence: Sequence, drafting: Drafting, most: int) -> int:
        """Let the model make the draft, as long as that pays, and try it again after a pause; the draft's length."""
        candidate = Candidate(drafting.acceptance, Kind.MODEL, most)
        length = best_length(self.times, self._tokens, [candidate], self._token_seconds)
        if length:
            drafting.pause = FIRST_PAUSE
        elif len(sequence.tokens) >= drafting.resume:
            length = min(most, _TRIAL)
            drafting.pause = min(2 * drafting.pause, LONGEST_PAUSE)
        if length < 1:
            return 0
        drafting.resume = len(sequence.tokens) + drafting.pause
        began = time.perf_counter()
        draft = model.propose(sequence.tokens, length)
        if draft is None:
            return 0
        seconds = (time.perf_counter() - began) / len(draft.tokens)
        self._token_seconds += (LATEST if self._token_seconds else 1.0) * (seconds - self._token_seconds)
        drafting.draft = draft
        return len(draft.tokens)


def _candidate(drafting: Drafting) -> Candidate:
    draft = drafting.draft
    if draft is None:
        return Candidate(drafting.acceptance, Kind.RESUMED, 0)
    return Candidate(drafting.acceptance, draft.kind, len(draft.tokens))
