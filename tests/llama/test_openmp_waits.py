"""How long the threads of GNU's OpenMP runtime spin: little, unless the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = "import os; import gptcli.llama.library; print(os.environ.get('GOMP_SPINCOUNT'))"


def started(**more: str) -> tuple[str, str]:
    """GOMP_SPINCOUNT of the environment after llama.cpp was loaded, and what the runtime tells of its settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    environment = kept | {"OMP_DISPLAY_ENV": "VERBOSE"} | more
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
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
