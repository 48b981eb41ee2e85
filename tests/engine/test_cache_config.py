"""How the KV cache is configured for a set of requests."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fake_backend import FakeBackend
from hypothesis import given
from hypothesis import strategies as st

from gptcli.engine.backend import CacheConfig, Decoded
from gptcli.engine.cache_config import default_parallel, shared_tokens
from gptcli.engine.engine import LocalEngine
from gptcli.errors import LoadError
from gptcli.params import Sampling
from gptcli.types import Finished, Request, TextPrompt


def requests(prompts: list[str], **more: object) -> list[Request]:
    fields: dict[str, object] = {"sampling": Sampling(seed=1), "max_tokens": 4, "ignore_eos": True, **more}
    return [Request(str(n), TextPrompt(text.encode()), **fields) for n, text in enumerate(prompts)]  # type: ignore[arg-type]


def run(backend: FakeBackend, prompts: list[str], parallel: int = 4, **more: object) -> list[Finished]:
    events = list(LocalEngine(backend, parallel=parallel).stream(requests(prompts, **more)))
    return [event for event in events if isinstance(event, Finished)]


def test_unrelated_prompts_are_partitioned() -> None:
    backend = FakeBackend()
    assert len(run(backend, [f"{n} is a number of its own kind" for n in "abcdefgh"])) == 8
    assert not backend.config.unified


def test_a_gpus_requests_share_a_unified_cache() -> None:
    backend = FakeBackend(cpu_threads=0)
    assert len(run(backend, [f"{n} is a number of its own kind" for n in "abcdefgh"])) == 8
    assert backend.config.unified


def test_a_server_begins_with_more_requests_than_are_fastest() -> None:
    assert default_parallel(FakeBackend(cpu_threads=2), 2) == 32
    assert default_parallel(FakeBackend(cpu_threads=2), 2, serving=True) == 64


def test_a_shared_instruction_is_computed_once_in_a_gpus_unified_cache() -> None:
    backend = FakeBackend(step_tokens=128, cpu_threads=0)
    instruction = "Translate into French, and keep the tone of the text as it is: "
    ended = run(backend, [instruction + str(n) for n in range(8)])
    assert backend.config.unified
    assert backend.computed == len(instruction) + 8 * (1 + 3)  # each one's own letter and all tokens but the last
    assert sum(event.reused_tokens for event in ended) == 7 * len(instruction)


GROUPS = ["summarize this article for a child of ten years: ", "find every name of a place in this sentence: "]


def test_the_prefix_of_each_group_of_prompts_is_computed_once() -> None:
    backend = FakeBackend(step_tokens=128, cpu_threads=0)
    run(backend, [GROUPS[n % 2] + str(n) for n in range(8)])
    assert backend.computed == sum(map(len, GROUPS)) + 8 * (1 + 3)


def test_prefixes_are_copied_from_partition_to_partition() -> None:
    backend = FakeBackend(step_tokens=128)
    ended = run(backend, [GROUPS[n % 2] + str(n) for n in range(8)])
    assert not backend.config.unified
    assert sorted(event.reused_tokens > 40 for event in ended) == [False] * 2 + [True] * 6
    assert backend.computed < sum(map(len, GROUPS)) + 8 * (1 + 3) + 10  # a few tokens are not worth waiting for


def test_a_copy_of_a_large_partition_must_be_worth_it() -> None:
    backend = FakeBackend(step_tokens=128)
    prompts = [f"{GROUPS[0]}{'abcdefgh'[n] * 60}" for n in range(8)]
    assert sum(event.reused_tokens for event in run(backend, prompts, max_tokens=1500)) > 7 * 40
    backend = FakeBackend(step_tokens=128, trained_context=8192)
    assert sum(event.reused_tokens for event in run(backend, prompts[:4], max_tokens=4000)) == 0


def test_samples_of_one_prompt_use_a_unified_cache() -> None:
    backend = FakeBackend()
    run(backend, ["one", "two"], n=3)
    assert backend.config.unified


def test_one_request_at_a_time_needs_no_partitions() -> None:
    backend = FakeBackend()
    run(backend, ["one", "two"], parallel=1)
    assert backend.config.unified


def test_a_request_too_long_for_its_partition_waits_for_a_larger_one() -> None:
    backend = FakeBackend(trained_context=4096)
    ended = run(backend, ["short", "another", "third one", "x" * 1000, "last"], parallel=3)
    assert {event.id for event in ended} == {"0", "1", "2", "3", "4"}
    assert not any(event.dropped_bytes or event.completion_tokens < 4 for event in ended)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=8))
def test_shared_tokens_are_those_of_a_tree_of_all_prompts(prompts: list[list[int]]) -> None:
    nodes = {tuple(prompt[: end + 1]) for prompt in prompts for end in range(len(prompt))}
    assert shared_tokens(prompts) == sum(map(len, prompts)) - len(nodes)


def test_a_shared_instruction_needs_its_cells_only_once() -> None:
    backend = FakeBackend(step_tokens=512, cpu_threads=0)
    instruction = "Sort this review into good, bad or mixed, and answer with that word alone. " * 6
    engine = LocalEngine(backend, parallel=8)
    wanted = requests([instruction + str(n) for n in range(32)], max_tokens=16)
    ended = [event for event in engine.stream(wanted) if isinstance(event, Finished)]
    assert len(ended) == 32
    # One step reads the instruction, the next one starts all the others; eight at a time, each takes 16 steps.
    assert backend.decodes <= 2 + 4 * 16


LONG = "Sort this review into good, bad or mixed, and answer with that word alone. " * 6


def dense(**more: object) -> FakeBackend:
    return FakeBackend(step_tokens=512, cpu_threads=1, **more)  # type: ignore[arg-type]


def engine_of(backend: FakeBackend, parallel: int) -> LocalEngine:
    return LocalEngine(backend, parallel=parallel)


def test_a_long_shared_instruction_turns_flash_attention_off() -> None:
    backend = dense()
    list(engine_of(backend, 8).stream(requests([LONG + str(n) for n in range(8)], max_tokens=16)))
    assert backend.config.unified
    assert not backend.config.flash


def test_flash_attention_stays_on_when_all_cells_are_many_times_those_of_one_request() -> None:
    backend = dense()
    list(engine_of(backend, 8).stream(requests([LONG + str(n) for n in range(8)], max_tokens=300)))
    assert backend.config.flash


def test_flash_attention_stays_on_with_several_threads() -> None:
    backend = FakeBackend(step_tokens=512)
    list(engine_of(backend, 8).stream(requests([LONG + str(n) for n in range(8)], max_tokens=16)))
    assert backend.config.flash


def test_a_unified_cache_keeps_its_kind_while_it_holds_cached_tokens() -> None:
    backend = dense()
    engine = engine_of(backend, 8)
    list(engine.stream(requests([LONG + str(n) for n in range(8)], max_tokens=16)))
    ended = [event for event in engine.stream(requests([LONG + "x"], max_tokens=16)) if isinstance(event, Finished)]
    assert not backend.config.flash
    assert ended[0].reused_tokens == len(LONG)


def test_little_memory_means_fewer_partitions_rather_than_one_request_at_a_time() -> None:
    class Little(FakeBackend):
        def reserve(self, config: CacheConfig) -> None:
            if config.cells > 2048:
                raise LoadError("no memory.")
            super().reserve(config)

    backend = Little()
    assert len(run(backend, [f"{n} is a number of its own kind" for n in range(40)], parallel=32)) == 40
    assert not backend.config.unified
    assert backend.config.sequences == 8


@dataclass
class Partitioned(FakeBackend):
    """Asserts that the sequences of a step in partitions are neighbours, in order."""

    moved: int = 0

    def decode(self) -> Decoded:
        ids = [entry.sequence for entry in self._batch]
        if not self.config.unified:
            assert ids == sorted(ids)
            assert max(ids) - min(ids) < self.running()
        return super().decode()

    def running(self) -> int:
        return len([sampler for sampler in self.samplers if not sampler.closed])

    def copy(self, source: int, target: int, end: int) -> None:
        self.moved += 1
        super().copy(source, target, end)


def test_busy_partitions_stay_neighbours_whichever_request_ends_first() -> None:
    backend = Partitioned()
    wanted = requests([f"{n} is a number of its own kind" for n in range(8)])
    lengths = [3, 40, 9, 22, 1, 30, 2, 35]
    wanted = [replace(one, max_tokens=count) for one, count in zip(wanted, lengths, strict=True)]
    ended = [event for event in LocalEngine(backend, parallel=8).stream(wanted) if isinstance(event, Finished)]
    assert not backend.config.unified
    assert [event.completion_tokens for event in sorted(ended, key=lambda event: int(event.id))] == lengths
    assert backend.moved
    assert all(sampler.closed for sampler in backend.samplers)


def test_one_prompt_many_times_with_nothing_to_generate() -> None:
    wanted = [replace(one, max_tokens=0) for one in requests(["a"] * 4)]
    engine = LocalEngine(FakeBackend(cpu_threads=1), parallel=32)
    ended = [event for event in engine.stream(wanted) if isinstance(event, Finished)]
    assert len(ended) == 4
