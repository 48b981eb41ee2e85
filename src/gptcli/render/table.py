"""Tables on stdout: aligned columns on a terminal, fields between tabs elsewhere; never an escape sequence."""

from __future__ import annotations

from collections.abc import Sequence

from gptcli.render.wrap import fit, width
from gptcli.terminal import Terminal, escape_controls


def write_table(terminal: Terminal, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows to stdout: cut to the terminal's width, or in full and without the headers elsewhere."""
    if terminal.stdout_tty:
        terminal.write(_aligned(headers, [_plain(row) for row in rows], terminal.width))
    else:
        terminal.write(fields(rows))


def fields(rows: Sequence[Sequence[str]]) -> str:
    """A line for each row, its cells between tabs."""
    return "".join("\t".join(_plain(row)) + "\n" for row in rows)


def _plain(row: Sequence[str]) -> list[str]:
    """Cells without tabs and line breaks."""
    return [" ".join(cell.split()) for cell in row]


def _aligned(headers: Sequence[str], rows: Sequence[Sequence[str]], limit: int) -> str:
    page = [list(headers), *([escape_controls(cell) for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*page, strict=True)]
    lines = ["  ".join(map(fit, row, widths)).rstrip() for row in page]
    return "".join((line if width(line) <= limit else fit(line, limit - 1) + "…") + "\n" for line in lines)
