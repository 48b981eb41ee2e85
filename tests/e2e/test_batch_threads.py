"""A batch whose rows are computed in two threads: interrupted, killed and resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from shell import Shell, interrupt

from gptcli.errors import ExitCode

ROWS = 128
LEAST_SAME = 0.9
"""The rows that are computed beside a greedy row can change a close choice, rarely if rows share little."""
SECONDS = 1.0
"""From Ctrl-C to the end, on a busy machine too."""
PATIENCE_SECONDS = 60.0
"""The longest wait for one more row. The whole job may take any time, as long as rows keep coming."""


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


def wait(process: subprocess.Popen[bytes], out: Path, rows: int | None = None) -> None:
    """Wait until there are more than `rows` rows, or until the process ends."""
    found, since = -1, time.monotonic()
    while process.poll() is None and (rows is None or found <= rows):
        now = out.read_bytes().count(b"\n") if out.exists() else 0
        if now != found:
            found, since = now, time.monotonic()
        elif time.monotonic() - since > PATIENCE_SECONDS:
            process.kill()
            pytest.fail(f"no row came after the first {found}")
        time.sleep(0.01)


def run_to_its_end(shell: Shell, out: Path, *arguments: str | Path) -> None:
    with shell.start(*arguments, "-q", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait(process, out)
    assert process.returncode == 0


def test_a_job_is_interrupted_killed_and_resumed(
    starter_shell: Shell, tmp_path: Path, job: tuple[str | Path, ...]
) -> None:
    out = tmp_path / "out.jsonl"
    with starter_shell.start(*job) as process:
        wait(process, out, 8)
        outcome, seconds = interrupt(process)
    assert outcome.code == ExitCode.INTERRUPTED
    assert "Traceback" not in outcome.err
    assert seconds < SECONDS
    kept = len(lines(out))
    assert 8 < kept < ROWS
    with starter_shell.start(*job) as process:
        wait(process, out, kept)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(lines(out)) < ROWS
    run_to_its_end(starter_shell, out, *job)
    assert [line["id"] for line in lines(out)] == [str(n) for n in range(ROWS)]
    assert all(line["usage"]["completion_tokens"] == 24 for line in lines(out))  # type: ignore[index]
    stopped = lines(out)
    run_to_its_end(starter_shell, out, *job, "--overwrite")
    same = sum(one["text"] == other["text"] for one, other in zip(stopped, lines(out), strict=True))
    assert same >= ROWS * LEAST_SAME, f"{ROWS - same} of {ROWS} rows differ from those of a job that ran through"
