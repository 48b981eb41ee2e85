"""Metrics of answers, as sums over items, so that a resampled or a paired one costs a product of matrices.

Each metric turns an item's record into a few numbers, and the sums of these numbers over items into its value."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gptcli.errors import GptcliError

Record = Mapping[str, Any]
EXTRA = "python3 -m pip install 'gptcli[eval]'"
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Metric(Protocol):
    """A figure over items."""

    @property
    def name(self) -> str: ...

    @property
    def better(self) -> str:
        """`higher` or `lower`."""

    def numbers(self, record: Record) -> Sequence[float]:
        """What an item adds to the sums."""

    def value(self, sums: Sequence[float]) -> float:
        """The metric from the sums; NaN where there is nothing to divide by."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a number that each record has, such as `acc`."""

    name: str
    of: Callable[[Record], float]
    better: str = "higher"

    def numbers(self, record: Record) -> Sequence[float]:
        return (self.of(record), 1.0)

    def value(self, sums: Sequence[float]) -> float:
        return sums[0] / sums[1] if sums[1] else math.nan


@dataclass(frozen=True, slots=True)
class MacroF1:
    """The mean of the F1 scores of the labels, as scikit-learn's `f1_score(average="macro")` over the labels that are a
    target or a prediction."""

    labels: tuple[str, ...]
    name: str = "macro_f1"
    better: str = "higher"

    def numbers(self, record: Record) -> Sequence[float]:
        cells = [0.0] * len(self.labels) ** 2
        cells[self.labels.index(record["target"]) * len(self.labels) + self.labels.index(record["prediction"])] = 1.0
        return cells

    def value(self, sums: Sequence[float]) -> float:
        return macro_f1(self.matrix(sums))

    def matrix(self, sums: Sequence[float]) -> list[list[float]]:
        """The confusion matrix: a row for each target, a column for each prediction."""
        size = len(self.labels)
        return [list(sums[row * size : (row + 1) * size]) for row in range(size)]


@dataclass(frozen=True, slots=True)
class Perplexity:
    """e to the mean negative log-likelihood of a token."""

    name: str = "perplexity"
    better: str = "lower"

    def numbers(self, record: Record) -> Sequence[float]:
        return (record["logprob"], record["tokens"])

    def value(self, sums: Sequence[float]) -> float:
        return math.exp(-sums[0] / sums[1]) if sums[1] else math.nan


@dataclass(frozen=True, slots=True)
class BitsPerByte:
    """Negative log-likelihood in bits for each byte, which can be compared between tokenizers."""

    name: str = "bits_per_byte"
    better: str = "lower"

    def numbers(self, record: Record) -> Sequence[float]:
        return (record["logprob"], record["bytes"])

    def value(self, sums: Sequence[float]) -> float:
        return -sums[0] / math.log(2) / sums[1] if sums[1] else math.nan


class Bleu:
    """Corpus BLEU from 0 to 100, by sacrebleu with its defaults (13a tokenization, exponential smoothing)."""

    name = "bleu"
    better = "higher"

    def __init__(self) -> None:
        """Raises GptcliError where sacrebleu is not installed."""
        try:
            from sacrebleu.metrics.bleu import BLEU
        except ImportError:
            raise missing("bleu", "sacrebleu") from None
        self._bleu = BLEU(effective_order=False)
        self._sentence = BLEU(smooth_method="none", effective_order=False)

    def numbers(self, record: Record) -> Sequence[float]:
        score = self._sentence.sentence_score(record["prediction"], list(record["target"]))
        return (*score.counts, *score.totals, score.sys_len, score.ref_len)

    def value(self, sums: Sequence[float]) -> float:
        counts = [round(number) for number in sums]
        score = self._bleu.compute_bleu(counts[:4], counts[4:8], counts[8], counts[9], smooth_method="exp")
        return float(score.score)


class Rouge:
    """The mean F1 of ROUGE-1, ROUGE-2 or ROUGE-L (`rouge1`, `rouge2`, `rougeL`), by rouge-score with stemming; the best
    of several references counts."""

    better = "higher"

    def __init__(self, name: str) -> None:
        """Raises GptcliError where rouge-score is not installed."""
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError:
            raise missing(name, "rouge-score") from None
        self.name = name
        self._scorer = RougeScorer([name], use_stemmer=True)

    def numbers(self, record: Record) -> Sequence[float]:
        scores = (self._scorer.score(reference, record["prediction"]) for reference in record["target"])
        return (max(score[self.name].fmeasure for score in scores), 1.0)

    def value(self, sums: Sequence[float]) -> float:
        return sums[0] / sums[1] if sums[1] else math.nan


def missing(metric: str, package: str) -> GptcliError:
    """The error for a metric whose package is not installed."""
    return GptcliError(f"The metric {metric} requires the package {package!r}.", f"Install it: {EXTRA}")


def macro_f1(matrix: Sequence[Sequence[float]]) -> float:
    """The mean F1 of a confusion matrix (targets in rows), over the labels that occur; NaN for an empty one."""
    scores = []
    for label, row in enumerate(matrix):
        hits, targets, predictions = row[label], math.fsum(row), math.fsum(other[label] for other in matrix)
        if targets or predictions:
            scores.append(2 * hits / (targets + predictions))
    return math.fsum(scores) / len(scores) if scores else math.nan


def normalize_answer(text: str) -> str:
    """Lower case, without punctuation, articles and double spaces (`normalize_answer` of the official SQuAD v1.1
    script, https://rajpurkar.github.io/SQuAD-explorer/)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 if the prediction is one of the answers after `normalize_answer`, else 0."""
    return float(any(normalize_answer(prediction) == normalize_answer(answer) for answer in answers))


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """The best F1 over the words of an answer, as in SQuAD's scripts; by that of v2.0, nothing is right where nothing
    is the answer."""
    return max(_f1(normalize_answer(prediction).split(), normalize_answer(answer).split()) for answer in answers)


def _f1(prediction: list[str], answer: list[str]) -> float:
    if not prediction or not answer:
        return float(prediction == answer)
    same = (Counter(prediction) & Counter(answer)).total()
    if not same:
        return 0.0
    precision, recall = same / len(prediction), same / len(answer)
    return 2 * precision * recall / (precision + recall)
