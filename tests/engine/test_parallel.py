"""How many requests to compute at once, and on how many cores."""

from __future__ import annotations

import pytest
from fake_backend import FakeBackend

from gptcli.engine.backend import MemoryKind
from gptcli.engine.cache_config import choose_cores, default_parallel
from gptcli.engine.engine import LocalEngine
from gptcli.params import Sampling
from gptcli.types import Finished, Request, Started, TextPrompt


@pytest.mark.parametrize(
    ("backend", "cores", "parallel"),
    [
        (FakeBackend(), 1, 16),
        (FakeBackend(), 8, 128),
        (FakeBackend(max_sequences=4), 2, 8),
        (FakeBackend(cpu_threads=0), 4, 256),
        (FakeBackend(cpu_threads=0, max_sequences=32), 1, 32),
    ],
)
def test_how_many_run_at_once(backend: FakeBackend, cores: int, parallel: int) -> None:
    assert default_parallel(backend, cores) == parallel


@pytest.mark.parametrize(
    ("parallel", "threads", "cores"),
    [(None, 2, 2), (None, 1, 1), (None, 64, 8), (1, 8, 1), (31, 8, 1), (32, 8, 2), (1000, 4, 4), (15, 2, 1)],
)
def test_one_core_for_each_thread_while_each_can_fill_a_step(parallel: int | None, threads: int, cores: int) -> None:
    assert choose_cores(parallel, threads) == cores


@pytest.mark.parametrize(("parallel", "cores"), [(None, 4), (1, 1), (127, 1), (128, 2), (1000, 4)])
def test_a_few_cores_on_a_gpu_of_64_rows_each(parallel: int | None, cores: int) -> None:
    assert choose_cores(parallel, 0) == cores


@pytest.mark.parametrize(("rows", "threads", "used"), [(64, 0, 1), (65, 0, 2), (256, 0, 4), (4, 2, 4)])
def test_a_gpus_cores_are_filled_one_after_the_other(rows: int, threads: int, used: int) -> None:
    backends = [FakeBackend(cpu_threads=threads, step_tokens=512) for _ in range(4)]
    engine = LocalEngine(backends[0], replicas=backends[1:], parallel=256)
    prompts = [TextPrompt(f"{row:03} is a number".encode()) for row in range(rows)]
    requests = [Request(str(row), prompt, Sampling(seed=1), max_tokens=8) for row, prompt in enumerate(prompts)]
    assert sum(isinstance(event, Finished) for event in engine.stream(requests)) == rows
    assert sum(bool(backend.computed) for backend in backends) == used


SHORT = [f"{row:03} is a number of its own kind".encode() for row in range(256)]


@pytest.mark.parametrize(
    ("prompts", "max_tokens", "cell_bytes", "may_widen", "sequences"),
    [
        (SHORT, 8, 24 << 10, True, 64),
        (SHORT[:255], 8, 24 << 10, True, 32),  # one core would have rows left when the other has none
        (SHORT, 8, 128 << 10, True, 32),
        (SHORT[:127], 8, 24 << 10, True, 16),
        (SHORT, 8, 256 << 10, True, 16),
        (SHORT, 300, 24 << 10, True, 16),
        ([b"%d says the same to all: " % (number % 10) + row for number, row in enumerate(SHORT)], 8, 1024, True, 64),
        ([row * turn for turn in (1, 2) for row in SHORT[:128]], 8, 1024, True, 16),
        ([row + end for end in (b" ", b", as I said before") for row in SHORT[:128]], 8, 1024, True, 16),
        (SHORT, 8, 24 << 10, False, 16),
    ],
    ids=[
        "most",
        "many",
        "larger model",
        "few",
        "largest model",
        "long answers",
        "groups",
        "turns",
        "other ends",
        "user's choice",
    ],
)
def test_more_run_at_once_where_they_are_short_and_many(
    prompts: list[bytes], max_tokens: int, cell_bytes: int, may_widen: bool, sequences: int
) -> None:
    backends = [FakeBackend(step_tokens=512, cell_bytes=cell_bytes) for _ in range(2)]
    engine = LocalEngine(backends[0], replicas=backends[1:], parallel=32, may_widen=may_widen)
    rows = (Request(str(row), TextPrompt(text), Sampling(), max_tokens=max_tokens) for row, text in enumerate(prompts))
    running, most = 0, 0
    for event in engine.stream(rows):
        running += isinstance(event, Started) - isinstance(event, Finished)
        most = max(most, running)
    assert [backend.config.sequences for backend in backends] == [sequences] * 2
    assert most == 2 * sequences


@pytest.mark.parametrize("memory", [MemoryKind.WINDOW, MemoryKind.RECURRENT])
def test_no_more_run_at_once_where_rows_leave_in_their_order(memory: MemoryKind) -> None:
    backend = FakeBackend(step_tokens=512, memory=memory, window=64)
    engine = LocalEngine(backend, parallel=16, may_widen=True)
    requests = (Request(str(row), TextPrompt(text), Sampling(), max_tokens=8) for row, text in enumerate(SHORT))
    assert sum(isinstance(event, Finished) for event in engine.stream(requests)) == len(SHORT)
    assert backend.config.sequences == 16


@pytest.mark.parametrize(("max_tokens", "all_read"), [(8, True), (300, False)])
def test_more_rows_are_read_ahead_only_where_they_are_short(max_tokens: int, all_read: bool) -> None:
    backends = [FakeBackend(step_tokens=512) for _ in range(2)]
    engine = LocalEngine(backends[0], replicas=backends[1:], parallel=32, may_widen=True)
    numbers = iter(range(len(SHORT)))
    rows = (Request(str(row), TextPrompt(SHORT[row]), Sampling(), max_tokens=max_tokens) for row in numbers)
    events = engine.stream(rows)
    assert isinstance(next(events), Started)
    assert (next(numbers, None) is None) == all_read
    events.close()


def test_prompts_that_are_only_scored_never_fill_more_than_a_step() -> None:
    backend = FakeBackend(step_tokens=128)
    engine = LocalEngine(backend, parallel=16, may_widen=True)
    list(
        engine.stream(
            Request(str(n), TextPrompt(text), prompt_logprobs=0, max_tokens=0) for n, text in enumerate(SHORT)
        )
    )
    assert backend.config.sequences <= 16


def test_without_reuse_every_prompt_is_computed_in_full() -> None:
    backend = FakeBackend()
    request = Request("0", TextPrompt(b"the same again"), Sampling(seed=1), max_tokens=2, ignore_eos=True)
    engine = LocalEngine(backend, reuse=False)
    for _ in range(3):
        list(engine.stream([request]))
    assert backend.computed == 3 * (len(b"the same again") + 1)
