"""Lines are judged in order, none is lost, and none waits for one that has not come."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import pytest
from fake_backend import FakeBackend
from hypothesis import given, settings
from hypothesis import strategies as st

from gptcli.batch.output import open_stream
from gptcli.batch.row import Row
from gptcli.batch.runner import Runner
from gptcli.batch.source import Record, lines
from gptcli.classify.builder import LabelBuilder
from gptcli.classify.classifier import Classifier
from gptcli.classify.filter import JudgedLine, judge_lines
from gptcli.classify.formats import LabelLines
from gptcli.classify.judge import Judge
from gptcli.classify.labels import Label
from gptcli.classify.prompts import LabelPrompt
from gptcli.engine.engine import LocalEngine
from gptcli.render.batch import BatchProgress
from gptcli.types import ContinuationLogprobs, Engine, Event, Request, TokenInfo


def judge(parallel: int = 4) -> Judge:
    engine = LocalEngine(FakeBackend(trained_context=2000), parallel=parallel)
    return Judge(lambda: engine, [Label("is a line")])


def judged(data: bytes, parallel: int = 4) -> list[JudgedLine]:
    records = iter(lines(io.BytesIO(data)))
    return list(judge_lines(judge(parallel), lambda wait: next(records)))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.binary(max_size=6).filter(lambda line: b"\n" not in line), max_size=8))
def test_every_line_comes_out_once_in_its_order_as_it_went_in(given_lines: list[bytes]) -> None:
    data = b"\n".join(given_lines)
    found = judged(data)
    assert b"".join(line.data for line in found) == data.removeprefix(b"\xef\xbb\xbf")
    assert [line.line for line in found] == sorted(line.line for line in found)
    assert all((line.probability == 0) is (not line.data.strip()) for line in found)


def test_a_line_is_judged_together_with_others_as_alone() -> None:
    data = b"one\ntwo\nthree\nfour\nfive\nsix\n"
    assert judged(data, 4) == judged(data, 1)


def test_a_line_that_is_too_long_is_an_error_in_its_place() -> None:
    first, long, last = judged(b"a\n" + b"b" * 3000 + b"\nc\n")
    assert first.probability is not None
    assert last.probability is not None
    assert long.error is not None
    assert "3," in long.error.message or "context" in long.error.message


def test_no_line_waits_for_one_that_has_not_come() -> None:
    """A blank line is ready at once, others after their own computation, before the next one is asked for."""
    coming = [Record(number, data, True) for number, data in enumerate([b"one\n", b"\n", b"two\n", b"\n"], 1)]
    out: list[int] = []

    def take(wait: bool) -> Record | None:
        if not wait:
            return None
        assert len(out) == 4 - len(coming), "asked to wait while a line was ready"
        if not coming:
            raise StopIteration
        return coming.pop(0)

    for line in judge_lines(judge(), take):
        out.append(line.line)  # noqa: PERF401 - `take` looks at it meanwhile
    assert out == [1, 2, 3, 4]


class NoNumbers:
    """An engine whose numbers for one text are not numbers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Event]:
        for event in self._engine.stream(requests):
            if isinstance(event, ContinuationLogprobs) and event.id == "1":
                event.tokens = [TokenInfo(token.token, token.text, math.nan, []) for token in event.tokens]
            yield event


def test_a_row_for_which_the_model_computes_nan_is_an_error_and_others_go_on() -> None:
    engine = NoNumbers(LocalEngine(FakeBackend(), parallel=2))
    labels = [Label("a"), Label("b")]
    classifier = Classifier(lambda: engine, labels, LabelPrompt(labels))  # type: ignore[arg-type,return-value]
    rows = (Row(number, number + 1, 0, {"text": f"row {number}"}) for number in range(3))
    stdout = io.BytesIO()
    output = open_stream(stdout, None, ordered=True, overwrite=False, created=1)
    format = LabelLines(classifier, "label")
    runner = Runner(lambda: engine, rows, LabelBuilder(classifier), format, output, BatchProgress())  # type: ignore[arg-type,return-value]
    assert runner.run().failed == 1
    first, bad, last = stdout.getvalue().splitlines()
    assert b'"label":' in first
    assert b'"label":' in last
    assert b'"code":"engine_error"' in bad
    assert b"NaN" in bad


def test_several_criteria_are_asked_at_once_and_independently() -> None:
    engine = LocalEngine(FakeBackend(), parallel=2)
    several = Judge(lambda: engine, [Label("x"), Label("y", "is about y")], threshold=0.0)
    several.prepare()
    scores: dict[int, list[TokenInfo]] = {}
    for event in engine.stream([several.request("0", "a text")]):
        if isinstance(event, ContinuationLogprobs):
            scores[event.index] = event.tokens
    found = several.predict(scores)
    assert found.chosen == ["x", "y"]
    assert found.probabilities == {"x": pytest.approx(0.5, abs=0.5), "y": pytest.approx(0.5, abs=0.5)}
