"""Publishes results: a table for people, a JSON line for machines, and a section of RESULTS.md."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bench.pairs import Comparison

_MET = {None: "", True: "yes", False: "NO"}
RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True, slots=True)
class Check:
    """Something that held `count` times out of `total`; `required`: it must always hold."""

    name: str
    peer: str
    count: int
    total: int
    required: bool = True

    @property
    def met(self) -> bool | None:
        """Whether it always held; None if that is not required."""
        return self.count == self.total if self.required else None


Row = Comparison | Check


def table(rows: Sequence[Row]) -> str:
    """A Markdown table whose columns line up."""
    cells = [["what", "against", "ours", "theirs", "ratio (min–max)", "bound", "met"]]
    cells += [_check_cells(row) if isinstance(row, Check) else _cells(row) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    cells.insert(1, ["-" * width for width in widths])
    padded = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(f"| {line} |" for line in padded)


def _cells(row: Comparison) -> list[str]:
    low, high = min(row.ratios), max(row.ratios)
    return [
        row.name,
        row.peer,
        f"{statistics.median(row.ours):,.4g} {row.unit}",
        f"{statistics.median(row.theirs):,.4g} {row.unit}",
        f"{row.ratio:.3f} ({low:.3f}–{high:.3f})",
        "" if row.bound is None else f"{'≥' if row.more_is_better else '≤'} {row.bound}",
        _MET[row.met],
    ]


def _check_cells(row: Check) -> list[str]:
    bound = "all" if row.required else ""
    return [row.name, row.peer, f"{row.count} of {row.total}", "", "", bound, _MET[row.met]]


def machine() -> dict[str, str]:
    """The machine that was measured."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of the programs."""
    names = ("gptcli", "llama-cpp-python", "typer")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}


def publish(benchmark: str, rows: Sequence[Row], facts: dict[str, str], *, write: bool) -> None:
    """Print the table and, as the last line, the JSON; with `write`, replace this benchmark's section of RESULTS.md."""
    now = datetime.datetime.now(datetime.timezone.utc)
    facts = {"date": f"{now:%Y-%m-%d %H:%M} UTC"} | facts
    lines = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    if write:
        _replace_section(benchmark, f"{lines}\n\n{table(rows)}\n")
    record = {"benchmark": benchmark, **facts, "rows": [_plain(row) for row in rows]}
    sys.stdout.write(f"{lines}\n\n{table(rows)}\n\n{json.dumps(record, ensure_ascii=False)}\n")


def _plain(row: Row) -> dict[str, object]:
    if isinstance(row, Check):
        return {"name": row.name, "peer": row.peer, "count": row.count, "total": row.total, "met": row.met}
    return {
        "name": row.name,
        "peer": row.peer,
        "unit": row.unit,
        "ours": row.ours,
        "theirs": row.theirs,
        "ratio": row.ratio,
        "bound": row.bound,
        "more_is_better": row.more_is_better,
        "met": row.met,
    }


def _replace_section(benchmark: str, body: str) -> None:
    heading = f"## {benchmark}\n"
    intro = (
        "# Results\n\nEach section is written by `python -m bench.NAME --write`. Read the ratios: medians over pairs.\n"
    )
    text = RESULTS.read_text("utf-8") if RESULTS.exists() else intro
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    kept = [part.rstrip() + "\n" for part in parts if not part.startswith(heading)]
    RESULTS.write_text("\n".join([*kept, f"{heading}\n{body}"]), "utf-8")
