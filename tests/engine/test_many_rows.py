"""Two thousand rows of every kind at once on the fake backend: each is answered as in a loop of its own."""

from __future__ import annotations

import random
from dataclasses import replace

from answers import Answers, expected
from fake_backend import FakeBackend
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gptcli.engine.backend import MemoryKind
from gptcli.engine.engine import LocalEngine
from gptcli.params import Sampling
from gptcli.types import FinishReason, Request, TextPrompt

ROWS = 2000
LIMIT = 120
_INSTRUCTIONS = (b"", b"Translate this: ", b"There was a king who had three daughters. ")


def make_row(draw: random.Random, number: int) -> Request:
    """Lengths are spread as in real logs: many short ones, few long ones."""
    own = bytes(draw.choices(b"abcdefg ", k=min(70, 1 + int(draw.lognormvariate(2.5, 1)))))
    return Request(
        id=str(number),
        prompt=TextPrompt(draw.choice(_INSTRUCTIONS) + own),
        sampling=Sampling(seed=draw.randrange(4)),
        max_tokens=draw.choice([None, 0, 1, 5, min(40, int(draw.expovariate(1 / 8)))]),
        stop=tuple("".join(draw.choices("abcde", k=draw.randint(1, 2))) for _ in range(draw.choice([0, 0, 1, 2]))),
        ignore_eos=draw.random() < 0.3,
        n=draw.choice([1, 1, 1, 2, 3]),
        logprobs=draw.choice([None, None, 0, 2]),
        stream=draw.random() < 0.5,
    )


@settings(max_examples=2, deadline=None, phases=[Phase.generate])  # an example takes seconds, so none is shrunk
@given(
    seed=st.integers(0, 2**32),
    memory=st.sampled_from(MemoryKind),
    parallel=st.sampled_from([1, 7, 32, 64]),
    cores=st.integers(1, 3),
    capacity=st.none() | st.integers(LIMIT, 16 * LIMIT),
)
def test_rows_are_answered_as_one_by_one(
    seed: int, memory: MemoryKind, parallel: int, cores: int, capacity: int | None
) -> None:
    draw = random.Random(seed)
    rows = [make_row(draw, number) for number in range(ROWS)]
    window = 40 if memory is MemoryKind.WINDOW else 0
    backends = [
        FakeBackend(memory=memory, window=window, step_tokens=64, capacity=capacity, trained_context=LIMIT)
        for _ in range(cores)
    ]
    engine = LocalEngine(backends[0], replicas=backends[1:], parallel=parallel)
    answers, cancelled = Answers(), set[str]()
    for event in engine.stream(rows):
        answers.take(event)
        if draw.random() < 0.002:
            victim = str(draw.randrange(ROWS))
            cancelled.add(victim)
            engine.cancel(victim)
    assert not answers.failed
    assert answers.samples.keys() == {(row.id, index) for row in rows for index in range(row.n)}
    for (number, index), answer in answers.samples.items():
        row = rows[int(number)]
        assert answer.finished is not None
        if answer.finished.reason is FinishReason.CANCELLED:
            assert number in cancelled
            assert expected(replace(row, stop=(), max_tokens=None), index, LIMIT)[0].startswith(answer.text)
        else:
            found = (answer.text, answer.finished.reason, answer.finished.completion_tokens)
            assert found == expected(row, index, LIMIT)
    assert all(sampler.closed for backend in backends for sampler in backend.samplers)
