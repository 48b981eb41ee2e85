"""How long the threads of GNU's OpenMP runtime spin: little beside other programs, unless the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gptcli.llama.library import others_run

PROGRAM = "import os; import gptcli.llama.library; print(os.environ.get('GOMP_SPINCOUNT'))"
BUSY = "print(flush=True)\nwhile True: pass"


def started(**more: str) -> tuple[str, str]:
    """GOMP_SPINCOUNT of the environment after llama.cpp was loaded beside a program that never waits, and what the
    runtime tells of its settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    environment = kept | {"OMP_DISPLAY_ENV": "VERBOSE"} | more
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
        other.kill()
    assert done.returncode == 0
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this build of llama.cpp does not use GNU's OpenMP runtime")
    return done.stdout.strip(), done.stderr


def test_threads_spin_for_a_few_thousand_turns_and_programs_started_later_as_they_like() -> None:
    left, settings = started()
    assert "GOMP_SPINCOUNT = '3000'" in settings
    assert left == "None"


def test_what_the_user_has_set_stays() -> None:
    left, settings = started(GOMP_SPINCOUNT="77")
    assert "GOMP_SPINCOUNT = '77'" in settings
    assert left == "77"
    assert "GOMP_SPINCOUNT = '3000'" not in started(OMP_WAIT_POLICY="PASSIVE")[1]


@pytest.mark.parametrize(
    ("text", "busy"),
    [("0.84 1.59 2.20 1/79 13711\n", False), ("0.00 0.00 0.00 2/79 13711\n", True), ("1.0 1.0 1.0", True), ("", True)],
)
def test_other_programs_are_seen(tmp_path: Path, text: str, busy: bool) -> None:
    path = tmp_path / "loadavg"
    path.write_text(text)
    assert others_run(path) is busy


def test_where_nothing_is_known_others_run(tmp_path: Path) -> None:
    assert others_run(tmp_path / "none")
