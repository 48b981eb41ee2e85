"""Moving bytes: patience, several connections, senders that fail in every way, and the digest at the end."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptcli.errors import GptcliError, OfflineError
from gptcli.models.hub import connection_scaling as module_pace
from gptcli.models.hub import transfer as module
from gptcli.models.hub.connection_scaling import Pace, Patience
from gptcli.models.hub.part_file import BLOCK, PartFile
from gptcli.models.hub.transfer import Changed, Interrupted, transfer
from gptcli.models.report import Silent
from gptcli.models.store.content import Content

QUICK = Patience(tries=5, first=0.001, longest=0.002)


class Memory:
    """A sender with the file in memory; `plan(start)` may raise, or return how many bytes come before a cut."""

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


class Told(Silent):
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


def bring(path: Path, sender: Memory, report=None, patience=QUICK) -> str:
    hasher = hashlib.sha256()
    with PartFile(path, len(sender.data), "x") as part:
        transfer(sender, part, hasher, report or Silent(), "x", patience)
    assert path.read_bytes() == sender.data
    return hasher.hexdigest()


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(0, 3 * BLOCK + 5),
    cuts=st.lists(st.one_of(st.integers(0, 2 * BLOCK), st.just("refused")), max_size=8),
    ranges=st.booleans(),
)
def test_any_series_of_failures_ends_in_the_right_file(
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
    report = Told()
    digest = bring(
        tmp_path_factory.mktemp("parts") / "x",
        Memory(data, plan, ranges) if ranges else Whole(data, plan),
        report,
        Patience(tries=99, first=0.0001, longest=0.001),
    )
    assert digest == hashlib.sha256(data).hexdigest()
    assert report.done == size
    assert report.finished == 1


class Whole(Memory):
    """Ignores ranges: every answer is the file from its start, of which it drops what was not asked for."""

    def __init__(self, data: bytes, plan) -> None:
        super().__init__(data, plan, ranges=False)


def test_a_cut_within_a_run_costs_no_byte_twice(tmp_path: Path) -> None:
    cuts = [123_456, 700_001]
    sender = Memory(random.Random(1).randbytes(2 * BLOCK), lambda start: cuts.pop() if cuts else None)
    bring(tmp_path / "x", sender)
    assert sender.sent == len(sender.data)


def test_a_second_run_asks_only_for_what_is_missing(tmp_path: Path) -> None:
    data = random.Random(2).randbytes(5 * BLOCK)

    def die(start: int) -> int:
        if start:
            raise OfflineError("gone")
        return 2 * BLOCK + 5

    with pytest.raises(OfflineError):
        bring(tmp_path / "x", Memory(data, die))
    sender, report = Memory(data), Told()
    assert bring(tmp_path / "x", sender, report) == hashlib.sha256(data).hexdigest()
    assert sender.asked == [(2 * BLOCK, 5 * BLOCK)]
    assert report.done == 5 * BLOCK


def test_patience_ends_and_says_what_is_kept(tmp_path: Path) -> None:
    def fail(start: int) -> None:
        raise Interrupted("hub.example answered 503")

    sender = Memory(bytes(2_000_000), fail)
    with pytest.raises(OfflineError) as caught:
        bring(tmp_path / "x", sender)
    assert caught.value.message == "The download broke off after 0.0 of 2.0 MB: hub.example answered 503."
    assert "kept" in caught.value.hint
    assert len(sender.asked) == QUICK.tries


def test_progress_starts_patience_afresh(tmp_path: Path) -> None:
    sender = Memory(bytes(30), lambda start: 1)
    bring(tmp_path / "x", sender)
    assert len(sender.asked) == 30


def test_a_segment_that_arrived_starts_patience_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT", BLOCK)
    refused = set()

    def refuse_once(start: int) -> None:
        if start not in refused:
            refused.add(start)
            raise Interrupted("no")

    bring(tmp_path / "x", Memory(bytes(5 * BLOCK), refuse_once), patience=Patience(tries=2, first=0.001))


def test_a_sender_that_asks_for_too_long_a_wait_is_left(tmp_path: Path) -> None:
    def fail(start: int) -> None:
        raise Interrupted("hub.example answered 429", 3600)

    with pytest.raises(OfflineError, match="asks to wait 3600 s"):
        bring(tmp_path / "x", Memory(bytes(10), fail), patience=Patience())


def test_patience_doubles_up_to_its_longest_and_obeys() -> None:
    patience = Patience(first=1.0, longest=8.0)
    pauses = [patience.pause(failures, None) for failures in range(1, 7)]
    for pause, base in zip(pauses, [1, 2, 4, 8, 8, 8], strict=True):
        assert base <= pause <= base * 1.2
    assert patience.pause(1, 17.0) == 17.0


@pytest.mark.parametrize("error", [Changed(), GptcliError("x"), ZeroDivisionError()])
def test_what_the_sender_raises_ends_it_and_keeps_the_part(tmp_path: Path, error: Exception) -> None:
    def fail(start: int) -> int:
        if start:
            raise error
        return BLOCK

    with pytest.raises(type(error)):
        bring(tmp_path / "x", Memory(bytes(2 * BLOCK), fail))
    with PartFile(tmp_path / "x", 2 * BLOCK, "x") as part:
        assert part.kept == BLOCK


def test_ctrl_c_passes_at_once_although_the_sender_hangs(tmp_path: Path) -> None:
    class Interrupting(Told):
        def advance(self, count: int) -> None:
            if sender.asked:
                raise KeyboardInterrupt

    never = threading.Event()
    sender = Memory(bytes(BLOCK), lambda start: never.wait(20))
    with PartFile(tmp_path / "x", BLOCK, "x") as part, pytest.raises(KeyboardInterrupt):
        transfer(sender, part, hashlib.sha256(), Interrupting(), "x")
    never.set()


def test_several_connections_share_a_file_and_the_digest_is_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection waits until a second one is there, so that it ends only if there are several."""
    monkeypatch.setattr(module, "SEGMENT", BLOCK)
    monkeypatch.setattr(module_pace, "_WINDOW", 0.0)
    together = threading.Barrier(2, timeout=20)

    class Slow(Memory):
        def pieces(self, body: bytes) -> Iterator[bytes]:
            half = len(body) // 2
            yield body[:half]
            if len(self.asked) < 3:
                together.wait()
            yield body[half:]

    data = random.Random(3).randbytes(8 * BLOCK + 3)
    sender = Slow(data)
    assert bring(tmp_path / "x", sender) == hashlib.sha256(data).hexdigest()
    assert sorted(start for start, _ in sender.asked) == [BLOCK * n for n in range(9)]


def test_a_connection_that_fails_beside_others_leaves_its_work_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends without waiting, and what it brought of a block is not counted twice."""
    monkeypatch.setattr(module, "SEGMENT", BLOCK)
    monkeypatch.setattr(module_pace, "_WINDOW", 0.0)
    both, failed = threading.Barrier(2, timeout=20), threading.Event()

    class Half(Memory):
        begun = 0

        def pieces(self, body: bytes) -> Iterator[bytes]:
            with self.lock:
                self.begun += 1
                return self.parts(body, self.begun)

        def parts(self, body: bytes, mine: int) -> Iterator[bytes]:
            if mine <= 2:
                both.wait()
            yield body[:1000]
            if mine == 2:
                failed.set()
                raise Interrupted("cut")
            failed.wait(20)
            yield body[1000:]

    sender, report = Half(random.Random(5).randbytes(4 * BLOCK)), Told()
    bring(tmp_path / "x", sender, report, Patience(tries=1))
    assert report.done == 4 * BLOCK
    assert len(sender.asked) == 5


def pace_of(rates: dict[int, float], seconds: float = 40.0) -> Pace:
    """The pace after so long on a network that gives that many bytes a second by number of connections."""
    pace, received, now = Pace(), 0.0, 100.0
    while now < 100 + seconds:
        pace.observe(now, int(received), pace.wanted)
        received += rates[pace.wanted] * 0.1
        now += 0.1
    return pace


def test_connections_are_added_while_they_help() -> None:
    assert pace_of({n: 10e6 * n for n in range(1, 9)}).wanted == 8
    assert pace_of({n: 10e6 * min(n, 3) for n in range(1, 9)}).wanted == 3
    assert pace_of(dict.fromkeys(range(1, 9), 200e6)).wanted == 1


def test_a_pace_that_settled_never_grows() -> None:
    pace = Pace(wanted=4)
    pace.settle(2)
    for second in range(30):
        pace.observe(second, second * second * 10**8, pace.wanted)
    assert pace.wanted == 2
    pace.settle(0)
    assert pace.wanted == 1


@given(st.binary(max_size=300))
def test_content_knows_both_hashes_of_the_hub(data: bytes) -> None:
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    sha = hashlib.sha256(data).hexdigest()
    for etag, expected in ((sha, None), (git, None), (git, sha), ("odd", sha)):
        content = Content(etag, len(data), expected)
        content.update(memoryview(data))
        assert content.right
        assert content.sha256 == sha
        content.update(memoryview(b"x"))
        assert not content.right
    assert Content("odd", 1, None).promised is None
