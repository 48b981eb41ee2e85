"""Tables on stdout: aligned columns on a terminal, fields between tabs elsewhere; never an escape sequence."""

from __future__ import annotations

from collections.abc import Sequence

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


def _aligned(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    page = [list(headers), *([escape_controls(cell) for cell in row] for row in rows)]
    widths = [max(map(_columns, column)) for column in zip(*page, strict=True)]
    lines = []
    for row in page:
        line = "  ".join(_sized(*cell) for cell in zip(row, widths, strict=True)).rstrip()
        lines.append(line if _columns(line) <= width else _sized(line, width - 1) + "…")
    return "".join(line + "\n" for line in lines)


def _columns(text: str) -> int:
    """The columns of `text` on a terminal; rich is imported only for wide characters."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _sized(text: str, columns: int) -> str:
    """`text` cut or padded to `columns`."""
    if text.isascii():
        return text[:columns].ljust(columns)
    from rich.cells import set_cell_size

    return set_cell_size(text, columns)
