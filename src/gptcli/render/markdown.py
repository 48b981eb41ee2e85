"""Renders streamed Markdown for a terminal, append-only: what is written is never touched again.

The only escape sequences in its output are those of styles; controls in the text are escaped first."""

from __future__ import annotations

from functools import cached_property
from io import StringIO
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from gptcli.render.blocks import BAR, Begin, Block, BlockSplitter, Code, End, Table, Text, cells
from gptcli.render.inline import InlineParser, Style, parsed
from gptcli.render.wrap import Wrapper, styled, visible, width, wrapped
from gptcli.terminal import escape_controls

if TYPE_CHECKING:
    from rich.console import Console
    from rich.syntax import Syntax

_NARROWEST = 16
_NARROWEST_COLUMN = 3
_BETWEEN = " │ "

_WINDOW = 32
"""A lexer cannot resume, so each line is lexed with the 32 to 63 lines before it: 2 ms, instead of a time that grows
with the block. Only a longer construct, such as a long string, can be coloured wrongly."""


class MarkdownStream:
    """Renders pieces of Markdown for a terminal of `columns` columns; where the text is cut makes no difference.

    Text comes word by word, code line by line, a table when it has ended."""

    def __init__(self, columns: int) -> None:
        self._limit = max(_NARROWEST, columns - 1)  # some terminals wrap after the last column
        self._splitter = BlockSplitter()
        self._wrapper = Wrapper(self._limit)
        self._inline = InlineParser()
        self._painter = CodePainter("")

    def push(self, text: str) -> str:
        """What to write now."""
        return "".join(map(self._render, self._splitter.push(escape_controls(text))))

    def finish(self) -> str:
        """The rest, when the answer has ended. The cursor is then at the start of a line."""
        return "".join(map(self._render, self._splitter.finish()))

    def _render(self, block: Block) -> str:
        if isinstance(block, Text):
            return self._wrapper.add(self._inline.push(block.text))
        if isinstance(block, Begin):
            self._wrapper = Wrapper(self._limit, self._before(block.prefix), self._before(block.hang))
            self._inline = InlineParser(Style.HEADING if block.heading else Style.PLAIN)
            return self._wrapper.add([])
        if isinstance(block, End):
            return self._wrapper.add(self._inline.finish()) + self._wrapper.finish() + "\n"
        if isinstance(block, Table):
            return self._table(block)
        prefix = self._before(block.prefix)
        if isinstance(block, Code):
            return prefix + self._code(block) + "\n"
        rule = ("═" if block.double else "─") * (self._limit - width(visible(prefix)))
        return prefix + styled(rule, Style.FAINT) + "\n"

    def _code(self, code: Code) -> str:
        if code.number < 0:
            return styled(code.line, Style.FAINT)
        if code.number == 0:
            self._painter = CodePainter(code.language)
        return self._painter.line(code.line)

    def _table(self, table: Table) -> str:
        prefix, hang = self._before(table.prefix), self._before(table.hang)
        lines = _table_lines(table.lines, self._limit - width(visible(prefix))) or table.lines
        return "".join((hang if at else prefix) + line + "\n" for at, line in enumerate(lines))

    def _before(self, prefix: str) -> str:
        """Bars and indentation, at most half of the line wide."""
        return prefix[-(self._limit // 2) :].replace(BAR, styled(BAR, Style.FAINT))


def _table_lines(lines: list[str], limit: int) -> list[str] | None:
    """The table in lines of at most `limit` columns; None where it has too many columns."""
    header, delimiters, *rows = [cells(line) for line in lines]
    count = max(map(len, [header, *rows]))  # extra cells of a row are kept
    available = limit - len(_BETWEEN) * (count - 1)
    if not count or available < _NARROWEST_COLUMN * count:
        return None
    contents = [
        [parsed(cell, Style.PLAIN if number else Style.BOLD) for cell in row + [""] * (count - len(row))]
        for number, row in enumerate([header, *rows])
    ]
    delimiters += [""] * (count - len(delimiters))
    widest = map(max, *([sum(width(span.text) for span in cell) for cell in row] for row in contents), [1] * count)
    widths = _widths(list(widest), available)
    head, *body = [_row_lines(list(map(wrapped, row, widths)), widths, delimiters) for row in contents]
    return [*head, "─┼─".join("─" * size for size in widths), *chain.from_iterable(body)]


def _widths(natural: list[int], available: int) -> list[int]:
    """The natural widths, cut to the largest limit with which all of them fit."""
    limit = max(cap for cap in range(1, available + 1) if sum(min(size, cap) for size in natural) <= available)
    widths = [min(size, limit) for size in natural]
    for at, size in enumerate(natural):  # columns left over by rounding down
        if size > limit and sum(widths) < available:
            widths[at] += 1
    return widths


def _row_lines(columns: list[list[str]], widths: list[int], delimiters: list[str]) -> list[str]:
    return [
        _BETWEEN.join(map(_aligned, texts, widths, delimiters)).rstrip()
        for texts in zip_longest(*columns, fillvalue="")
    ]


def _aligned(text: str, size: int, delimiter: str) -> str:
    space = max(0, size - width(visible(text)))
    if delimiter.endswith(":"):
        before = space // 2 if delimiter.startswith(":") else space
        return " " * before + text + " " * (space - before)
    return text + " " * space


class CodePainter:
    """Colours the lines of one code block with rich, imported at the first line; unknown languages stay plain."""

    def __init__(self, language: str) -> None:
        self._language = language.split()[0].strip("{}.").lower() if language.split() else ""
        self._lines: list[str] = []

    def line(self, text: str) -> str:
        """The next line, coloured in the context of those before it."""
        if len(self._lines) >= 2 * _WINDOW:
            del self._lines[:_WINDOW]
        self._lines.append(text)
        if not text.strip() or self._syntax is None:
            return text
        painted = self._syntax.highlight("\n".join(self._lines)).split("\n", allow_blank=True)
        last = painted[len(self._lines) - 1]
        if last.plain != text:  # some lexers change whitespace
            return text
        with self._console.capture() as capture:
            self._console.print(last, end="", soft_wrap=True)
        return capture.get()

    @cached_property
    def _syntax(self) -> Syntax | None:
        if not self._language:
            return None
        from rich.syntax import Syntax

        syntax = Syntax("", self._language, theme="ansi_dark")
        return syntax if syntax.lexer else None

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(
            file=StringIO(), force_terminal=True, color_system="standard", no_color=False, legacy_windows=False
        )
