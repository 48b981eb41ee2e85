"""How many requests to compute at once, from the duration of steps, and on how many cores."""

from __future__ import annotations

import pytest
from fake_backend import FakeBackend

from gptcli.engine.cache_config import choose_cores, measure_parallel
from gptcli.engine.engine import LocalEngine
from gptcli.errors import LoadError
from gptcli.params import Sampling
from gptcli.types import Request, TextPrompt


class Measured(FakeBackend):
    """Records which numbers were tried; a trial takes `trial` seconds."""

    trial = 0.0
    memory_for = 1000

    def __init__(self, **more: object) -> None:
        super().__init__(**more)  # type: ignore[arg-type]
        self.tried: list[int] = []

    def step_seconds(self, sequences: int) -> tuple[float, float]:
        if sequences > self.memory_for:
            raise LoadError("no memory.")
        self.tried.append(sequences)
        return super().step_seconds(sequences)[0], self.trial


@pytest.mark.parametrize(
    ("cost", "best", "tried"),
    [
        (lambda count: 1.0, 128, [16, 32, 64, 128]),  # more requests cost nothing
        (lambda count: count * 0.01, 16, [16, 32]),  # they cost what they bring
        (lambda count: max(count, 32), 32, [16, 32, 64]),  # free up to a point
        (lambda count: count**0.99, 16, [16, 32]),  # hardly worth it
        (lambda count: count**0.92, 32, [16, 32]),  # worth it, but there is no more to gain
    ],
)
def test_the_number_with_the_most_tokens_a_second_is_chosen(cost, best: int, tried: list[int]) -> None:  # type: ignore[no-untyped-def]
    backend = Measured(step_cost=cost)
    assert measure_parallel(backend) == best
    assert backend.tried == tried


def test_no_more_than_the_backend_supports() -> None:
    assert measure_parallel(FakeBackend(step_cost=lambda count: 1.0, max_sequences=20)) == 16
    assert measure_parallel(FakeBackend(step_cost=lambda count: 1.0, max_sequences=4)) == 4


def test_measuring_ends_after_a_long_trial() -> None:
    backend = Measured(step_cost=lambda count: 1.0)
    backend.trial = 3.0
    assert measure_parallel(backend) == 16
    assert backend.tried == [16]


def test_no_more_than_memory_allows() -> None:
    backend = Measured(step_cost=lambda count: 1.0)
    backend.memory_for = 40
    assert measure_parallel(backend) == 32


@pytest.mark.parametrize(
    ("parallel", "threads", "cores"),
    [(None, 2, 2), (None, 1, 1), (None, 64, 8), (1, 8, 1), (31, 8, 1), (32, 8, 2), (1000, 4, 4), (15, 2, 1)],
)
def test_one_core_for_each_thread_while_each_can_fill_a_step(parallel: int | None, threads: int, cores: int) -> None:
    assert choose_cores(parallel, threads) == cores


def test_without_reuse_every_prompt_is_computed_in_full() -> None:
    backend = FakeBackend()
    request = Request("0", TextPrompt(b"the same again"), Sampling(seed=1), max_tokens=2, ignore_eos=True)
    engine = LocalEngine(backend, reuse=False)
    for _ in range(3):
        list(engine.stream([request]))
    assert backend.computed == 3 * (len(b"the same again") + 1)
