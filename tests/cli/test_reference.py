"""The reference and the man pages are what the program says of itself."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("script", "folder", "pattern"), [("make_reference", "docs/reference", "*.md"), ("make_man", "man", "*.1")]
)
def test_the_pages_are_up_to_date(script: str, folder: str, pattern: str) -> None:
    made = runpy.run_path(str(ROOT / "scripts" / f"{script}.py"))["pages"]()
    stored = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / folder).glob(pattern)}
    assert stored == made, "run `make docs`"


def test_the_man_pages_have_no_mistakes() -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed here, and nothing else judges man pages")
    pages = sorted((ROOT / "man").glob("*.1"))
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True)
    found = [line for line in done.stdout.splitlines() if "missing date" not in line]  # a date would change each build
    assert found == []
    assert len(pages) > 5
