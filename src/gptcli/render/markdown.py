"""Markdown on a terminal as it streams in: append-only, so that nothing written is ever touched again.

It puts together blocks, inline styles, wrapping, tables and code; it knows no event, no model and writes to no stream.
The only escape sequences it makes are those of styles, and those of the text are made harmless first.
"""

from __future__ import annotations

from gptcli.render.blocks import BAR, Begin, Block, BlockSplitter, Code, End, Table, Text
from gptcli.render.code_painter import CodePainter
from gptcli.render.inline import InlineParser, Span, Style
from gptcli.render.markdown_table import table_lines
from gptcli.render.wrap import Wrapper, styled, visible, width
from gptcli.terminal import escape_controls

_NARROWEST = 16


class MarkdownStream:
    """Renders pieces of Markdown for a terminal of `columns` columns; the output does not depend on the cutting.

    Running text comes word by word, code by the line, a table when it has ended. Without `color` nothing is styled,
    and the marks of emphasis and headings stay as they were written.
    """

    def __init__(self, columns: int, color: bool) -> None:
        self._limit = max(_NARROWEST, columns - 1)  # the last column makes some terminals break the line on their own
        self._color = color
        self._splitter = BlockSplitter()
        self._wrapper = Wrapper(self._limit)
        self._inline = InlineParser()
        self._painter = CodePainter("")

    def push(self, text: str) -> str:
        """What to write now."""
        return "".join(map(self._render, self._splitter.push(escape_controls(text))))

    def finish(self) -> str:
        """What is left when the answer has ended; the cursor is then at the beginning of a line."""
        return "".join(map(self._render, self._splitter.finish()))

    def _render(self, block: Block) -> str:
        if isinstance(block, Text):
            return self._text(block.text)
        if isinstance(block, Begin):
            return self._begin(block)
        if isinstance(block, End):
            spans = self._inline.finish() if self._color else []
            return self._wrapper.add(spans) + self._wrapper.finish() + "\n"
        if isinstance(block, Code):
            return self._code(block)
        if isinstance(block, Table):
            return self._table(block)
        prefix = self._before(block.prefix)
        return prefix + self._styled(("═" if block.double else "─") * (self._limit - width(visible(prefix)))) + "\n"

    def _begin(self, line: Begin) -> str:
        self._wrapper = Wrapper(self._limit, self._before(line.prefix), self._before(line.hang))
        self._inline = InlineParser(Style.HEADING if line.level else Style.PLAIN)
        if line.level and not self._color:
            return self._text("#" * line.level + " ")
        return self._wrapper.add([])

    def _text(self, text: str) -> str:
        spans = self._inline.push(text) if self._color else [Span(text, Style.PLAIN)]
        return self._wrapper.add(spans)

    def _code(self, code: Code) -> str:
        prefix = self._before(code.prefix)
        if code.number < 0:
            return prefix + self._styled(code.line) + "\n"
        if not self._color:
            return prefix + code.line + "\n"
        if code.number == 0:
            self._painter = CodePainter(code.language)
        return prefix + self._painter.line(code.line) + "\n"

    def _table(self, table: Table) -> str:
        prefix, hang = self._before(table.prefix), self._before(table.hang)
        lines = table_lines(table.lines, self._limit - width(visible(prefix)), self._color)
        if lines is None:  # more columns than fit: as it was written
            lines = table.lines
        return "".join((hang if at else prefix) + line + "\n" for at, line in enumerate(lines))

    def _before(self, prefix: str) -> str:
        """Bars and indentation, at most half of the line, so that text always has room."""
        prefix = prefix[-(self._limit // 2) :]
        return prefix.replace(BAR, self._styled(BAR)) if BAR in prefix else prefix

    def _styled(self, text: str) -> str:
        return styled(text, Style.FAINT) if self._color else text
