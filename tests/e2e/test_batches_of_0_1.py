"""Batches that gptcli 0.1 was stopped in go on: the same command answers the rows that are missing, and no others."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from files_of_0_1 import FILES, OldJournal, read_journal
from shell import Outcome, call

COMMANDS: dict[str, list[str]] = json.loads((FILES / "batch/commands.json").read_bytes())
SOME_FAILED = 7
"""The exit code: each of the jobs has rows that cannot be answered."""


@dataclass(frozen=True, slots=True)
class Job:
    """One of the jobs, in the folder in which it is gone on with."""

    name: str
    model: Path

    @property
    def out(self) -> Path:
        return Path(COMMANDS[self.name][2])

    @property
    def journal(self) -> Path:
        return self.out.with_name(f"{self.out.name}.gptcli-journal")

    def files(self) -> dict[str, bytes]:
        """All that it has written so far, by name."""
        found = {path.as_posix(): path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        return {name: data for name, data in found.items() if not name.startswith(("prompts", "stats"))}

    def run(self, *more: str) -> Outcome:
        """The command by which 0.1 was started."""
        return call("batch", *COMMANDS[self.name], "-m", self.model, "-t", 1, "--stats-file", "stats.json", *more)

    def go_on(self, rows: int) -> dict[str, int]:
        """Run it to its end, checked by the counts of rows; the statistics."""
        answered = done(read_journal(self.journal))
        outcome = self.run()
        assert outcome.code == SOME_FAILED, outcome.err
        stats = json.loads(Path("stats.json").read_bytes())
        assert (stats["resumed"], stats["done"]) == (len(answered), rows - len(answered))
        assert 0 < stats["done"] < rows
        assert done(read_journal(self.journal)) == set(range(rows))
        return stats


def done(journal: OldJournal) -> set[int]:
    return {*journal.written, *journal.held}


@pytest.fixture
def job(request: pytest.FixtureRequest, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """The job that the test is called with, with all its files, in the current folder."""
    shutil.copytree(FILES / "batch" / request.param, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Job(request.param, tiny)


def of(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("job", names, indirect=True)


@of("jsonl")
def test_rows_that_wait_in_the_journal_get_their_turn(job: Job) -> None:
    before, journal = job.files(), read_journal(job.journal)
    assert len(journal.held) >= 8
    assert not Path("answers.jsonl").read_bytes().count(b'"long"')  # what they wait for
    job.go_on(36)
    answers, failed = Path("answers.jsonl").read_bytes(), Path("failed.jsonl").read_bytes()
    assert answers.startswith(before["answers.jsonl"])
    assert failed.startswith(before["failed.jsonl"])
    written = [json.loads(line) for line in answers.splitlines()]
    assert [line["custom_id"] for line in written] == [name for row, name in ids() if row not in (4, 14, 29)]
    assert [json.loads(line)["custom_id"] for line in failed.splitlines()] == ["line-5", "wrong", "line-30"]
    assert {line["response"]["body"]["created"] for line in written} == {journal.created}
    assert {line for line in journal.held.values() if line} <= set(answers.splitlines(keepends=True))


def ids() -> list[tuple[int, str]]:
    """The number and the name of every row of the JSONL input."""
    found = []
    for number, line in enumerate(Path("prompts.jsonl").read_text("utf-8").splitlines()):
        fields = json.loads(line) if line.startswith("{") else {}
        found.append((number, fields.get("id") or fields.get("custom_id") or f"line-{number + 1}"))
    return found


@of("csv")
def test_a_table_gets_its_other_rows(job: Job) -> None:
    before = job.files()["answers.csv"]
    job.go_on(24)
    assert Path("answers.csv").read_bytes().startswith(before)
    with open("prompts.csv", encoding="latin-1", newline="") as file:
        given = list(csv.reader(file))
    with open("answers.csv", encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == [*given[0], "answer", "answer_error"]
    assert [row[:4] for row in rows] == [row[:4] for row in given[1:]]
    failed = [number for number, row in enumerate(rows) if row[5]]
    assert failed == [3, 5, 19, 20]
    assert all(row[4] for number, row in enumerate(rows) if number not in failed)


@of("text")
def test_an_unordered_job_gets_its_other_rows(job: Job) -> None:
    before = job.files()["answers.jsonl"]
    job.go_on(24)
    after = Path("answers.jsonl").read_bytes()
    assert after.startswith(before)
    lines = [json.loads(line) for line in after.splitlines()]
    assert len({line["id"] for line in lines}) == len(lines) == 24
    assert sorted(line["line"] for line in lines if "error" in line) == [7, 63]
    assert all(len(line["choices"]) == 2 for line in lines if "error" not in line)


@of("folder")
def test_a_folder_gets_its_other_files(job: Job) -> None:
    before = job.files()
    old = {path: path.stat().st_mtime_ns for path in Path("answers").rglob("*.txt")}
    job.go_on(16)
    after = job.files()
    assert all(after[path.as_posix()] == before[path.as_posix()] for path in old)
    assert {path: path.stat().st_mtime_ns for path in old} == old
    prompts = {path.relative_to("prompts").as_posix() for path in Path("prompts").rglob("*.txt")}
    bad = {"deep/latin.txt", "story-99.txt"}
    assert {path.relative_to("answers").as_posix() for path in Path("answers").rglob("*.txt")} == prompts - bad
    assert after["answers.errors.jsonl"].startswith(before["answers.errors.jsonl"])
    errors = [json.loads(line) for line in after["answers.errors.jsonl"].splitlines()]
    assert [line["custom_id"] for line in errors] == ["deep/latin.txt", "story-99.txt"]


@of("jsonl", "csv", "text", "folder")
def test_once_complete_it_is_left_as_it_is(job: Job) -> None:
    assert job.run().code == SOME_FAILED
    complete = job.files()
    assert job.run().code == SOME_FAILED
    assert json.loads(Path("stats.json").read_bytes())["done"] == 0
    assert job.files() == complete


@of("jsonl", "csv", "text", "folder")
def test_another_command_is_refused(job: Job) -> None:
    before = job.files()
    assert job.run("--stop", "else").code == 2
    assert job.files() == before


@of("jsonl")
def test_a_journal_that_lost_its_end_costs_the_row_it_spoke_of(job: Job) -> None:
    whole, journal = done(read_journal(job.journal)), job.journal.read_bytes()
    job.journal.write_bytes(journal[:-3])  # as a power cut may leave it
    assert job.run().code == SOME_FAILED
    assert json.loads(Path("stats.json").read_bytes())["resumed"] == len(whole) - 1
    names = [json.loads(line)["custom_id"] for line in Path("answers.jsonl").read_bytes().splitlines()]
    assert names == [name for row, name in ids() if row not in (4, 14, 29)]
