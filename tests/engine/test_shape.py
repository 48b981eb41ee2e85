"""How the KV cache is made for a set of requests."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from gptcli.engine.backend import Decoded
from gptcli.engine.cache_config import shared_tokens
from gptcli.engine.engine import LocalEngine
from gptcli.engine.fake import FakeBackend
from gptcli.errors import LoadError
from gptcli.params import Sampling
from gptcli.types import Finished, Request, TextPrompt


def requests(prompts: list[str], **more: object) -> list[Request]:
    fields: dict[str, object] = {"sampling": Sampling(seed=1), "max_tokens": 4, "ignore_eos": True, **more}
    return [Request(str(n), TextPrompt(text.encode()), **fields) for n, text in enumerate(prompts)]  # type: ignore[arg-type]


def run(backend: FakeBackend, prompts: list[str], parallel: int = 4, **more: object) -> list[Finished]:
    events = list(LocalEngine(backend, parallel=parallel).stream(requests(prompts, **more)))
    return [event for event in events if isinstance(event, Finished)]


def test_unrelated_prompts_get_cells_of_their_own() -> None:
    backend = FakeBackend()
    assert len(run(backend, [f"{n} is a number of its own kind" for n in "abcdefgh"])) == 8
    assert not backend.unified


def test_a_shared_instruction_is_computed_once_in_one_room_for_all() -> None:
    backend = FakeBackend(step_tokens=128)
    instruction = "Translate into French, and keep the tone of the text as it is: "
    ended = run(backend, [instruction + str(n) for n in range(8)])
    assert backend.unified
    assert backend.computed == len(instruction) + 8 * (1 + 3)  # its own letter and all tokens but the last
    assert sum(event.reused_tokens for event in ended) == 7 * len(instruction)


def test_several_groups_of_prompts_have_their_prefix_computed_once_each() -> None:
    backend = FakeBackend(step_tokens=128)
    groups = ["summarize this article for a child of ten years: ", "find every name of a place in this sentence: "]
    run(backend, [groups[n % 2] + str(n) for n in range(8)])
    assert backend.computed == sum(map(len, groups)) + 8 * (1 + 3)


def test_samples_of_one_prompt_share_it() -> None:
    backend = FakeBackend()
    run(backend, ["one", "two"], n=3)
    assert backend.unified


def test_one_at_a_time_needs_no_parts() -> None:
    backend = FakeBackend()
    run(backend, ["one", "two"], parallel=1)
    assert backend.unified


def test_a_row_that_is_too_long_for_its_part_waits_and_then_gets_a_larger_one() -> None:
    backend = FakeBackend(trained_context=4096)
    ended = run(backend, ["short", "another", "third one", "x" * 1000, "last"], parallel=3)
    assert {event.id for event in ended} == {"0", "1", "2", "3", "4"}
    assert not any(event.dropped_bytes or event.completion_tokens < 4 for event in ended)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=8))
def test_shared_tokens_are_those_of_a_tree_of_all_prompts(prompts: list[list[int]]) -> None:
    nodes = {tuple(prompt[: end + 1]) for prompt in prompts for end in range(len(prompt))}
    assert shared_tokens(prompts) == sum(map(len, prompts)) - len(nodes)


def test_rows_that_share_an_instruction_run_together_in_the_cells_it_takes_once() -> None:
    backend = FakeBackend(step_tokens=512)
    instruction = "Sort this review into good, bad or mixed, and answer with that word alone. " * 6
    engine = LocalEngine(backend, parallel=8)
    asked = requests([instruction + str(n) for n in range(32)], max_tokens=16)
    ended = [event for event in engine.stream(asked) if isinstance(event, Finished)]
    assert len(ended) == 32
    # One step reads the instruction, the next one begins all the others; eight at a time, each takes 16 steps.
    assert backend.decodes <= 2 + 4 * 16


LONG = "Sort this review into good, bad or mixed, and answer with that word alone. " * 6


def dense(**more: object) -> FakeBackend:
    return FakeBackend(step_tokens=512, dense_pays=True, **more)  # type: ignore[arg-type]


def engine_of(backend: FakeBackend, parallel: int, *, narrow: bool = False) -> LocalEngine:
    return LocalEngine(backend, parallel=parallel, narrow=narrow)


def test_a_long_instruction_makes_matrix_products_pay() -> None:
    backend = dense()
    list(engine_of(backend, 8).stream(requests([LONG + str(n) for n in range(8)], max_tokens=16)))
    assert backend.unified
    assert not backend.flash


def test_not_where_the_cells_of_all_are_many_times_those_of_one() -> None:
    backend = dense()
    list(engine_of(backend, 8).stream(requests([LONG + str(n) for n in range(8)], max_tokens=300)))
    assert backend.unified
    assert backend.flash


def test_not_where_the_device_does_not_gain_by_it() -> None:
    backend = FakeBackend(step_tokens=512)
    list(engine_of(backend, 8).stream(requests([LONG + str(n) for n in range(8)], max_tokens=16)))
    assert backend.flash


def test_fewer_run_at_once_where_that_is_faster_and_somebody_has_not_said_how_many() -> None:
    for narrow, sequences in ((True, 48), (False, 64)):  # 450 shared cells, 18 of its own for each row
        backend = dense()
        asked = requests([LONG + str(n).zfill(2) for n in range(64)], max_tokens=16)
        list(engine_of(backend, 64, narrow=narrow).stream(asked))
        assert backend.sequences == sequences


def test_a_shared_room_stays_as_it_is_while_something_useful_rests_in_it() -> None:
    backend = dense()
    engine = engine_of(backend, 8)
    list(engine.stream(requests([LONG + str(n) for n in range(8)], max_tokens=16)))
    ended = [event for event in engine.stream(requests([LONG + "x"], max_tokens=16)) if isinstance(event, Finished)]
    assert not backend.flash
    assert ended[0].reused_tokens == len(LONG)


def test_little_memory_means_fewer_partitions_and_not_one_row_at_a_time() -> None:
    class Little(FakeBackend):
        def reserve(self, cells: int, sequences: int, *, unified: bool = True, flash: bool = True) -> None:
            if cells > 2048:
                raise LoadError("no memory.")
            super().reserve(cells, sequences, unified=unified, flash=flash)

    backend = Little()
    assert len(run(backend, [f"{n} is a number of its own kind" for n in range(40)], parallel=32)) == 40
    assert not backend.unified
    assert backend.sequences == 8


@dataclass
class Parted(FakeBackend):
    """Sees to it that the sequences of a step in partitions are the first ones, in order."""

    moved: int = 0

    def decode(self) -> Decoded:
        ids = [entry.sequence for entry in self._batch]
        if not self.unified:
            assert ids == sorted(ids)
            assert max(ids) < self.running()
        return super().decode()

    def running(self) -> int:
        return len([sampler for sampler in self.samplers if not sampler.closed])

    def copy(self, source: int, target: int, end: int) -> None:
        self.moved += 1
        super().copy(source, target, end)


def test_partitions_in_use_are_neighbours_whoever_ends_first() -> None:
    backend = Parted()
    asked = requests([f"{n} is a number of its own kind" for n in range(8)])
    lengths = [3, 40, 9, 22, 1, 30, 2, 35]
    asked = [replace(one, max_tokens=count) for one, count in zip(asked, lengths, strict=True)]
    ended = [event for event in LocalEngine(backend, parallel=8).stream(asked) if isinstance(event, Finished)]
    assert not backend.unified
    assert [event.completion_tokens for event in sorted(ended, key=lambda event: int(event.id))] == lengths
    assert backend.moved
    assert all(sampler.closed for sampler in backend.samplers)
