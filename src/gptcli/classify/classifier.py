"""The probabilities of labels for a text: what is asked of the engine, and what its answer means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from gptcli.classify.labels import Label, label_tokens
from gptcli.classify.probabilities import CONTENT_FREE, Normalization, label_probabilities, prior
from gptcli.classify.prompts import LabelPrompt
from gptcli.scoring.choices import Choices, score_choices
from gptcli.scoring.texts import NotScored
from gptcli.types import Engine, Request, TokenInfo, TokenPrompt


@dataclass(frozen=True, slots=True)
class Prediction:
    """Labels with their probabilities, in the order in which they were given."""

    probabilities: dict[str, float]
    chosen: list[str]
    """The likeliest label; with independent labels each that is likely enough, which may be none."""


class Labeller(Protocol):
    """Gives labels to texts."""

    names: list[str]
    independent: bool
    """Whether a text may have several labels, or none."""

    def prepare(self) -> None:
        """Compute what is the same for all texts. Not while the engine is computing others.

        Raises UsageError for labels that are the same to the model, and the errors of loading it."""

    def request(self, id: str, text: str) -> Request:
        """What to ask of the engine about a text. Raises RequestError, LoadError."""

    def predict(self, continuations: Mapping[int, Sequence[TokenInfo]]) -> Prediction:
        """The prediction from the scored continuations of that request. Raises EngineError for NaN."""


class Classifier:
    """Gives one of several labels. Their probabilities are exact: nothing is sampled, and they add up to 1."""

    independent = False

    def __init__(
        self,
        load_engine: Callable[[], Engine],
        labels: Sequence[Label],
        prompt: LabelPrompt,
        normalization: Normalization = Normalization.SUM,
    ) -> None:
        """`load_engine` is called for the first text."""
        self._load_engine = load_engine
        self._prompt = prompt
        self._normalization = normalization
        self.names = [label.name for label in labels]

    @cached_property
    def engine(self) -> Engine:
        """The engine, which is loaded now if it was not before."""
        return self._load_engine()

    @cached_property
    def continuations(self) -> tuple[tuple[int, ...], ...]:
        """The tokens of each label. Raises UsageError for labels that are the same to the model."""
        return label_tokens(self.engine, self.names, lead=" ", end=self.engine.tokenize(b"\n"))

    @cached_property
    def _log_prior(self) -> list[float] | None:
        """What the prompt alone prefers; it is computed once."""
        if self._normalization is not Normalization.PRIOR:
            return None
        prompts = [self._prompt.encode(self.engine, text) for text in CONTENT_FREE]
        return prior(score_all(self.engine, prompts, self.continuations))

    def prepare(self) -> None:
        _ = self.continuations, self._log_prior

    def request(self, id: str, text: str) -> Request:
        prompt = self._prompt.encode(self.engine, text)
        return Request(id, prompt, max_tokens=0, logprobs=0, continuations=self.continuations, stream=False)

    def predict(self, continuations: Mapping[int, Sequence[TokenInfo]]) -> Prediction:
        tokens = [continuations[index] for index in range(len(self.names))]
        scores = [math.fsum(token.logprob for token in label) for label in tokens]
        shares = label_probabilities(scores, list(map(len, tokens)), self._normalization, self._log_prior)
        best = max(range(len(shares)), key=shares.__getitem__)
        return Prediction(dict(zip(self.names, shares, strict=True)), [self.names[best]])


def score_all(
    engine: Engine, prompts: Sequence[TokenPrompt], continuations: tuple[tuple[int, ...], ...]
) -> list[list[float]]:
    """The log-likelihood of each continuation after each prompt, in nats. Raises the error of one that fails."""
    found: dict[str, list[float]] = {}
    choices = [Choices(str(number), prompt, continuations) for number, prompt in enumerate(prompts)]
    for result in score_choices(engine, choices):
        if isinstance(result, NotScored):
            raise result.error
        found[result.id] = [score.logprob for score in result.scores]
    return [found[one.id] for one in choices]
