"""How much each part of a prompt supported an answer: the change of the answer's likelihood when the part is left out.

This is leave-one-out attribution, also called occlusion (Zeiler & Fergus 2014; for text, Li et al. 2016,
"Understanding Neural Networks through Representation Erasure")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gptcli.errors import EngineError
from gptcli.scoring.choices import make_choices, score_choices
from gptcli.scoring.texts import NotScored
from gptcli.types import Engine, Prompt

MakePrompt = Callable[[Sequence[int]], Prompt]
"""The prompt that has these parts, given as their indices in order."""


@dataclass(frozen=True, slots=True)
class Support:
    """A part and what it did for the answer."""

    text: str
    support: float
    """The answer's log-likelihood with all parts less that without this one, in nats: above 0 it spoke for it."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Why an answer: its own likelihood, and the support of each part in the order of the prompt."""

    answer: str
    logprob: float
    """Log-likelihood of the answer after the whole prompt, in nats."""
    tokens: int
    parts: list[Support]

    @property
    def ranking(self) -> list[int]:
        """The indices of the parts, the one with the most support first."""
        return sorted(range(len(self.parts)), key=lambda index: -self.parts[index].support)


def attribute(engine: Engine, parts: Sequence[str], make_prompt: MakePrompt, answer: str) -> Attribution:
    """The support of each part for the answer. Raises RequestError, LoadError, and EngineError for NaN.

    Parts are left out from the last to the first: each prompt begins as the one before it, up to the parts that differ,
    and that beginning is computed once."""
    left_out = [None, *reversed(range(len(parts)))]
    kept = [[index for index in range(len(parts)) if index != out] for out in left_out]
    choices = [make_choices(engine, str(number), make_prompt(rest), [answer]) for number, rest in enumerate(kept)]
    logprobs: dict[str, float] = {}
    for result in score_choices(engine, choices):
        if isinstance(result, NotScored):
            raise result.error
        logprobs[result.id] = result.scores[0].logprob
    if any(value != value for value in logprobs.values()):
        raise EngineError("The model computed NaN for the answer.", "Try another quantization of this model.")
    whole = logprobs["0"]
    found = [Support(part, whole - logprobs[str(len(parts) - index)]) for index, part in enumerate(parts)]
    return Attribution(answer, whole, len(choices[0].continuations[0]), found)
