"""Downloads: retries, several connections, servers that fail in every way, and the digest at the end."""

from __future__ import annotations

import hashlib
import queue
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptcli.errors import GptcliError, OfflineError
from gptcli.models.hub import connections
from gptcli.models.hub.connections import ConnectionScaling, download
from gptcli.models.hub.part_file import BLOCK, PartFile
from gptcli.models.hub.session import Backoff, FileChanged, Interrupted
from gptcli.models.progress import Silent
from gptcli.models.store.integrity import Digest

QUICK = Backoff(tries=5, first=0.001, longest=0.002)


class Memory:
    """A source with the file in memory; `plan(start)` may raise, or return the number of bytes before a cut."""

    name = "x"

    def __init__(self, data: bytes, plan=lambda start: None, ranges: bool = True) -> None:
        self.data = data
        self.plan = plan
        self.ranges = True
        self.sends_ranges = ranges
        self.sent = 0
        self.asked: list[tuple[int, int]] = []
        self.lock = threading.Lock()

    @contextmanager
    def read(self, start: int, stop: int) -> Iterator[Iterator[bytes]]:
        with self.lock:
            self.asked.append((start, stop))
        cut = self.plan(start)
        self.ranges = self.sends_ranges
        body = self.data[start:stop] if self.sends_ranges else self.data[start:]
        yield self.pieces(body if cut is None else body[:cut])

    def pieces(self, body: bytes) -> Iterator[bytes]:
        for at in range(0, len(body), 50_000):
            with self.lock:
                self.sent += len(body[at : at + 50_000])
            yield body[at : at + 50_000]


class Recorder(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done = 0
        self.finished = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, count: int) -> None:
        self.done += count

    def finish(self) -> None:
        self.finished += 1


def run(path: Path, source: Memory, report=None, backoff=QUICK) -> str:
    digest = hashlib.sha256()
    with PartFile(path, len(source.data), "x") as part:
        download(source, part, digest, report or Silent(), backoff)
    assert path.read_bytes() == source.data
    return digest.hexdigest()


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(0, 3 * BLOCK + 5),
    cuts=st.lists(st.one_of(st.integers(0, 2 * BLOCK), st.just("refused")), max_size=8),
    ranges=st.booleans(),
)
def test_any_series_of_failures_ends_with_the_right_file(
    tmp_path_factory: pytest.TempPathFactory, size: int, cuts: list, ranges: bool
) -> None:
    def plan(start: int) -> int | None:
        if not todo:
            return None
        what = todo.pop(0)
        if what == "refused":
            raise Interrupted("no")
        return what

    todo, data = list(cuts), random.Random(size).randbytes(size)
    report = Recorder()
    digest = run(
        tmp_path_factory.mktemp("parts") / "x",
        Memory(data, plan, ranges) if ranges else Whole(data, plan),
        report,
        Backoff(tries=99, first=0.0001, longest=0.001),
    )
    assert digest == hashlib.sha256(data).hexdigest()
    assert report.done == size
    assert report.finished == 1


class Whole(Memory):
    """Ignores ranges: every response is the whole file, from which the start is dropped."""

    def __init__(self, data: bytes, plan) -> None:
        super().__init__(data, plan, ranges=False)


def test_a_cut_within_a_range_downloads_no_byte_twice(tmp_path: Path) -> None:
    cuts = [123_456, 700_001]
    source = Memory(random.Random(1).randbytes(2 * BLOCK), lambda start: cuts.pop() if cuts else None)
    run(tmp_path / "x", source)
    assert source.sent == len(source.data)


def test_a_second_run_requests_only_the_missing_bytes(tmp_path: Path) -> None:
    data = random.Random(2).randbytes(5 * BLOCK)

    def die(start: int) -> int:
        if start:
            raise OfflineError("gone")
        return 2 * BLOCK + 5

    with pytest.raises(OfflineError):
        run(tmp_path / "x", Memory(data, die))
    source, report = Memory(data), Recorder()
    assert run(tmp_path / "x", source, report) == hashlib.sha256(data).hexdigest()
    assert source.asked == [(2 * BLOCK, 5 * BLOCK)]
    assert report.done == 5 * BLOCK


def test_the_last_retry_reports_what_is_kept(tmp_path: Path) -> None:
    def fail(start: int) -> None:
        raise Interrupted("hub.example answered 503")

    source = Memory(bytes(2_000_000), fail)
    with pytest.raises(OfflineError) as caught:
        run(tmp_path / "x", source)
    assert caught.value.message == "The download stopped after 0.0 of 2.0 MB: hub.example answered 503."
    assert "kept" in caught.value.hint
    assert len(source.asked) == QUICK.tries


def test_progress_resets_the_retries(tmp_path: Path) -> None:
    source = Memory(bytes(30), lambda start: 1)
    run(tmp_path / "x", source)
    assert len(source.asked) == 30


def test_a_complete_segment_resets_the_retries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SEGMENT", BLOCK)
    refused = set()

    def refuse_once(start: int) -> None:
        if start not in refused:
            refused.add(start)
            raise Interrupted("no")

    run(tmp_path / "x", Memory(bytes(5 * BLOCK), refuse_once), backoff=Backoff(tries=2, first=0.001))


def test_too_long_a_retry_after_ends_the_download(tmp_path: Path) -> None:
    def fail(start: int) -> None:
        raise Interrupted("hub.example answered 429", 3600)

    with pytest.raises(OfflineError, match="asks to wait 3600 s"):
        run(tmp_path / "x", Memory(bytes(10), fail), backoff=Backoff())


def test_pauses_double_up_to_the_longest_and_honour_retry_after() -> None:
    backoff = Backoff(first=1.0, longest=8.0)
    pauses = [backoff.pause(failures, None) for failures in range(1, 7)]
    for pause, base in zip(pauses, [1, 2, 4, 8, 8, 8], strict=True):
        assert base <= pause <= base * 1.2
    assert backoff.pause(1, 17.0) == 17.0


@pytest.mark.parametrize("error", [FileChanged(), GptcliError("x"), ZeroDivisionError()])
def test_errors_of_the_source_end_the_download_and_keep_the_part(tmp_path: Path, error: Exception) -> None:
    def fail(start: int) -> int:
        if start:
            raise error
        return BLOCK

    with pytest.raises(type(error)):
        run(tmp_path / "x", Memory(bytes(2 * BLOCK), fail))
    with PartFile(tmp_path / "x", 2 * BLOCK, "x") as part:
        assert part.kept == BLOCK


def test_ctrl_c_ends_a_blocked_download_at_once(tmp_path: Path) -> None:
    class Interrupting(Recorder):
        def advance(self, count: int) -> None:
            if source.asked:
                raise KeyboardInterrupt

    never = threading.Event()
    source = Memory(bytes(BLOCK), lambda start: never.wait(20))
    with PartFile(tmp_path / "x", BLOCK, "x") as part, pytest.raises(KeyboardInterrupt):
        download(source, part, hashlib.sha256(), Interrupting())
    never.set()


def test_several_connections_share_a_file_and_the_digest_is_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection waits until a second one is there, so that it ends only if there are several."""
    monkeypatch.setattr(connections, "SEGMENT", BLOCK)
    monkeypatch.setattr(connections, "_WINDOW", 0.0)
    together = threading.Barrier(2, timeout=20)

    class Slow(Memory):
        def pieces(self, body: bytes) -> Iterator[bytes]:
            half = len(body) // 2
            yield body[:half]
            if len(self.asked) < 3:
                together.wait()
            yield body[half:]

    data = random.Random(3).randbytes(8 * BLOCK + 3)
    source = Slow(data)
    assert run(tmp_path / "x", source) == hashlib.sha256(data).hexdigest()
    assert sorted(start for start, _ in source.asked) == [BLOCK * n for n in range(9)]


def test_the_range_of_a_failed_connection_goes_to_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends without waiting, and its bytes of an incomplete block are not counted twice."""
    monkeypatch.setattr(connections, "SEGMENT", BLOCK)
    monkeypatch.setattr(connections, "_WINDOW", 0.0)
    both, failing = threading.Barrier(2, timeout=20), queue.SimpleQueue[threading.Thread]()

    class Half(Memory):
        started = 0

        def pieces(self, body: bytes) -> Iterator[bytes]:
            with self.lock:
                self.started += 1
                return self.parts(body, self.started)

        def parts(self, body: bytes, mine: int) -> Iterator[bytes]:
            if mine <= 2:
                both.wait()
            yield body[:1000]
            if mine == 2:
                failing.put(threading.current_thread())
                raise Interrupted("cut")
            if mine == 1:
                failing.get(timeout=20).join(20)  # else this one may end first, and the other is the last
            yield body[1000:]

    source, report = Half(random.Random(5).randbytes(4 * BLOCK)), Recorder()
    run(tmp_path / "x", source, report, Backoff(tries=1))
    assert report.done == 4 * BLOCK
    assert len(source.asked) == 5


def scale(rates: dict[int, float], seconds: float = 40.0) -> int:
    """The number of connections after so long on a network with these bytes per second by number of connections."""
    scaling, received, now = ConnectionScaling(), 0.0, 100.0
    while now < 100 + seconds:
        scaling.observe(now, int(received), scaling.wanted)
        received += rates[scaling.wanted] * 0.1
        now += 0.1
    return scaling.wanted


def test_connections_are_added_while_they_help() -> None:
    assert scale({n: 10e6 * n for n in range(1, 9)}) == 8
    assert scale({n: 10e6 * min(n, 3) for n in range(1, 9)}) == 3
    assert scale(dict.fromkeys(range(1, 9), 200e6)) == 1


def test_settled_scaling_adds_no_connection() -> None:
    scaling = ConnectionScaling(wanted=4)
    scaling.settle(2)
    for second in range(30):
        scaling.observe(second, second * second * 10**8, scaling.wanted)
    assert scaling.wanted == 2
    scaling.settle(0)
    assert scaling.wanted == 1


@given(st.binary(max_size=300))
def test_a_digest_checks_both_hashes_of_the_hub(data: bytes) -> None:
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    sha = hashlib.sha256(data).hexdigest()
    for etag, expected in ((sha, None), (git, None), (git, sha), ("odd", sha)):
        digest = Digest(etag, len(data), expected)
        digest.update(memoryview(data))
        assert digest.matches
        assert digest.sha256 == sha
        digest.update(memoryview(b"x"))
        assert not digest.matches
    assert Digest("odd", 1, None).expected is None
