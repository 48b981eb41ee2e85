"""Where the choice between two answers was made: the first tokens at which they part."""

from __future__ import annotations

from dataclasses import dataclass

from gptcli.scoring.choices import Score, make_choices, score_choices
from gptcli.scoring.texts import NotScored
from gptcli.types import Engine, Prompt, TokenInfo


@dataclass(frozen=True, slots=True)
class Divergence:
    """Two answers to one prompt. Log-probabilities are in nats."""

    common: list[TokenInfo]
    """The tokens that both begin with."""
    ours: TokenInfo | None
    """The answer's first token that the other answer lacks; None if the answer ends there."""
    theirs: TokenInfo | None
    logprob: float
    """Log-likelihood of the whole answer."""
    other_logprob: float

    @property
    def difference(self) -> float:
        """How much likelier the answer is than the other one, in nats."""
        return self.logprob - self.other_logprob


def diverge(engine: Engine, prompt: Prompt, answer: str, other: str, *, top: int = 5) -> Divergence:
    """Score both answers and find where they part; `top`: alternatives of each token. Raises RequestError."""
    choices = make_choices(engine, "0", prompt, [answer, other])
    for result in score_choices(engine, [choices], top=top):
        if isinstance(result, NotScored):
            raise result.error
        return _divergence(*result.scores)
    raise AssertionError("exactly one result comes for each prompt")


def _divergence(ours: Score, theirs: Score) -> Divergence:
    same = 0
    for one, other in zip(ours.tokens, theirs.tokens, strict=False):
        if one.token != other.token:
            break
        same += 1
    first, second = ours.tokens[same : same + 1], theirs.tokens[same : same + 1]
    return Divergence(
        ours.tokens[:same],
        first[0] if first else None,
        second[0] if second else None,
        ours.logprob,
        theirs.logprob,
    )
