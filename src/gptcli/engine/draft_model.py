"""Proposes draft tokens with a smaller model of the same vocabulary (`--draft`)."""

from __future__ import annotations

from gptcli.engine.backend import Backend, CacheConfig, Decoded
from gptcli.engine.cache_config import ROUND
from gptcli.engine.proposers import Draft, Kind
from gptcli.engine.slots import common_prefix
from gptcli.errors import LoadError
from gptcli.params import Sampling
from gptcli.prompt.encoding import Vocabulary

_SAMPLED = 20_000
"""Tokens of a vocabulary that are compared, at most: 50 ms."""


class DraftModel:
    """Drafts what its model would most likely say. It holds one sequence; another one is computed from where the two
    differ."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._sampler = backend.sampler(Sampling(temperature=0.0), 0, [], ignore_end=False)
        self._held: list[int] = []

    def propose(self, tokens: list[int], most: int) -> Draft | None:
        """At most `most` draft tokens that follow `tokens`; None where the draft model has no room for them.

        Raises EngineError, LoadError."""
        most = min(most, self._backend.trained_context - len(tokens))
        if most < 1 or not self._reserve(len(tokens) + most):
            return None
        shared = min(common_prefix(self._held, tokens), len(tokens) - 1)
        if not self._backend.remove(0, shared):  # a state that cannot be rolled back
            self._backend.remove(0, 0)
            shared = 0
        self._held = self._held[:shared]
        drafted: list[int] = []
        row = self._compute(tokens[shared:])
        while row >= 0:
            token = self._sampler.sample(row)
            if self._backend.vocabulary.is_end(token):
                break
            drafted.append(token)
            row = self._compute([token]) if len(drafted) < most else -1
        return Draft(drafted, Kind.MODEL) if drafted else None

    def _compute(self, tokens: list[int]) -> int:
        """Compute tokens that follow those held; the row of the last one's logits, or -1 if it was interrupted."""
        row = -1
        for start in range(0, len(tokens), self._backend.step_tokens):
            part = tokens[start : start + self._backend.step_tokens]
            for number, token in enumerate(part, start + 1):
                row = self._backend.add(token, len(self._held) + number - 1 - start, 0, logits=number == len(tokens))
            if self._backend.decode() is not Decoded.OK:
                self._backend.remove(0, len(self._held))
                return -1
            self._held += part
        return row

    def _reserve(self, cells: int) -> bool:
        """Have cells for so many tokens; False where there is no memory for them."""
        have = self._backend.config.cells
        if cells > have:
            wanted = min(max(2 * have, cells), self._backend.trained_context)
            try:
                self._backend.reserve(CacheConfig(-(-wanted // ROUND) * ROUND, 1))
            except LoadError:
                return False
        return self._backend.config.cells >= cells


def same_vocabulary(one: Vocabulary, other: Vocabulary) -> bool:
    """Whether two models mean the same by each token. Of large vocabularies evenly spread tokens are compared."""
    if (one.size, one.begin) != (other.size, other.begin):
        return False
    tokens = range(0, one.size, 1 + one.size // _SAMPLED)
    return all((one.name(t), one.is_end(t)) == (other.name(t), other.is_end(t)) for t in tokens)
