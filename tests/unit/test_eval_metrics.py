"""Metrics against the libraries' own examples and plain definitions, and how certain they are."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.evaluation.metrics import (
    BitsPerByte,
    Bleu,
    MacroF1,
    Mean,
    Metric,
    Perplexity,
    Record,
    Rouge,
    exact_match,
    macro_f1,
    normalize_answer,
    token_f1,
)
from gptcli.evaluation.statistics import estimate, item_numbers, significance


def over(metric: Metric, records: list[Record]) -> float:
    return metric.value(item_numbers(metric, records).sum(axis=0))


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "f1"),
    [
        # The rules of the official scripts for SQuAD: case, punctuation, articles and white space do not count.
        ("The Denver Broncos.", ["Denver Broncos", "the broncos"], 1.0, 1.0),
        ("Santa Clara, California", ["Santa Clara"], 0.0, 0.8),
        ("in the year 1967", ["1967"], 0.0, 0.5),
        ("a a b", ["a b b"], 0.0, 1 / 1 * 2 * (1 / 1) * (1 / 2) / (1 / 1 + 1 / 2)),  # `a` is an article
        ("gold gold", ["gold"], 0.0, 2 / 3),
        ("silver", ["gold"], 0.0, 0.0),
        ("", ["gold"], 0.0, 0.0),
        ("", ["gold", ""], 1.0, 1.0),  # a question of v2.0 without an answer
        ("the", ["a"], 1.0, 1.0),
    ],
)
def test_squad(prediction: str, answers: list[str], exact: float, f1: float) -> None:
    assert exact_match(prediction, answers) == exact
    assert token_f1(prediction, answers) == pytest.approx(f1)


def test_answers_are_normalized_as_in_squad() -> None:
    assert normalize_answer("  An apple, the  PEAR! ") == "apple pear"


# The example of sacrebleu's README, with the score that it prints there.
REFERENCES = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
]
HYPOTHESES = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]


def test_bleu_is_sacrebleus() -> None:
    records: list[Record] = [
        {"prediction": hypothesis, "target": references}
        for hypothesis, references in zip(HYPOTHESES, REFERENCES, strict=True)
    ]
    assert over(Bleu(), records) == pytest.approx(48.530827009929865)


def test_bleu_of_single_references_is_sacrebleus() -> None:
    from sacrebleu.metrics.bleu import BLEU

    words = ["a", "small", "dog", "bit", "the", "man", "and", "ran"]
    draw = random.Random(1)
    pairs = [(" ".join(draw.choices(words, k=7)), " ".join(draw.choices(words, k=8))) for _ in range(20)]
    records: list[Record] = [{"prediction": one, "target": [other]} for one, other in pairs]
    theirs = BLEU().corpus_score([one for one, _ in pairs], [[other for _, other in pairs]]).score
    assert over(Bleu(), records) == pytest.approx(theirs)


def test_rouge_is_rouge_scores() -> None:
    # The example of rouge-score's page on the package index.
    record: Record = {
        "target": ["The quick brown fox jumps over the lazy dog"],
        "prediction": "The quick brown dog jumps on the log.",
    }
    assert over(Rouge("rouge1"), [record]) == pytest.approx(2 * (6 / 8) * (6 / 9) / (6 / 8 + 6 / 9))
    assert over(Rouge("rougeL"), [record]) == pytest.approx(2 * (5 / 8) * (5 / 9) / (5 / 8 + 5 / 9))


def test_macro_f1_is_the_mean_of_the_labels_f1() -> None:
    # scikit-learn's example of `f1_score`: y_true = [0, 1, 2, 0, 1, 2], y_pred = [0, 2, 1, 0, 0, 1]
    matrix = [[2, 0, 0], [1, 0, 1], [0, 2, 0]]
    assert macro_f1(matrix) == pytest.approx(0.26666666666666666)
    labels = ("a", "b", "c", "never")
    pairs = zip("abcabc", "acbaab", strict=True)
    records: list[Record] = [{"target": target, "prediction": prediction} for target, prediction in pairs]
    assert over(MacroF1(labels), records) == pytest.approx(0.26666666666666666)
    assert math.isnan(macro_f1([[0, 0], [0, 0]]))


def test_perplexity_and_bits_count_tokens_and_bytes_of_all_items() -> None:
    records: list[Record] = [
        {"logprob": -math.log(8), "tokens": 1, "bytes": 3},
        {"logprob": -math.log(8), "tokens": 2, "bytes": 3},
    ]
    assert over(Perplexity(), records) == pytest.approx(4)
    assert over(BitsPerByte(), records) == pytest.approx(1)


accuracy = Mean("acc", lambda record: float(record["acc"]))


@given(st.lists(st.booleans(), min_size=1, max_size=50), st.integers(0, 5))
def test_an_interval_holds_its_value_and_is_the_same_again(answers: list[bool], seed: int) -> None:
    numbers = item_numbers(accuracy, [{"acc": answer} for answer in answers])
    found = estimate(accuracy, numbers, seed=seed)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx(sum(answers) / len(answers))
    assert found == estimate(accuracy, numbers, seed=seed)


def test_an_interval_is_as_wide_as_the_binomial_one() -> None:
    numbers = item_numbers(accuracy, [{"acc": number % 2} for number in range(400)])
    found = estimate(accuracy, numbers, seed=0)
    half = 1.96 * math.sqrt(0.25 / 400)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_a_difference_on_the_same_items_is_judged_in_pairs() -> None:
    same = item_numbers(accuracy, [{"acc": number % 2} for number in range(60)])
    better = same.copy()
    better[:40:2, 0] = 1.0  # 20 of the 30 wrong ones are right, and none is worse
    assert significance(accuracy, same, same, seed=0) == 1.0
    assert significance(accuracy, same, better, seed=0) < 0.001
    swapped = np.roll(same, 1, axis=0)  # as many right, on other items
    assert significance(accuracy, same, swapped, seed=0) == 1.0


def test_no_items_have_no_figure() -> None:
    assert math.isnan(estimate(accuracy, np.zeros((0, 2)), seed=0).value)
