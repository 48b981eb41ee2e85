"""Computed prefixes on disk: the same text with and without, the longest one found, nothing wrong ever believed."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from answers import collect, expected
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptcli.engine import prefix_cache as shelves
from gptcli.engine import state_file as statefile
from gptcli.engine.backend import MemoryKind
from gptcli.engine.engine import LocalEngine
from gptcli.engine.fake import FakeBackend
from gptcli.engine.prefix_cache import PrefixCache, clear, kept_in
from gptcli.engine.slots import common_prefix
from gptcli.params import Sampling
from gptcli.types import Finished, Request, TextPrompt

STORY = "Once upon a time there was a king who had three daughters, and none of them could count. " * 4


class Process:
    """What one run of gptcli has: a fresh backend, an engine, and the shelf that all of them share."""

    def __init__(self, folder: Path, *, key: str = "model", limit: int = 10**9, **backend: object) -> None:
        self.backend = FakeBackend(**backend)  # type: ignore[arg-type]
        self.opened = 0
        self._arguments = folder, key, "tiny", limit
        self.engine = LocalEngine(self.backend, shelf=self._open)

    def _open(self) -> PrefixCache:
        self.opened += 1
        return PrefixCache(*self._arguments)

    def ask(self, prompt: str, *, tokens: int = 10, keep: bool = False) -> int:
        """Answer, checked against the reference, and perhaps kept; returns how many tokens were reused."""
        request = Request("r", TextPrompt(prompt.encode()), Sampling(seed=1), max_tokens=tokens, ignore_eos=True)
        answer = collect(self.engine.stream([request])).samples["r", 0]
        assert answer.text == expected(request, 0, self.backend.trained_context)[0]
        if keep:
            self.engine.shelve()
        assert isinstance(answer.finished, Finished)
        return answer.finished.reused_tokens


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.state"))


@pytest.mark.parametrize("memory", MemoryKind)
def test_another_process_goes_on_where_the_first_one_ended(tmp_path: Path, memory: MemoryKind) -> None:
    first = Process(tmp_path, memory=memory, window=16)
    assert first.ask(STORY, keep=True) == 0
    said = expected(Request("r", TextPrompt(STORY.encode()), Sampling(seed=1), 10, ignore_eos=True), 0, 4096)[0]
    second = Process(tmp_path, memory=memory, window=16)
    # The last token that was sampled was never computed.
    assert second.ask(f"{STORY}{said}And then?") == len(STORY) + 9
    assert second.backend.computed == 1 + len("And then?") + 9


@pytest.mark.parametrize(
    ("memory", "window", "reused"),
    [
        (MemoryKind.ATTENTION, 0, len(STORY) - 1),
        (MemoryKind.WINDOW, 500, len(STORY) - 1),
        (MemoryKind.WINDOW, 16, 0),  # it has moved on, and does not hold what a cut would look at
        (MemoryKind.RECURRENT, 0, 0),
    ],
)
def test_what_goes_beyond_the_prompt_is_cut_off_where_memory_can_be_cut(
    tmp_path: Path, memory: MemoryKind, window: int, reused: int
) -> None:
    Process(tmp_path, memory=memory, window=window).ask(STORY, keep=True)
    assert Process(tmp_path, memory=memory, window=window).ask(STORY) == reused


def test_a_prompt_kept_without_an_answer_serves_a_memory_that_cannot_be_cut(tmp_path: Path) -> None:
    Process(tmp_path, memory=MemoryKind.RECURRENT).ask(STORY, tokens=0, keep=True)
    for question in "Who?", "When was that?":
        assert Process(tmp_path, memory=MemoryKind.RECURRENT).ask(STORY + question) == len(STORY)


@pytest.mark.parametrize("memory", [MemoryKind.RECURRENT, MemoryKind.WINDOW])
def test_a_memory_that_cannot_be_cut_takes_what_fits_and_not_what_shares_most(
    tmp_path: Path, memory: MemoryKind
) -> None:
    for prompt in STORY[:100], STORY[:200] + "#":
        Process(tmp_path, memory=memory, window=16).ask(prompt, tokens=0, keep=True)
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
    folder = tmp_path_factory.mktemp("shelf")
    for asked in runs:
        process = Process(folder, memory=memory, window=window, limit=limit, capacity=capacity, trained_context=350)
        for text in asked:
            process.ask(text, keep=True)  # (which compares)
        assert sum(path.stat().st_size for path in folder.iterdir()) <= limit


@given(
    kept=st.lists(st.tuples(st.integers(64, 200), st.integers(0, 60), st.integers(1, 3)), min_size=1, max_size=6),
    shared=st.integers(60, 200),
    at_hand=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_the_longest_prefix_wins(
    tmp_path_factory: pytest.TempPathFactory, kept: list[tuple[int, int, int]], shared: int, at_hand: int
) -> None:
    folder = tmp_path_factory.mktemp("shelf")
    entries = [[7] * common + [8 + number] * more for common, more, number in kept]
    writer = PrefixCache(folder, "model")
    for tokens in entries:
        writer.put(tokens, "", lambda: memoryview(b"state"), cuttable=False)
    wanted = [7] * shared + [100] * 50
    found = PrefixCache(folder, "model").find(wanted, at_hand, most=10**6, cuttable=10**6)
    lengths = [min(common, shared) if more or common < shared else shared for common, more, _ in kept]
    usable = [length for length in lengths if length - at_hand >= 64]
    if found is None:
        assert not usable
    else:
        assert common_prefix(found.tokens, wanted) == max(usable)


@pytest.fixture
def shelf(tmp_path: Path) -> PrefixCache:
    return PrefixCache(tmp_path / "deep" / "shelf", "model", "tiny")


def put(shelf: PrefixCache, tokens: list[int], *, size: int = 1000, cuttable: bool = True) -> None:
    shelf.put(tokens, "text", lambda: memoryview(bytes(size)), cuttable=cuttable)


def names(folder: Path) -> set[int]:
    """The numbers of tokens that are kept."""
    return {len(kept.tokens) for kept in kept_in(folder)}


def test_files_are_private(shelf: PrefixCache, tmp_path: Path) -> None:
    put(shelf, list(range(100)))
    (path,) = files(tmp_path / "deep" / "shelf")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_longer_one_replaces_the_shorter_where_it_can_be_cut(shelf: PrefixCache, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "shelf"
    put(shelf, list(range(100)))
    put(shelf, list(range(200)))
    put(shelf, [*range(150), 0])
    assert names(folder) == {200, 151}
    put(shelf, list(range(120)))  # is in the longer one already
    assert names(folder) == {200, 151}
    put(shelf, list(range(110)), cuttable=False)
    put(shelf, list(range(210)), cuttable=False)
    assert names(folder) == {200, 151, 110, 210}


def test_what_is_kept_already_is_not_computed_nor_written_again(shelf: PrefixCache, tmp_path: Path) -> None:
    put(shelf, list(range(100)))
    (path,) = files(tmp_path / "deep" / "shelf")
    before = path.stat().st_ino

    def never() -> memoryview:
        raise AssertionError("the state was asked for")

    PrefixCache(path.parent, "model").put(list(range(100)), "", never, cuttable=True)
    assert path.stat().st_ino == before


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    shelf = PrefixCache(tmp_path, "model", limit=5000)
    for age, first in enumerate([1, 2, 3]):
        put(shelf, [first] * 100, size=1000)
        (path,) = [kept.path for kept in kept_in(tmp_path) if kept.tokens[0] == first]
        os.utime(path, (1000 + age, 1000 + age))
    oldest = shelf.find([1] * 101, most=1000, cuttable=1000)
    assert oldest is not None
    with shelf.take(oldest) as state:  # which is a use
        assert state == bytes(1000)
    put(PrefixCache(tmp_path, "other", limit=5000), [4] * 100, size=1200)
    assert {kept.tokens[0] for kept in kept_in(tmp_path)} == {1, 3, 4}
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 5000


def test_one_that_is_larger_than_everything_may_be_is_not_kept(tmp_path: Path) -> None:
    shelf = PrefixCache(tmp_path, "model", limit=5000)
    put(shelf, [1] * 100, size=1000)
    put(shelf, [2] * 100, size=5001)
    assert names(tmp_path) == {100}


def test_another_engine_finds_nothing(tmp_path: Path) -> None:
    Process(tmp_path).ask(STORY, keep=True)
    assert Process(tmp_path, key="other").ask(STORY) == 0
    assert Process(tmp_path).ask(STORY) == len(STORY) - 1


def test_what_says_to_be_of_another_engine_is_thrown_away(tmp_path: Path) -> None:
    Process(tmp_path).ask(STORY, keep=True)
    (path,) = files(tmp_path)
    Process(tmp_path / "others", key="other").ask(STORY, keep=True)
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
def test_what_is_damaged_is_thrown_away_and_the_answer_is_right(tmp_path: Path, damage: str) -> None:
    Process(tmp_path).ask(STORY, keep=True)
    (path,) = files(tmp_path)
    path.write_bytes(damages(path.read_bytes())[damage])
    process = Process(tmp_path)
    assert process.ask(STORY, keep=True) == 0
    assert [len(kept.tokens) for kept in kept_in(tmp_path)] == [len(STORY) + 9]
    assert Process(tmp_path).ask(STORY) == len(STORY) - 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_no_changed_byte_is_believed(tmp_path_factory: pytest.TempPathFactory, place: float, change: int) -> None:
    path = tmp_path_factory.mktemp("state") / "one.state"
    statefile.write(path, "key", list(range(70)), "model", "text", memoryview(b"state" * 20))
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= change
    path.write_bytes(data)
    with pytest.raises(statefile.Damaged), statefile.open_state(path) as state:  # noqa: PT012
        statefile.read(path, "key")
        assert state != b"state" * 20, "the change is not seen"


def test_a_state_that_the_backend_refuses_is_thrown_away(tmp_path: Path) -> None:
    shelf = PrefixCache(tmp_path, "model")
    shelf.put(list(STORY.encode()), "", lambda: memoryview(b"[false, 0, [1, 2]]"), cuttable=True)
    assert Process(tmp_path).ask(STORY + "!") == 0
    assert not files(tmp_path)


def test_one_that_another_process_has_thrown_away_is_not_missed(tmp_path: Path) -> None:
    Process(tmp_path).ask(STORY, keep=True)
    shelf = PrefixCache(tmp_path, "model")
    kept = shelf.find(list(STORY.encode()), most=1000, cuttable=1000)
    assert kept is not None
    clear(tmp_path)
    with shelf.take(kept) as state:
        assert state is None
    assert shelf.find(list(STORY.encode()), most=1000, cuttable=1000) is None


def test_writers_side_by_side_leave_whole_files_within_the_limit(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def write(number: int) -> None:
        shelf = PrefixCache(tmp_path, "model", limit=20_000)
        barrier.wait()
        for step in range(25):
            put(shelf, [1] * (64 + step), size=1000, cuttable=False)  # the same ones as the others
            put(shelf, [number] * 64 + [step], size=1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = kept_in(tmp_path)
    assert kept
    assert len(kept) == len(list(tmp_path.iterdir()))
    for one in kept:
        with statefile.open_state(one.path) as state:
            assert state == bytes(1000)
    put(PrefixCache(tmp_path, "model", limit=20_000), [9] * 64)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000


def test_what_somebody_began_to_write_is_removed_once_it_is_nobodys(tmp_path: Path) -> None:
    for name, age in ("old.tmp", 0.0), ("new.tmp", None):
        (tmp_path / name).write_bytes(b"half")
        if age is not None:
            os.utime(tmp_path / name, (age, age))
    put(PrefixCache(tmp_path, "model"), [1] * 100)
    assert {path.name for path in tmp_path.glob("*.tmp")} == {"new.tmp"}


def test_a_disk_without_room_leaves_no_half_a_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs a limit on files")
    process = Process(tmp_path)
    process.ask(STORY)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OSError, match="too large"):
            process.engine.shelve()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
    process.engine.shelve()
    assert Process(tmp_path).ask(STORY) == len(STORY) - 1


def test_a_folder_that_cannot_be_made_is_an_os_error_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    process = Process(tmp_path / "file" / "shelf")
    assert process.ask(STORY) == 0
    with pytest.raises(OSError, match="file"):
        process.engine.shelve()


def test_short_texts_never_open_it(tmp_path: Path) -> None:
    process = Process(tmp_path)
    process.ask(STORY[:64], tokens=1)
    assert process.opened == 0
    process.ask(STORY[:64], tokens=0, keep=True)
    assert process.opened == 1
    assert len(files(tmp_path)) == 1
    assert Process(tmp_path).ask(STORY[:65]) == 64


def test_what_rests_already_is_not_read_again(tmp_path: Path) -> None:
    process = Process(tmp_path)
    assert process.ask(STORY, keep=True) == 0
    clear(tmp_path)
    assert process.ask(STORY + "?") == len(STORY)
    assert process.opened == 1
    Process(tmp_path).ask(STORY[:240], keep=True)
    other = Process(tmp_path)
    assert other.ask(STORY[:200] + "#") == 200
    assert other.ask(STORY[:230]) == 200  # what the shelf has beyond that is not worth it


def test_little_of_a_long_one_is_computed_sooner_than_read(tmp_path: Path) -> None:
    long = "b" * 70 + STORY * 4
    Process(tmp_path).ask(long, keep=True)
    assert Process(tmp_path).ask("b" * 70 + "another question") == 0


def test_one_that_is_longer_than_the_context_is_passed_over(tmp_path: Path) -> None:
    Process(tmp_path).ask(STORY, keep=True)
    shelf = PrefixCache(tmp_path, "model")
    assert shelf.find(list(STORY.encode()), most=len(STORY) + 8, cuttable=1000) is None
    assert shelf.find(list(STORY.encode()), most=len(STORY) + 9, cuttable=1000) is not None
    small = Process(tmp_path, trained_context=300)
    assert small.ask(STORY[:200]) == 0
    larger = Process(tmp_path)
    assert larger.ask(STORY[:200], tokens=1) == 199  # in a context that was first made for 201 tokens
    assert larger.backend.cells >= len(STORY) + 9


def test_rows_side_by_side_take_their_beginning_from_it(tmp_path: Path) -> None:
    Process(tmp_path).ask(STORY, tokens=0, keep=True)
    backend = FakeBackend()
    engine = LocalEngine(backend, parallel=3, shelf=lambda: PrefixCache(tmp_path, "model"))
    rows = [
        Request(str(n), TextPrompt(f"{STORY}{n}".encode()), Sampling(seed=1), max_tokens=3, ignore_eos=True)
        for n in range(6)
    ]
    answers = collect(engine.stream(rows))
    for row in rows:
        assert answers.samples[row.id, 0].text == expected(row, 0, 4096)[0]
    assert backend.computed == 6 * 3


def test_clear_and_list(tmp_path: Path) -> None:
    assert kept_in(tmp_path / "nothing") == []
    assert clear(tmp_path / "nothing") == 0
    Process(tmp_path).ask(STORY, tokens=0, keep=True)
    (tmp_path / "bad.state").write_bytes(b"bad")
    (kept,) = kept_in(tmp_path)
    assert (kept.model, len(kept.tokens), kept.text) == ("tiny", len(STORY), f"{STORY[:60]} … {STORY[-60:]}")
    assert kept.size == kept.path.stat().st_size
    assert clear(tmp_path) == kept.size + 3
    assert not list(tmp_path.iterdir())
    assert shelves.LIMIT == 2 * 10**9
