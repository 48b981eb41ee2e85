"""Labels: where they come from, which are refused, and how their likelihoods become probabilities."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.classify.examples import read_examples
from gptcli.classify.labels import Label, has_prefix, label_tokens, parse_labels
from gptcli.classify.probabilities import Normalization, label_probabilities, prior, softmax
from gptcli.errors import EngineError, UsageError


class Words:
    """Tokenizes by words without case: some labels are the same to it, others prefixes."""

    def tokenize(self, text: bytes, *, begins: bool = False) -> tuple[int, ...]:
        return tuple(sum(word.lower()) for word in text.split(b" ") if word)


def test_labels_of_the_command_line_keep_their_order() -> None:
    assert parse_labels("b, a ,c d") == [Label("b"), Label("a"), Label("c d")]


def test_labels_of_a_file_have_descriptions(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes("\ufeffbug\tsomething is broken\nidea\n\n".encode())
    assert parse_labels(str(path)) == [Label("bug", "something is broken"), Label("idea")]


@pytest.mark.parametrize(
    ("given", "message"),
    [("", "no labels"), (" , ", "no labels"), ("a,,b", "Label 2"), ("a,b,a", "'a' is there twice")],
)
def test_bad_labels_are_named(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_labels(given)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        parse_labels(str(path))


def test_labels_that_are_the_same_tokens_are_refused() -> None:
    with pytest.raises(UsageError, match="'Good' and 'good' are the same tokens"):
        label_tokens(Words(), ["Good", "bad", "good"])  # type: ignore[arg-type]


def test_labels_that_begin_alike_are_ended() -> None:
    plain = label_tokens(Words(), ["new", "old york"], end=(7,))  # type: ignore[arg-type]
    ended = label_tokens(Words(), ["new", "new york"], end=(7,))  # type: ignore[arg-type]
    assert all(tokens[-1] != 7 for tokens in plain)
    assert all(tokens[-1] == 7 for tokens in ended)
    assert not has_prefix(ended)


@given(st.lists(st.lists(st.integers(0, 2), max_size=4).map(tuple), max_size=6))
def test_a_prefix_is_found_wherever_it_is(sequences: list[tuple[int, ...]]) -> None:
    every = any(longer[: len(shorter)] == shorter for shorter, longer in permutations(sequences, 2))
    assert has_prefix(sequences) == every


scores = st.lists(st.floats(-500, 0), min_size=1, max_size=6)


@given(scores, st.floats(-100, 100))
def test_probabilities_add_up_to_one_and_only_differences_count(values: list[float], shift: float) -> None:
    shares = softmax(values)
    assert math.isclose(math.fsum(shares), 1)
    assert all(
        math.isclose(one, other, abs_tol=1e-9)
        for one, other in zip(shares, softmax([v + shift for v in values]), strict=True)
    )


@given(st.lists(st.tuples(st.floats(-20, 0), st.floats(-20, 0)), min_size=1, max_size=4))
def test_a_content_free_text_has_no_preference_once_its_prior_is_taken_out(pairs: list[tuple[float, float]]) -> None:
    mean = [math.log(math.fsum(column) / len(pairs)) for column in zip(*map(softmax, pairs), strict=True)]
    assert label_probabilities(mean, [1, 1], Normalization.PRIOR, prior(pairs)) == pytest.approx([0.5, 0.5])


def test_the_mean_compares_labels_of_different_lengths() -> None:
    values, lengths = [-2.0, -3.0], [1, 3]
    assert label_probabilities(values, lengths, Normalization.SUM)[0] > 0.5
    assert label_probabilities(values, lengths, Normalization.MEAN)[0] < 0.5


@pytest.mark.parametrize(("values", "message"), [([0.0, math.nan], "NaN"), ([-math.inf, -math.inf], "probability 0")])
def test_what_makes_no_sense_is_an_error(values: list[float], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        softmax(values)
    assert softmax([-1.0, -math.inf]) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("e.tsv", "good\tI like it\nbad\tI do not\n"),
        ("e.jsonl", '{"text": "I like it", "label": "good"}\n{"text": "I do not", "label": "bad"}\n'),
        ("e.csv", "label,text\ngood,I like it\nbad,I do not\n"),
    ],
)
def test_examples_come_from_files_of_several_kinds(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    found = read_examples(str(tmp_path / name), [Label("good"), Label("bad")])
    assert [(example.label, example.text) for example in found] == [("good", "I like it"), ("bad", "I do not")]


@pytest.mark.parametrize(
    ("content", "message"),
    [("fine\tI like it\n", "'fine', which is none"), ("no label here\n", "line 1: no text with a label")],
)
def test_a_bad_example_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "e.tsv").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_examples(str(tmp_path / "e.tsv"), [Label("good")])
