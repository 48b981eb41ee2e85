"""Every row is written once, whatever was cut off, and no other file is overwritten."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest
from batch_engine import TinyEngine
from batch_job import Job
from hypothesis import given, settings
from hypothesis import strategies as st

from gptcli.batch.formats import OpenAILines, SimpleLines, TableRows
from gptcli.batch.journal import RowSet
from gptcli.errors import GptcliError, UsageError

BESIDE = ".gptcli-journal"


def write_rows(path: Path, count: int) -> None:
    path.write_text("".join(json.dumps({"id": f"r{n}", "prompt": f"prompt {n}"}) + "\n" for n in range(count)))


def ids(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `fsync` does shows only after a power cut; the cuts here are made by hand, hundreds of them."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    write_rows(path, 30)
    return path


def test_rows_are_in_input_order_though_they_end_in_another(source: Path, tmp_path: Path) -> None:
    engine = TinyEngine(8, longest=20)
    status = Job(source, tmp_path / "out", engine).run()
    assert ids(tmp_path / "out") == [f"r{n}" for n in range(30)]
    assert (status.done, status.failed, engine.most) == (30, 0, 8)
    Job(source, tmp_path / "as completed", TinyEngine(8, longest=20), ordered=False).run()
    assert ids(tmp_path / "as completed") != ids(tmp_path / "out")
    assert sorted(ids(tmp_path / "as completed")) == sorted(ids(tmp_path / "out"))


def test_a_finished_job_is_not_run_again(source: Path, tmp_path: Path) -> None:
    Job(source, tmp_path / "out").run()
    before = (tmp_path / "out").read_bytes()
    engine = TinyEngine()
    status = Job(source, tmp_path / "out", engine).run()
    assert (status.resumed, status.done, engine.pulled) == (30, 0, 0)
    assert (tmp_path / "out").read_bytes() == before


def test_rows_added_to_the_input_are_answered_and_no_others(source: Path, tmp_path: Path) -> None:
    Job(source, tmp_path / "out").run()
    write_rows(source, 40)
    engine = TinyEngine()
    Job(source, tmp_path / "out", engine).run()
    assert engine.pulled == 10
    assert ids(tmp_path / "out") == [f"r{n}" for n in range(40)]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_power_cut_at_any_byte_of_the_last_two_lines_loses_nothing(
    source: Path, tmp_path: Path, ordered: bool
) -> None:
    write_rows(source, 12)
    whole, out = tmp_path / "whole", tmp_path / "out"
    Job(source, whole, TinyEngine(4, 9), format=SimpleLines(), ordered=ordered).run()
    good, journal = whole.read_bytes(), whole.with_name("whole" + BESIDE).read_bytes()
    lines = good.splitlines(keepends=True)
    cuts = [(size, len(journal)) for size in range(len(good) - len(lines[-1]) - len(lines[-2]), len(good))]
    cuts += [(len(good), size) for size in range(len(journal) - 92, len(journal))]
    cuts += [(len(good) - 300, size) for size in range(len(journal) - 92, len(journal), 3)]
    for size, journal_size in cuts:
        out.write_bytes(good[:size])
        out.with_name("out" + BESIDE).write_bytes(journal[:journal_size])
        Job(source, out, TinyEngine(4, 9), format=SimpleLines(), ordered=ordered).run()
        assert sorted(out.read_bytes().splitlines()) == sorted(good.splitlines())
        if ordered:
            assert out.read_bytes() == good


class Stopped(Exception):
    """Something that nothing expects."""


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_stop_and_a_cut_anywhere_lose_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """The engine is stopped after some events, then both files lose their ends or get garbage, three times over."""
    folder = tmp_path_factory.mktemp("cut")
    source, out = folder / "in.jsonl", folder / "out"
    write_rows(source, 15)
    ordered = data.draw(st.booleans())

    class Stops(TinyEngine):
        def stream(self, requests):  # type: ignore[no-untyped-def]
            for number, event in enumerate(super().stream(requests)):
                if number == stop:
                    raise Stopped
                yield event

    for _ in range(3):
        stop = data.draw(st.integers(0, 60))
        with contextlib.suppress(Stopped):
            Job(source, out, Stops(4, 9), ordered=ordered).run()
        for path in (out, out.with_name("out" + BESIDE)):
            kept = data.draw(st.integers(60, 8000)) if path != out else data.draw(st.integers(0, 8000))
            path.write_bytes(path.read_bytes()[:kept] + data.draw(st.sampled_from([b"", b"\0" * 50, b"{garbage\n"])))
    Job(source, out, TinyEngine(4, 9), ordered=ordered).run()
    assert (ids(out) if ordered else sorted(ids(out), key=lambda name: int(name[1:]))) == [f"r{n}" for n in range(15)]
    shutil.rmtree(folder)


def test_a_row_that_waits_for_its_turn_is_not_computed_again(source: Path, tmp_path: Path) -> None:
    class FirstNeverEnds(TinyEngine):
        def stream(self, requests):  # type: ignore[no-untyped-def]
            for event in super().stream(requests):
                if event.id == "0" and type(event).__name__ == "Finished":
                    continue
                if event.id == "20":
                    raise GptcliError("stopped")
                yield event

    with pytest.raises(GptcliError, match="stopped"):
        Job(source, tmp_path / "out", FirstNeverEnds(4, 1)).run()
    assert (tmp_path / "out").read_bytes() == b""
    engine = TinyEngine()
    status = Job(source, tmp_path / "out", engine).run()
    assert status.resumed >= 15
    assert engine.pulled == 30 - status.resumed
    assert ids(tmp_path / "out") == [f"r{n}" for n in range(30)]


def test_the_journal_is_left_small(source: Path, tmp_path: Path) -> None:
    Job(source, tmp_path / "out", TinyEngine(30, 25)).run()
    assert (tmp_path / ("out" + BESIDE)).stat().st_size < 60 + 30 * 46


@pytest.mark.parametrize("ordered", [True, False])
def test_the_first_changed_row_is_named_with_what_it_is_now(source: Path, tmp_path: Path, ordered: bool) -> None:
    Job(source, tmp_path / "out", ordered=ordered).run()
    whole = source.read_text()
    source.write_text(whole.replace("prompt 7", "prompt seven").replace("prompt 9", "prompt nine"))
    with pytest.raises(UsageError, match="input has changed") as caught:
        Job(source, tmp_path / "out", ordered=ordered).run()
    assert "the row on line 8 ('r7') is not the one that was answered" in caught.value.message
    assert 'It is now {"id": "r7", "prompt": "prompt seven"}.' in caught.value.message
    source.write_text(whole.replace('{"id": "r7"', "", 1))
    with pytest.raises(UsageError, match=r"on line 8 is not .* Now it is bad: Invalid JSON"):
        Job(source, tmp_path / "out", ordered=ordered).run()
    write_rows(source, 29)
    with pytest.raises(UsageError, match="1 rows that were answered"):
        Job(source, tmp_path / "out", ordered=ordered).run()


def test_other_settings_are_refused_and_named(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Job(source, out, settings={"model": "a", "stop": ("x",)}).run()
    Job(source, out, settings={"model": "a", "stop": ("x",)}).run()
    with pytest.raises(UsageError, match="model was 'a' and is 'b'"):
        Job(source, out, settings={"model": "b", "stop": ("x",)}).run()
    before = out.read_bytes()
    status = Job(source, out, settings={"model": "b"}, overwrite=True).run()
    assert (status.done, out.read_bytes()) == (30, before)


def test_a_file_that_is_not_a_batch_output_is_left_alone(source: Path, tmp_path: Path) -> None:
    out, errors = tmp_path / "out", tmp_path / "errors"
    out.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        Job(source, out).run()
    assert out.read_text() == "precious"
    assert not out.with_name("out" + BESIDE).exists()
    errors.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        Job(source, tmp_path / "new", errors=errors).run()
    assert errors.read_text() == "precious"


def test_a_damaged_journal_is_reported_and_the_output_left_alone(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Job(source, out).run()
    before = out.read_bytes()
    out.with_name("out" + BESIDE).write_bytes(b"\0" * 100)
    with pytest.raises(UsageError, match="damaged"):
        Job(source, out).run()
    assert out.read_bytes() == before


def test_a_removed_output_is_made_again_with_any_settings(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Job(source, out, settings={"model": "a"}).run()
    out.unlink()
    assert Job(source, out, settings={"model": "a"}).run().done == 30
    out.unlink()
    assert Job(source, out, settings={"model": "b"}).run().done == 30
    assert len(ids(out)) == 30


def test_two_processes_do_not_write_one_output(source: Path, tmp_path: Path) -> None:
    class Meanwhile(TinyEngine):
        def stream(self, requests):  # type: ignore[no-untyped-def]
            with pytest.raises(GptcliError, match="Another gptcli"):
                Job(source, tmp_path / "out").run()
            yield from super().stream(requests)

    assert Job(source, tmp_path / "out", Meanwhile()).run().done == 30


def test_errors_go_to_their_own_file_and_both_are_resumed(tmp_path: Path) -> None:
    source, out, errors = tmp_path / "in.jsonl", tmp_path / "out", tmp_path / "errors"
    source.write_text("".join(f'{{"prompt": "{n}"}}\n' if n % 3 else "bad\n" for n in range(12)))

    def job() -> Job:
        return Job(source, out, TinyEngine(4, 5), errors=errors, format=OpenAILines("tiny", 1, separate_errors=True))

    job().run()
    good, bad = out.read_bytes(), errors.read_bytes()
    assert (len(good.splitlines()), len(bad.splitlines())) == (8, 4)
    for path in (out, errors):
        path.write_bytes(path.read_bytes()[:-10])
        status = job().run()
        assert status.failed_ever == 4
        assert (out.read_bytes(), errors.read_bytes()) == (good, bad)


def test_a_tables_header_is_written_once(tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\na\nb\n")

    def run() -> None:
        Job(source, out, format=TableRows(["text"], ",", "\n", "answer", separate_errors=False)).run()

    run()
    whole = out.read_bytes()
    for size in range(len(whole)):
        out.write_bytes(whole[:size])
        run()
        assert out.read_bytes() == whole


@given(st.permutations(range(12)), st.integers(0, 12))
def test_a_row_set_knows_its_rows_in_any_order(order: list[int], count: int) -> None:
    rows = RowSet()
    for number in order[:count]:
        rows.add(number, number * 7)
    assert rows.unseen == count
    assert [rows.digest(number) for number in range(12)] == [n * 7 if n in order[:count] else None for n in range(12)]
    assert rows.unseen == 0
