"""How many texts at once, from how long steps of several widths take, and in how many lanes."""

from __future__ import annotations

import pytest

from gptcli.engine.autotune import best_width, lanes_for
from gptcli.engine.engine import LocalEngine
from gptcli.engine.fake import FakeBackend
from gptcli.errors import LoadError
from gptcli.params import Sampling
from gptcli.types import Request, TextPrompt


class Measured(FakeBackend):
    """Remembers which widths were tried; a trial takes `trial` seconds."""

    trial = 0.0
    memory_for = 1000

    def __init__(self, **more: object) -> None:
        super().__init__(**more)  # type: ignore[arg-type]
        self.tried: list[int] = []

    def step_seconds(self, width: int) -> tuple[float, float]:
        if width > self.memory_for:
            raise LoadError("no memory.")
        self.tried.append(width)
        return super().step_seconds(width)[0], self.trial


@pytest.mark.parametrize(
    ("cost", "width", "tried"),
    [
        (lambda width: 1.0, 128, [16, 32, 64, 128]),  # every row more is free
        (lambda width: width * 0.01, 16, [16, 32]),  # none is
        (lambda width: max(width, 32), 32, [16, 32, 64]),  # free up to a point
        (lambda width: width**0.99, 16, [16, 32]),  # hardly worth it
        (lambda width: width**0.92, 32, [16, 32]),  # worth it, and no more to be hoped for
    ],
)
def test_the_width_with_the_most_tokens_a_second_is_chosen(cost, width: int, tried: list[int]) -> None:  # type: ignore[no-untyped-def]
    backend = Measured(step_cost=cost)
    assert best_width(backend) == width
    assert backend.tried == tried


def test_no_wider_than_the_backend_can() -> None:
    assert best_width(FakeBackend(step_cost=lambda width: 1.0, most_sequences=20)) == 16
    assert best_width(FakeBackend(step_cost=lambda width: 1.0, most_sequences=4)) == 4


def test_measuring_ends_when_it_takes_long() -> None:
    backend = Measured(step_cost=lambda width: 1.0)
    backend.trial = 3.0
    assert best_width(backend) == 16
    assert backend.tried == [16]


def test_no_wider_than_there_is_memory_for() -> None:
    backend = Measured(step_cost=lambda width: 1.0)
    backend.memory_for = 40
    assert best_width(backend) == 32


@pytest.mark.parametrize(
    ("parallel", "threads", "lanes"),
    [(None, 2, 2), (None, 1, 1), (None, 64, 8), (1, 8, 1), (31, 8, 1), (32, 8, 2), (1000, 4, 4), (15, 2, 1)],
)
def test_a_lane_for_each_thread_while_each_has_a_step_to_fill(parallel: int | None, threads: int, lanes: int) -> None:
    assert lanes_for(parallel, threads) == lanes


def test_without_reuse_every_prompt_is_computed_whole() -> None:
    backend = FakeBackend()
    request = Request("0", TextPrompt(b"the same again"), Sampling(seed=1), max_tokens=2, ignore_eos=True)
    engine = LocalEngine(backend, reuse=False)
    for _ in range(3):
        list(engine.stream([request]))
    assert backend.computed == 3 * (len(b"the same again") + 1)
