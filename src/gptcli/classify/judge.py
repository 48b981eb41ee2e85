"""Whether something is true of a text: the model's probability of yes against no, for one or several criteria."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from gptcli.classify.classifier import Prediction
from gptcli.classify.labels import Label
from gptcli.classify.probabilities import softmax
from gptcli.types import Engine, Request, TokenInfo, TokenPrompt

_EXAMPLES = (
    ("Prices rose by two percent in May.", "mentions an animal", False),
    ("The dog sleeps under the table.", "mentions an animal", True),
    ("The shop closes at six.", "is a question", False),
    ("Where can I buy a ticket?", "is a question", True),
    ("My grandfather fell ill last week.", "is good news", False),
    ("We won the cup after extra time.", "is good news", True),
    ("The recipe needs two eggs.", "is about travel", False),
    ("The train was late again and nobody apologised.", "is about travel", True),
)
"""Questions of other kinds, as often answered yes as no: they show a small model the form, not the answer. Of four
prompts with four or eight of them in both orders, this one ranked texts best on three criteria (docs/scoring.md)."""


class Judge:
    """Answers yes or no to each criterion, independently.

    One criterion is part of the prompt, and both answers come out of the step that computes the text. Of several, the
    text is computed once, and each criterion with its two answers continues it, as branches of one tree."""

    independent = True

    def __init__(
        self,
        load_engine: Callable[[], Engine],
        criteria: Sequence[Label],
        threshold: float = 0.5,
        instruction: str = "",
    ) -> None:
        """`criteria`: a description such as `is a complaint`, or else the name, is what may be true."""
        self._load_engine = load_engine
        self._threshold = threshold
        self._instruction = instruction
        self._statements = [_statement(label.description or label.name) for label in criteria]
        self.names = [label.name for label in criteria]

    @cached_property
    def engine(self) -> Engine:
        """The engine, which is loaded now if it was not before."""
        return self._load_engine()

    @cached_property
    def continuations(self) -> tuple[tuple[int, ...], ...]:
        """Yes and no for each criterion in turn."""
        starts = [""] if len(self.names) == 1 else self._statements
        texts = [f"{start} {answer}" for start in starts for answer in ("yes", "no")]
        return tuple(self.engine.tokenize(text.encode("utf-8", "surrogateescape")) for text in texts)

    def prepare(self) -> None:
        _ = self.continuations

    def request(self, id: str, text: str) -> Request:
        return Request(id, self._encode(text), max_tokens=0, logprobs=0, continuations=self.continuations, stream=False)

    def predict(self, continuations: Mapping[int, Sequence[TokenInfo]]) -> Prediction:
        scores = [
            math.fsum(token.logprob for token in continuations[index]) for index in range(len(self.continuations))
        ]
        shares = {name: softmax(scores[2 * index : 2 * index + 2])[0] for index, name in enumerate(self.names)}
        return Prediction(shares, [name for name, share in shares.items() if share >= self._threshold])

    def _encode(self, text: str) -> TokenPrompt:
        examples = (
            f"Text: {example}\n{_statement(criterion)} {'yes' if holds else 'no'}\n\n"
            for example, criterion, holds in _EXAMPLES
        )
        head = f"{self._instruction}\n\n" if self._instruction else ""
        prompt = head + "".join(examples) + f"Text: {text}\n"
        if len(self.names) == 1:
            prompt += self._statements[0]
        return TokenPrompt(self.engine.tokenize(prompt.encode("utf-8", "surrogateescape"), begins=True))


def _statement(criterion: str) -> str:
    """`is a complaint` as it stands before its answer."""
    return f"{criterion[:1].upper()}{criterion[1:]}:"
