"""Speculative decoding on the fake backend: whatever is proposed, every answer is what it is without drafts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from answers import Answers, collect
from fake_backend import END, FakeBackend, alphabet
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gptcli.engine.backend import MemoryKind
from gptcli.engine.draft_model import DraftModel, same_vocabulary
from gptcli.engine.drafting import StepTimes
from gptcli.engine.engine import LocalEngine
from gptcli.engine.proposers import Draft, Kind
from gptcli.engine.speculation import Speculator
from gptcli.params import Sampling
from gptcli.types import Constraint, ConstraintKind, Event, Finished, FinishReason, Request, TextPrompt

LIMIT = 160
PERSON = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 9}, "kind": {"enum": ["alpha", "beta"]}},
        "required": ["name", "kind"],
        "additionalProperties": False,
    }
)
REGEX = Constraint(ConstraintKind.REGEX, "[a-m]{3,30}")
CONSTRAINTS = [None, None, REGEX, Constraint(ConstraintKind.JSON_SCHEMA, PERSON)]
PROMPTS = [TextPrompt(text * times) for text in (b"Once upon a time, ", b"to be or not to be or ") for times in (1, 3)]


def copying(tokens: list[int], seed: int) -> int:
    """A model that repeats what it said seven tokens ago, but for some tokens."""
    return alphabet(tokens, seed) if sum(tokens[-3:]) % 4 == seed % 4 or len(tokens) < 8 else tokens[-7]


class FreeSteps(StepTimes):
    """Every step costs the same, so that every draft is verified."""

    def of(self, tokens: int) -> float:
        return 1.0


@dataclass
class Guessing:
    """Proposes what the model says with seed 0, with mistakes."""

    mistakes: int
    most: int

    def propose(self, tokens: list[int], most: int) -> Draft | None:
        text = list(tokens)
        for number in range(min(self.most, most)):
            token = copying(text, 0)
            text.append(token if (len(text) * 7 + number) % 10 >= self.mistakes else token ^ 1)
        drafted = text[len(tokens) :]
        return Draft(drafted, Kind.THREE) if drafted else None


@st.composite
def request_lists(draw: st.DrawFn, *, most: int = 4) -> list[Request]:
    return [
        Request(
            id=str(number),
            prompt=draw(st.sampled_from(PROMPTS)),
            sampling=Sampling(seed=draw(st.integers(0, 3))),
            max_tokens=draw(st.none() | st.integers(30, 60)),
            stop=tuple(draw(st.lists(st.text("abcde", min_size=2, max_size=3), max_size=2))),
            ignore_eos=draw(st.booleans()),
            n=draw(st.integers(1, 3)),
            logprobs=draw(st.none() | st.integers(0, 2)),
            stream=draw(st.booleans()),
            constraint=draw(st.sampled_from(CONSTRAINTS)),
        )
        for number in range(draw(st.integers(1, most)))
    ]


@st.composite
def speculators(draw: st.DrawFn) -> Speculator:
    if draw(st.booleans()):
        return Speculator(times=FreeSteps())
    mistakes, most = draw(st.integers(0, 10)), draw(st.integers(0, 20))
    return Speculator(make_proposer=lambda: Guessing(mistakes, most), times=FreeSteps())


def backend(memory: MemoryKind = MemoryKind.ATTENTION, capacity: int | None = None, step: int = 32) -> FakeBackend:
    window = 40 if memory is MemoryKind.WINDOW else 0
    return FakeBackend(
        model=copying,
        memory=memory,
        window=window,
        capacity=capacity,
        step_tokens=step,
        scored_rows=16,
        trained_context=LIMIT,
    )


def engine_with(speculator: Speculator | None, made: FakeBackend, parallel: int = 1) -> LocalEngine:
    engine = LocalEngine(made, parallel=parallel, speculation=True)
    engine._cores[0].speculator = speculator
    return engine


def outcome(answers: Answers) -> dict[tuple[str, int], object]:
    """What a reader gets of each sample, but not how many drafts it took."""
    found: dict[tuple[str, int], object] = {}
    for key, answer in answers.samples.items():
        end = answer.finished
        assert end is not None
        infos = [(info.token, info.logprob, info.forced, [one.token for one in info.top]) for info in answer.tokens]
        found[key] = answer.text, infos, end.reason, end.tokens, end.stop, end.closed, end.completion_tokens, end.seed
    return found


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    request_lists(),
    speculators(),
    st.sampled_from(MemoryKind),
    st.none() | st.integers(LIMIT, 3 * LIMIT),
    st.integers(2, 40),
    st.integers(1, 4),
)
def test_answers_are_those_without_drafts(
    requests: list[Request], speculator: Speculator, memory: MemoryKind, capacity: int | None, step: int, parallel: int
) -> None:
    plain = collect(engine_with(None, backend(memory, capacity, step), parallel).stream(requests))
    drafted = collect(engine_with(speculator, backend(memory, capacity, step), parallel).stream(requests))
    assert not plain.failed
    assert outcome(drafted) == outcome(plain)
    ends = [answer.finished for answer in drafted.samples.values() if answer.finished is not None]
    assert all(0 <= end.accepted <= end.drafted for end in ends)
    assert memory is not MemoryKind.RECURRENT or not any(end.drafted for end in ends)
    event(f"accepted: {any(end.accepted for end in ends)}")


@settings(max_examples=60, deadline=None)
@given(request_lists(most=2), speculators(), st.integers(0, 30))
def test_a_cancelled_text_is_the_beginning_of_the_whole(
    requests: list[Request], speculator: Speculator, after: int
) -> None:
    requests = [request for request in requests if request.constraint is None]
    whole = collect(engine_with(None, backend(), 2).stream(requests))
    engine = engine_with(speculator, backend(), 2)

    def events() -> Iterator[Event]:
        for number, one in enumerate(engine.stream(requests)):
            if number == after:
                engine.cancel("0")
            yield one

    cancelled = collect(events())
    for key, answer in cancelled.samples.items():
        full = whole.samples[key]
        assert answer.finished is not None
        if answer.finished.reason is FinishReason.CANCELLED:
            assert full.finished is not None
            assert answer.finished.tokens == full.finished.tokens[: len(answer.finished.tokens)]
        else:
            assert answer.text == full.text
    again = collect(engine.stream(requests))  # what the cache holds is right, too
    assert outcome(again) == outcome(whole)


def test_a_text_that_repeats_itself_takes_fewer_steps() -> None:
    request = Request("0", TextPrompt(b"abcdefgh"), Sampling(seed=1), max_tokens=120, ignore_eos=True)
    made = [FakeBackend(model=lambda tokens, seed: tokens[-8], scored_rows=16) for _ in range(2)]
    plain = collect(engine_with(None, made[0]).stream([request]))
    drafted = collect(engine_with(Speculator(times=FreeSteps()), made[1]).stream([request]))
    assert outcome(drafted) == outcome(plain)
    assert made[1].decodes < made[0].decodes / 5
    end = drafted.samples["0", 0].finished
    assert end is not None
    assert end.accepted > 100


@pytest.mark.parametrize(
    ("sampling", "exact", "drafts"),
    [
        (Sampling(seed=1), 0, False),
        (Sampling(temperature=0), 0, False),
        (Sampling(), 0, False),
        (Sampling(seed=1), 512, True),
    ],
)
def test_no_rounding_changes_by_default(sampling: Sampling, exact: int, drafts: bool) -> None:
    made = FakeBackend(model=lambda tokens, seed: tokens[-8], scored_rows=16, exact_tokens=exact)
    engine = LocalEngine(made, speculation=None)
    assert engine._cores[0].speculator is not None
    engine._cores[0].speculator.times = FreeSteps()
    request = Request("0", TextPrompt(b"abcdefgh"), sampling, max_tokens=120, ignore_eos=True)
    (end,) = [one for one in engine.stream([request]) if isinstance(one, Finished)]
    assert (end.drafted > 0) is drafts


def test_rows_in_partitions_get_no_drafts() -> None:
    requests = [Request(str(n), TextPrompt(bytes([97 + n]) * 20), Sampling(seed=1), max_tokens=30) for n in range(4)]
    answers = collect(engine_with(Speculator(times=FreeSteps()), backend(), 4).stream(requests))
    long = [one.finished for one in answers.samples.values() if one.finished is not None]
    assert sum(end.drafted for end in long if end.completion_tokens == 30) <= 60  # only the last one, when alone


def test_a_draft_model_drafts_what_it_would_say() -> None:
    draft = FakeBackend(model=copying)
    speculator = Speculator(DraftModel(draft), lambda: Guessing(0, 0), FreeSteps())
    request = Request("0", TextPrompt(b"Once upon a time, "), Sampling(seed=0), max_tokens=80, ignore_eos=True)
    plain = collect(engine_with(None, backend()).stream([request]))
    drafted = collect(engine_with(speculator, backend()).stream([request]))
    assert outcome(drafted) == outcome(plain)
    end = drafted.samples["0", 0].finished
    assert end is not None
    assert end.accepted > 40


def test_a_draft_model_that_is_wrong_is_asked_ever_less() -> None:
    draft = FakeBackend(model=lambda tokens, seed: tokens[-1] ^ 1)
    speculator = Speculator(DraftModel(draft), lambda: Guessing(0, 0), _Dear())
    request = Request("0", TextPrompt(b"a"), Sampling(seed=0), max_tokens=500, ignore_eos=True)
    made = FakeBackend(model=lambda tokens, seed: 97 + len(tokens) % 7, scored_rows=16)
    answers = collect(engine_with(speculator, made).stream([request]))
    end = answers.samples["0", 0].finished
    assert end is not None
    assert end.drafted < 60
    assert len(end.tokens) == 500


class _Dear(StepTimes):
    def of(self, tokens: int) -> float:
        return 0.5 + 0.5 * tokens


def test_a_draft_model_without_room_drafts_nothing() -> None:
    assert DraftModel(FakeBackend(trained_context=8)).propose(list(range(8)), 3) is None
    assert DraftModel(FakeBackend(model=lambda tokens, seed: END)).propose([1, 2], 3) is None


def test_vocabularies_are_compared() -> None:
    class Other(type(backend().vocabulary)):  # type: ignore[misc]
        def name(self, token: int) -> str:
            return "?" if token == 128 else str(super().name(token))

    assert same_vocabulary(backend().vocabulary, FakeBackend().vocabulary)
    assert not same_vocabulary(backend().vocabulary, Other())
    larger = Other()
    larger.size = 258
    assert not same_vocabulary(backend().vocabulary, larger)


def test_drafts_that_find_no_cells_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    made = FakeBackend(model=lambda tokens, seed: tokens[-8], scored_rows=16)
    fits = FakeBackend._fits
    monkeypatch.setattr(FakeBackend, "_fits", lambda self, batch: len(batch) != 16 and fits(self, batch))
    request = Request("0", TextPrompt(b"abcdefgh"), Sampling(seed=1), max_tokens=60, ignore_eos=True)
    ends = [
        one for one in engine_with(Speculator(times=FreeSteps()), made).stream([request]) if isinstance(one, Finished)
    ]
    assert [len(end.tokens) for end in ends] == [60]
