"""A batch whose rows are computed in two threads: interrupted, killed and resumed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from shell import Shell, interrupt

from gptcli.errors import ExitCode

ROWS = 160
LEAST_SAME = 0.9
"""The rows that are computed beside a greedy row can change a close choice, rarely if rows share little."""
SECONDS = 1.0
"""From Ctrl-C to the end, on a busy machine too."""


@pytest.fixture
def job(starter_shell: Shell, tmp_path: Path) -> tuple[str | Path, ...]:
    """Sixteen rows in each of two threads, which do not wait for each other: other work slows them down no more than
    its share."""
    source = tmp_path / "in.jsonl"
    source.write_text(
        "".join(
            json.dumps({"id": n, "prompt": f"{n} kings and their daughters went to the"}) + "\n" for n in range(ROWS)
        )
    )
    flags = ("-m", "smollm2", "-t", "2", "--parallel", "32", "-n", "24", "--temp", "0", "--ignore-eos")
    return ("batch", source, *flags, "-o", tmp_path / "out.jsonl", "--out-format", "simple")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for_rows(path: Path, more_than: int) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") <= more_than:
        assert time.monotonic() < deadline, "no row came"
        time.sleep(0.01)


def test_a_job_is_interrupted_killed_and_resumed(
    starter_shell: Shell, tmp_path: Path, job: tuple[str | Path, ...]
) -> None:
    out = tmp_path / "out.jsonl"
    with starter_shell.start(*job) as process:
        wait_for_rows(out, 8)
        outcome, seconds = interrupt(process)
    assert outcome.code == ExitCode.INTERRUPTED
    assert "Traceback" not in outcome.err
    assert seconds < SECONDS
    kept = len(lines(out))
    assert 8 < kept < ROWS
    with starter_shell.start(*job) as process:
        wait_for_rows(out, kept)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(lines(out)) < ROWS
    assert starter_shell.run(*job, "-q").code == 0
    assert [line["id"] for line in lines(out)] == [str(n) for n in range(ROWS)]
    assert all(line["usage"]["completion_tokens"] == 24 for line in lines(out))  # type: ignore[index]
    stopped = lines(out)
    assert starter_shell.run(*job, "-q", "--overwrite").code == 0
    same = sum(one["text"] == other["text"] for one, other in zip(stopped, lines(out), strict=True))
    assert same >= ROWS * LEAST_SAME, f"{ROWS - same} of {ROWS} rows differ from those of a job that ran through"
