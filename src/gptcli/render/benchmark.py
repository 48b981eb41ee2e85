"""Draws measured rates on a terminal, as bars beside their numbers; fields between tabs elsewhere; or JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gptcli.render.table import fields
from gptcli.render.wrap import fit, width
from gptcli.terminal import Terminal, escape_controls

if TYPE_CHECKING:
    from gptcli.runtime.benchmark import Speed

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NUMBER = 16
"""Columns of a rate with its deviation: `123,456 ± 12,345`."""
_WIDEST_BAR = 24


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """Rates that are compared with each other: a label for each line, and one or two columns of rates."""

    title: str
    labels: Sequence[str]
    columns: dict[str, Sequence[Speed]]


def draw(terminal: Terminal, section: Section) -> None:
    """Write one section to stdout."""
    if terminal.stdout_tty:
        terminal.write_styled(_picture(section, terminal.width))
    else:
        terminal.write(fields([_plain(speed) for column in section.columns.values() for speed in column]))


def _plain(speed: Speed) -> list[str]:
    """llama-bench's columns: model, threads, rows, test, tokens per second and their deviation."""
    test = f"pp{speed.prompt_tokens}" if speed.prompt_tokens else f"tg{speed.generated_tokens}"
    numbers = [f"{speed.rate:.2f}", f"{speed.deviation:.2f}"]
    return [speed.model, speed.summary.quantization, str(speed.threads), str(speed.rows), test, *numbers]


def _picture(section: Section, columns: int) -> str:
    labels = [escape_controls(label) for label in (section.title, *section.labels)]
    left = max(map(width, labels))
    bar = min(_WIDEST_BAR, (columns - left - 1) // len(section.columns) - _NUMBER - 3)
    head = fit(labels[0], left)
    bodies = [fit(label, left) for label in labels[1:]]
    for name, speeds in section.columns.items():
        most = max(speed.rate for speed in speeds)
        head += "  " + fit(f"{name}, tokens/s", max(bar, 0) + _NUMBER + 1)
        for index, speed in enumerate(speeds):
            digits = 0 if speed.rate >= 1000 else 1
            number = f"{speed.rate:,.{digits}f} ± {speed.deviation:,.{digits}f}"
            bodies[index] += f"  {_bar(speed.rate / most, bar)} {number:>{_NUMBER}}"
    return "\n".join(line.rstrip() for line in (head, *bodies)) + "\n"


def _bar(part: float, columns: int) -> str:
    """A bar as long as `part` of `columns`, to an eighth of a column."""
    if columns < 1:
        return ""
    eighths = max(1, round(part * columns * 8))
    return fit("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip(), columns)


def json_text(speeds: Sequence[Speed], recommended: dict[str, int], facts: dict[str, str]) -> str:
    """One object. What llama-bench's JSON has too has the name and the unit that it has there."""
    results = [
        {
            "model_filename": speed.model,
            "model_type": f"{speed.summary.label} {speed.summary.quantization}",
            "model_size": speed.size,
            "model_n_params": speed.summary.parameters,
            "devices": speed.device,
            "n_threads": speed.threads,
            "n_rows": speed.rows,
            "n_prompt": speed.prompt_tokens,
            "n_gen": speed.generated_tokens,
            "avg_ts": speed.rate,
            "stddev_ts": speed.deviation,
            "samples_ts": speed.rates,
            "samples_ns": [round(seconds * 1e9) for seconds in speed.seconds],
        }
        for speed in speeds
    ]
    return json.dumps({**facts, "results": results, "recommended": recommended}, ensure_ascii=False) + "\n"
