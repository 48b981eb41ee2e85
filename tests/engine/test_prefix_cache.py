"""Computed prefixes on disk: the same text with and without, the longest one found, no damaged one used."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from answers import collect, expected
from fake_backend import FakeBackend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptcli.engine import prefix_cache, state_file
from gptcli.engine.backend import MemoryKind
from gptcli.engine.engine import LocalEngine
from gptcli.engine.prefix_cache import PrefixCache, delete_prefixes, list_prefixes
from gptcli.engine.slots import common_prefix
from gptcli.params import Sampling
from gptcli.types import Finished, Request, TextPrompt

STORY = "Once upon a time there was a king who had three daughters, and none of them could count. " * 4


class Process:
    """One run of gptcli: a fresh backend, an engine, and the prefix cache that all runs share."""

    def __init__(self, folder: Path, *, key: str = "model", limit: int = 10**9, **backend: object) -> None:
        self.backend = FakeBackend(**backend)  # type: ignore[arg-type]
        self.opened = 0
        self._arguments = folder, key, "tiny", limit
        self.engine = LocalEngine(self.backend, open_prefix_cache=self._open)

    def _open(self) -> PrefixCache:
        self.opened += 1
        return PrefixCache(*self._arguments)

    def ask(self, prompt: str, *, tokens: int = 10, save: bool = False) -> int:
        """Answer, checked against the reference, and perhaps saved; returns how many tokens were reused."""
        request = Request("r", TextPrompt(prompt.encode()), Sampling(seed=1), max_tokens=tokens, ignore_eos=True)
        answer = collect(self.engine.stream([request])).samples["r", 0]
        assert answer.text == expected(request, 0, self.backend.trained_context)[0]
        if save:
            self.engine.save_prefix()
        assert isinstance(answer.finished, Finished)
        return answer.finished.reused_tokens


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.state"))


@pytest.mark.parametrize("memory", MemoryKind)
def test_another_process_continues_where_the_first_one_ended(tmp_path: Path, memory: MemoryKind) -> None:
    first = Process(tmp_path, memory=memory, window=16)
    assert first.ask(STORY, save=True) == 0
    answer = expected(Request("r", TextPrompt(STORY.encode()), Sampling(seed=1), 10, ignore_eos=True), 0, 4096)[0]
    second = Process(tmp_path, memory=memory, window=16)
    # The last sampled token was never computed.
    assert second.ask(f"{STORY}{answer}And then?") == len(STORY) + 9
    assert second.backend.computed == 1 + len("And then?") + 9


@pytest.mark.parametrize(
    ("memory", "window", "reused"),
    [
        (MemoryKind.ATTENTION, 0, len(STORY) - 1),
        (MemoryKind.WINDOW, 500, len(STORY) - 1),
        (MemoryKind.WINDOW, 16, 0),  # it has moved on, and no longer holds what a cut would attend to
        (MemoryKind.RECURRENT, 0, 0),
    ],
)
def test_tokens_beyond_the_prompt_are_cut_off_where_memory_can_be_cut(
    tmp_path: Path, memory: MemoryKind, window: int, reused: int
) -> None:
    Process(tmp_path, memory=memory, window=window).ask(STORY, save=True)
    assert Process(tmp_path, memory=memory, window=window).ask(STORY) == reused


def test_a_prompt_saved_without_an_answer_serves_a_memory_that_cannot_be_cut(tmp_path: Path) -> None:
    Process(tmp_path, memory=MemoryKind.RECURRENT).ask(STORY, tokens=0, save=True)
    for question in "Who?", "When was that?":
        assert Process(tmp_path, memory=MemoryKind.RECURRENT).ask(STORY + question) == len(STORY)


@pytest.mark.parametrize("memory", [MemoryKind.RECURRENT, MemoryKind.WINDOW])
def test_a_memory_that_cannot_be_cut_uses_what_fits_rather_than_what_shares_most(
    tmp_path: Path, memory: MemoryKind
) -> None:
    for prompt in STORY[:100], STORY[:200] + "#":
        Process(tmp_path, memory=memory, window=16).ask(prompt, tokens=0, save=True)
    assert Process(tmp_path, memory=memory, window=16).ask(STORY) == 100


texts = st.tuples(st.sampled_from("ab"), st.integers(0, 300), st.text("xyz", max_size=4)).map(
    lambda parts: parts[0] + STORY[: parts[1]] + parts[2]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.lists(texts, min_size=1, max_size=3), min_size=1, max_size=6),
    memory=st.sampled_from(MemoryKind),
    window=st.integers(1, 400),
    limit=st.sampled_from([1500, 4000, 10**9]),
    capacity=st.sampled_from([None, 350]),
)
def test_text_is_the_same_with_and_without(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[list[str]],
    memory: MemoryKind,
    window: int,
    limit: int,
    capacity: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    for asked in runs:
        process = Process(folder, memory=memory, window=window, limit=limit, capacity=capacity, trained_context=350)
        for text in asked:
            process.ask(text, save=True)  # (which compares)
        assert sum(path.stat().st_size for path in folder.iterdir()) <= limit


@given(
    saved=st.lists(st.tuples(st.integers(64, 200), st.integers(0, 60), st.integers(1, 3)), min_size=1, max_size=6),
    shared=st.integers(60, 200),
    available=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_the_longest_prefix_wins(
    tmp_path_factory: pytest.TempPathFactory, saved: list[tuple[int, int, int]], shared: int, available: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    entries = [[7] * common + [8 + number] * more for common, more, number in saved]
    writer = PrefixCache(folder, "model")
    for tokens in entries:
        writer.save(tokens, "", lambda: memoryview(b"state"), cuttable=False)
    wanted = [7] * shared + [100] * 50
    found = PrefixCache(folder, "model").find(wanted, available, most=10**6, cuttable=10**6)
    lengths = [min(common, shared) if more or common < shared else shared for common, more, _ in saved]
    usable = [length for length in lengths if length - available >= 64]
    if found is None:
        assert not usable
    else:
        assert common_prefix(found.tokens, wanted) == max(usable)


@pytest.fixture
def cache(tmp_path: Path) -> PrefixCache:
    return PrefixCache(tmp_path / "deep" / "cache", "model", "tiny")


def put(cache: PrefixCache, tokens: list[int], *, size: int = 1000, cuttable: bool = True) -> None:
    cache.save(tokens, "text", lambda: memoryview(bytes(size)), cuttable=cuttable)


def names(folder: Path) -> set[int]:
    """The numbers of tokens of the saved prefixes."""
    return {len(saved.tokens) for saved in list_prefixes(folder)}


def test_files_are_private(cache: PrefixCache, tmp_path: Path) -> None:
    put(cache, list(range(100)))
    (path,) = files(tmp_path / "deep" / "cache")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_longer_one_replaces_the_shorter_where_it_can_be_cut(cache: PrefixCache, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "cache"
    put(cache, list(range(100)))
    put(cache, list(range(200)))
    put(cache, [*range(150), 0])
    assert names(folder) == {200, 151}
    put(cache, list(range(120)))  # is in the longer one already
    assert names(folder) == {200, 151}
    put(cache, list(range(110)), cuttable=False)
    put(cache, list(range(210)), cuttable=False)
    assert names(folder) == {200, 151, 110, 210}


def test_a_saved_prefix_is_neither_computed_nor_written_again(cache: PrefixCache, tmp_path: Path) -> None:
    put(cache, list(range(100)))
    (path,) = files(tmp_path / "deep" / "cache")
    before = path.stat().st_ino

    def never() -> memoryview:
        raise AssertionError("the state is not needed")

    PrefixCache(path.parent, "model").save(list(range(100)), "", never, cuttable=True)
    assert path.stat().st_ino == before


def test_the_least_recently_used_is_evicted_first(tmp_path: Path) -> None:
    cache = PrefixCache(tmp_path, "model", limit=5000)
    for age, first in enumerate([1, 2, 3]):
        put(cache, [first] * 100, size=1000)
        (path,) = [saved.path for saved in list_prefixes(tmp_path) if saved.tokens[0] == first]
        os.utime(path, (1000 + age, 1000 + age))
    oldest = cache.find([1] * 101, most=1000, cuttable=1000)
    assert oldest is not None
    assert cache.restore(oldest, lambda state: state == bytes(1000))  # this counts as a use
    put(PrefixCache(tmp_path, "other", limit=5000), [4] * 100, size=1200)
    assert {saved.tokens[0] for saved in list_prefixes(tmp_path)} == {1, 3, 4}
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 5000


def test_a_state_larger_than_the_limit_is_not_saved(tmp_path: Path) -> None:
    cache = PrefixCache(tmp_path, "model", limit=5000)
    put(cache, [1] * 100, size=1000)
    put(cache, [2] * 100, size=5001)
    assert names(tmp_path) == {100}


def test_another_engine_finds_nothing(tmp_path: Path) -> None:
    Process(tmp_path).ask(STORY, save=True)
    assert Process(tmp_path, key="other").ask(STORY) == 0
    assert Process(tmp_path).ask(STORY) == len(STORY) - 1


def test_a_file_of_another_engine_is_deleted(tmp_path: Path) -> None:
    Process(tmp_path).ask(STORY, save=True)
    (path,) = files(tmp_path)
    Process(tmp_path / "others", key="other").ask(STORY, save=True)
    files(tmp_path / "others")[0].rename(path)
    assert Process(tmp_path).ask(STORY) == 0
    assert not files(tmp_path)


def damages(data: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "a part of the header": data[:20],
        "another magic": b"GGUF" + data[4:],
        "cut": data[:-1],
        "longer": data + b"\0",
        "a hole, as a power cut leaves it": data[:-300] + bytes(300),
        "zeros": bytes(len(data)),
        "text": b"Nothing to see here.\n" * 50,
    }


@pytest.mark.parametrize("damage", list(damages(bytes(64))))
def test_a_damaged_file_is_deleted_and_the_answer_is_right(tmp_path: Path, damage: str) -> None:
    Process(tmp_path).ask(STORY, save=True)
    (path,) = files(tmp_path)
    path.write_bytes(damages(path.read_bytes())[damage])
    process = Process(tmp_path)
    assert process.ask(STORY, save=True) == 0
    assert [len(saved.tokens) for saved in list_prefixes(tmp_path)] == [len(STORY) + 9]
    assert Process(tmp_path).ask(STORY) == len(STORY) - 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_every_changed_byte_is_detected(tmp_path_factory: pytest.TempPathFactory, place: float, change: int) -> None:
    path = tmp_path_factory.mktemp("state") / "one.state"
    state_file.write(path, "key", list(range(70)), "model", "text", memoryview(b"state" * 20))
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= change
    path.write_bytes(data)
    with pytest.raises(state_file.Damaged), state_file.open_state(path) as state:  # noqa: PT012
        state_file.read(path, "key")
        assert state != b"state" * 20, "the change is not detected"


def test_a_state_that_the_backend_refuses_is_deleted(tmp_path: Path) -> None:
    cache = PrefixCache(tmp_path, "model")
    cache.save(list(STORY.encode()), "", lambda: memoryview(b"[false, 0, [1, 2]]"), cuttable=True)
    assert Process(tmp_path).ask(STORY + "!") == 0
    assert not files(tmp_path)


def test_a_file_that_another_process_deleted_is_not_found(tmp_path: Path) -> None:
    Process(tmp_path).ask(STORY, save=True)
    cache = PrefixCache(tmp_path, "model")
    saved = cache.find(list(STORY.encode()), most=1000, cuttable=1000)
    assert saved is not None
    delete_prefixes(tmp_path)
    assert not cache.restore(saved, lambda state: True)
    assert cache.find(list(STORY.encode()), most=1000, cuttable=1000) is None


def test_concurrent_writers_leave_complete_files_within_the_limit(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def write(number: int) -> None:
        cache = PrefixCache(tmp_path, "model", limit=20_000)
        barrier.wait()
        for step in range(25):
            put(cache, [1] * (64 + step), size=1000, cuttable=False)  # the same as the others
            put(cache, [number] * 64 + [step], size=1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    saved = list_prefixes(tmp_path)
    assert saved
    assert len(saved) == len(list(tmp_path.iterdir()))
    for one in saved:
        with state_file.open_state(one.path) as state:
            assert state == bytes(1000)
    put(PrefixCache(tmp_path, "model", limit=20_000), [9] * 64)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000


def test_an_abandoned_incomplete_file_is_removed(tmp_path: Path) -> None:
    for name, age in ("old.tmp", 0.0), ("new.tmp", None):
        (tmp_path / name).write_bytes(b"half")
        if age is not None:
            os.utime(tmp_path / name, (age, age))
    put(PrefixCache(tmp_path, "model"), [1] * 100)
    assert {path.name for path in tmp_path.glob("*.tmp")} == {"new.tmp"}


def test_a_full_disk_leaves_no_incomplete_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs a limit on files")
    process = Process(tmp_path)
    process.ask(STORY)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OSError, match="too large"):
            process.engine.save_prefix()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
    process.engine.save_prefix()
    assert Process(tmp_path).ask(STORY) == len(STORY) - 1


def test_a_folder_that_cannot_be_created_raises_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    process = Process(tmp_path / "file" / "cache")
    assert process.ask(STORY) == 0
    with pytest.raises(OSError, match="file"):
        process.engine.save_prefix()


def test_short_texts_never_open_the_prefix_cache(tmp_path: Path) -> None:
    process = Process(tmp_path)
    process.ask(STORY[:64], tokens=1)
    assert process.opened == 0
    process.ask(STORY[:64], tokens=0, save=True)
    assert process.opened == 1
    assert len(files(tmp_path)) == 1
    assert Process(tmp_path).ask(STORY[:65]) == 64


def test_tokens_in_the_kv_cache_are_not_read_from_disk(tmp_path: Path) -> None:
    process = Process(tmp_path)
    assert process.ask(STORY, save=True) == 0
    delete_prefixes(tmp_path)
    assert process.ask(STORY + "?") == len(STORY)
    assert process.opened == 1
    Process(tmp_path).ask(STORY[:240], save=True)
    other = Process(tmp_path)
    assert other.ask(STORY[:200] + "#") == 200
    assert other.ask(STORY[:230]) == 200  # what the prefix cache has beyond that is not worth reading


def test_a_small_part_of_a_long_prefix_is_computed_rather_than_read(tmp_path: Path) -> None:
    long = "b" * 70 + STORY * 4
    Process(tmp_path).ask(long, save=True)
    assert Process(tmp_path).ask("b" * 70 + "another question") == 0


def test_a_prefix_longer_than_the_context_is_skipped(tmp_path: Path) -> None:
    Process(tmp_path).ask(STORY, save=True)
    cache = PrefixCache(tmp_path, "model")
    assert cache.find(list(STORY.encode()), most=len(STORY) + 8, cuttable=1000) is None
    assert cache.find(list(STORY.encode()), most=len(STORY) + 9, cuttable=1000) is not None
    small = Process(tmp_path, trained_context=300)
    assert small.ask(STORY[:200]) == 0
    larger = Process(tmp_path)
    assert larger.ask(STORY[:200], tokens=1) == 199  # in a context that was first made for 201 tokens
    assert larger.backend.config.cells >= len(STORY) + 9


def test_parallel_requests_restore_a_prefix(tmp_path: Path) -> None:
    Process(tmp_path).ask(STORY, tokens=0, save=True)
    backend = FakeBackend(cpu_threads=0)
    engine = LocalEngine(backend, parallel=3, open_prefix_cache=lambda: PrefixCache(tmp_path, "model"))
    rows = [
        Request(str(n), TextPrompt(f"{STORY}{n}".encode()), Sampling(seed=1), max_tokens=3, ignore_eos=True)
        for n in range(6)
    ]
    answers = collect(engine.stream(rows))
    for row in rows:
        assert answers.samples[row.id, 0].text == expected(row, 0, 4096)[0]
    assert backend.computed == 6 * 3


def test_clear_and_list(tmp_path: Path) -> None:
    assert list_prefixes(tmp_path / "nothing") == []
    assert delete_prefixes(tmp_path / "nothing") == 0
    Process(tmp_path).ask(STORY, tokens=0, save=True)
    (tmp_path / "bad.state").write_bytes(b"bad")
    (saved,) = list_prefixes(tmp_path)
    assert (saved.model, len(saved.tokens), saved.text) == ("tiny", len(STORY), f"{STORY[:60]} … {STORY[-60:]}")
    assert saved.size == saved.path.stat().st_size
    assert delete_prefixes(tmp_path) == saved.size + 3
    assert not list(tmp_path.iterdir())
    assert prefix_cache.LIMIT == 2 * 10**9
