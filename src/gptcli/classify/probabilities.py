"""Probabilities of labels from their log-likelihoods: which normalisation, and what the prompt alone prefers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

from gptcli.errors import EngineError

CONTENT_FREE = ("N/A", "[MASK]", "")
"""Texts that say nothing: what the model answers to them is its prior (Zhao et al. 2021, section 5)."""


class Normalization(str, Enum):
    """How labels of different lengths and frequencies are made comparable."""

    SUM = "sum"  # the likelihood of the label's text
    MEAN = "mean"  # its geometric mean over the label's tokens
    PRIOR = "prior"  # the likelihood divided by that after a content-free text


def softmax(scores: Sequence[float]) -> list[float]:
    """Probabilities in proportion to e to each score; minus infinity gives 0. Raises EngineError for NaN, and where
    nothing is possible."""
    if any(math.isnan(score) for score in scores):
        raise EngineError("The model computed NaN for a label.", "Try another quantization of this model.")
    highest = max(scores)
    if highest == -math.inf:
        raise EngineError("The model gives every label the probability 0.", "Choose other labels.")
    weights = [math.exp(score - highest) for score in scores]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def prior(scores: Sequence[Sequence[float]]) -> list[float]:
    """The natural logarithm of the mean probability of each label, over the scores for content-free texts.

    This is contextual calibration with the matrix W = diag(p)^-1 (Zhao et al. 2021, "Calibrate Before Use",
    https://arxiv.org/abs/2102.09690, equation 1): dividing by p is subtracting its logarithm."""
    columns = zip(*map(softmax, scores), strict=True)
    return [math.log(max(math.fsum(column) / len(scores), 1e-30)) for column in columns]


def label_probabilities(
    scores: Sequence[float],
    lengths: Sequence[int],
    normalization: Normalization,
    log_prior: Sequence[float] | None = None,
) -> list[float]:
    """Probabilities that add up to 1. `scores`: log-likelihood of each label, in nats; `lengths`: its tokens;
    `log_prior`: what `prior` returned, for `Normalization.PRIOR`. Raises EngineError for NaN."""
    if normalization is Normalization.MEAN:
        return softmax([score / length for score, length in zip(scores, lengths, strict=True)])
    if normalization is Normalization.PRIOR and log_prior is not None:
        return softmax([score - before for score, before in zip(scores, log_prior, strict=True)])
    return softmax(scores)
