"""Splits streamed Markdown into blocks: code, tables, headings, list items and lines of text.

This is not CommonMark's tree but what a terminal needs of it. Every line stays a line of its own, as in other chat
programs, with the bars of its quotes, its indentation and its bullet in front. Most lines are decided after a few
characters and stream from then on; code comes line by line, tables all at once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gptcli.render.fences import Fence

BAR, BULLET = "│ ", "•"

_QUOTE = re.compile(r" {0,3}> ?")
_ITEM = re.compile(r"( *)([-+*]|\d{1,9}[.)])( +|$)")
_HEADING = re.compile(r" {0,3}(#{1,6})(?: +|$)")
_RULE = re.compile(r" {0,3}([-*_])(?: *\1){2,} *")
_DOUBLE_RULE = re.compile(r" {0,3}={2,} *")
_DELIMITERS = re.compile(r" *\|?(?: *:?-+:? *\|)* *:?-+:? *\|? *")
_BEGINNINGS = re.compile(r"(?: {0,3}> ?)*(?: *(?:[-+*]|\d{1,9}[.)]) +)* *")
_UNDECIDED = re.compile(r"[-#>+*_=~|.:)`\d ]*")
"""A line of only these may still become a rule, a table's delimiters or an empty line."""


@dataclass(slots=True)
class Begin:
    """The start of a line of text: `prefix` before it, `hang` before its wrapped lines."""

    prefix: str
    hang: str
    heading: bool = False


@dataclass(slots=True)
class Text:
    """More of the current line."""

    text: str


class End:
    """The end of the current line."""


@dataclass(slots=True)
class Code:
    """A line of code, numbered from 0 in its block; -1 is the fence itself."""

    prefix: str
    line: str
    number: int
    language: str = ""


@dataclass(slots=True)
class Rule:
    """A horizontal line; double where `=` underlines a heading."""

    prefix: str
    double: bool = False


@dataclass(slots=True)
class Table:
    """A whole table: its lines, with the header and the delimiters."""

    prefix: str
    hang: str
    lines: list[str]


Block = Begin | Text | End | Code | Rule | Table


@dataclass(slots=True)
class _OpenFence:
    """A fence inside `depth` quotes, with the prefix of its lines."""

    fence: Fence
    depth: int
    prefix: str
    language: str
    lines: int = 0


class BlockSplitter:
    """Turns pieces of Markdown into blocks; where the text is cut makes no difference."""

    def __init__(self) -> None:
        self._line = ""  # the undecided part of the current line
        self._in_line = False
        self._fence: _OpenFence | None = None
        self._table: Table | None = None
        self._item_column = 0  # where the text of the last list item starts; code is indented further
        self._code_may_follow = True
        self._text_before = False
        self._code_lines = 0

    def push(self, text: str) -> list[Block]:
        """The blocks, and parts of blocks, that are decided now. Tabs count as four spaces outside code."""
        blocks: list[Block] = []
        while text:
            line, newline, text = text.partition("\n")
            if self._in_line:
                blocks += [Text(_spaced(line)), End()] if newline else [Text(_spaced(line))]
                self._in_line = not newline
                continue
            self._line += line
            if newline:
                line, self._line = self._line, ""
                self._whole_line(line, blocks)
            elif self._decided():
                line, self._line = self._line, ""
                self._begin(_spaced(line), blocks)
        return blocks

    def finish(self) -> list[Block]:
        """The rest at the end of the text; its last line counts as complete."""
        blocks: list[Block] = []
        if self._in_line:
            blocks.append(End())
        elif self._line:
            self._whole_line(self._line, blocks)
        self._end_table(blocks)
        return blocks

    def _decided(self) -> bool:
        if self._fence or not self._line:
            return False
        line = _spaced(self._line)
        rest = line[_BEGINNINGS.match(line).end() :]  # type: ignore[union-attr]  # it matches anything
        if rest.startswith(("```", "~~~", "|")) or _UNDECIDED.fullmatch(rest):
            return False
        return not self._is_code(_unquoted(line)[1])

    def _whole_line(self, line: str, blocks: list[Block]) -> None:
        """A line that was undecided until it was complete."""
        if self._fence and self._in_fence(self._fence, line, blocks):
            return
        line = _spaced(line)
        depth, body = _unquoted(line)
        bars = BAR * depth
        if not body.strip():
            self._end_table(blocks)
            blocks += [Begin(bars.rstrip(), ""), End()]
            self._note(code_may_follow=True)
        elif self._is_code(body):
            self._end_table(blocks)
            blocks.append(Code(bars + "    ", body[self._item_column + 4 :], self._code_lines))
            self._code_lines += 1
        elif _RULE.fullmatch(body) or (self._text_before and _DOUBLE_RULE.fullmatch(body)):
            self._end_table(blocks)
            blocks.append(Rule(bars, double="=" in body))
            self._note(code_may_follow=True)
        else:
            self._fence_or_text(line, depth, body, blocks)

    def _fence_or_text(self, line: str, depth: int, body: str, blocks: list[Block]) -> None:
        prefix, hang, rest = self._items(BAR * depth, body)
        fence = Fence.opened_by(rest)
        if fence:
            self._end_table(blocks)
            language, indent = fence.info.strip(), " " * fence.indent
            blocks.append(Code(prefix + indent, fence.mark + fence.info, -1, language))
            fence.indent += len(hang) - len(BAR) * depth
            self._fence = _OpenFence(fence, depth, hang + indent, language)
            self._note(code_may_follow=True)
        elif rest.lstrip().startswith("|"):
            self._row(Table(prefix, hang, [rest.strip()]), blocks)
        else:
            self._begin(line, blocks)
            blocks.append(End())
            self._in_line = False

    def _begin(self, line: str, blocks: list[Block]) -> None:
        """Start a line of text, a list item or a heading."""
        self._end_table(blocks)
        depth, body = _unquoted(line)
        prefix, hang, rest = self._items(BAR * depth, body)
        heading = _HEADING.match(rest)
        blocks += [Begin(prefix, hang, bool(heading)), Text(rest[heading.end() :] if heading else rest)]
        self._in_line = True
        self._note(code_may_follow=bool(heading), text=not heading)

    def _items(self, bars: str, body: str) -> tuple[str, str, str]:
        """The prefix of a line, the prefix of its wrapped lines, and its text."""
        prefix = hang = bars
        column = 0
        while item := _ITEM.match(body):
            indent, mark, space = item.groups()
            text = indent + (BULLET if mark in "-+*" else mark) + (space or " ")
            prefix, hang, body = prefix + text, hang + " " * len(text), body[item.end() :]
            column += item.end()
            self._item_column = column
        if not column:
            indent = body[: len(body) - len(body.lstrip(" "))]
            if len(indent) < self._item_column and self._code_may_follow:
                self._item_column = 0
            prefix, hang, body = prefix + indent, hang + indent, body[len(indent) :]
        return prefix, hang, body

    def _is_code(self, body: str) -> bool:
        """Whether a line is code by its indentation; a list item that a model indented too far is not."""
        indent = len(body) - len(body.lstrip(" "))
        deep = self._code_may_follow and bool(body.strip()) and indent >= self._item_column + 4
        return deep and (self._code_lines > 0 or not _ITEM.match(body))

    def _in_fence(self, opened: _OpenFence, line: str, blocks: list[Block]) -> bool:
        """Add a line of a fenced block. False where the quote around the block has ended, and the block with it."""
        body = line
        for _ in range(opened.depth):
            quote = _QUOTE.match(body)
            if not quote:
                self._fence = None
                return False
            body = body[quote.end() :]
        if opened.fence.is_closed_by(body):
            blocks.append(Code(opened.prefix, body.strip(), -1))
            self._fence = None
            return True
        blocks.append(Code(opened.prefix, opened.fence.content(body), opened.lines, opened.language))
        opened.lines += 1
        return True

    def _row(self, row: Table, blocks: list[Block]) -> None:
        """A line that starts with a bar; it belongs to a table if the second such line has delimiters."""
        table = self._table
        if table and (len(table.lines) > 1 or _delimits(row.lines[0], table.lines[0])):
            table.lines += row.lines
        else:
            self._end_table(blocks)
            self._table = row
        self._note()

    def _end_table(self, blocks: list[Block]) -> None:
        table, self._table = self._table, None
        if table and len(table.lines) > 1:
            blocks.append(table)
        elif table:
            blocks += [Begin(table.prefix, table.hang), Text(table.lines[0]), End()]

    def _note(self, *, code_may_follow: bool = False, text: bool = False) -> None:
        """Remember what decides about the next line."""
        if not (code_may_follow and self._code_may_follow):
            self._code_lines = 0
        self._code_may_follow, self._text_before = code_may_follow, text


def cells(line: str) -> list[str]:
    """The cells of a table's line; `\\|` is a bar inside a cell."""
    parts = [part.strip().replace("\\|", "|") for part in re.split(r"(?<!\\)\|", line)]
    first, last = not parts[0], len(parts) - (not parts[-1])  # the bars around the line
    return parts[first:last]


def _delimits(line: str, header: str) -> bool:
    return _DELIMITERS.fullmatch(line) is not None and len(cells(line)) == len(cells(header))


def _spaced(line: str) -> str:
    return line.replace("\t", "    ")  # not to a tab stop, which would depend on where the text is cut


def _unquoted(line: str) -> tuple[int, str]:
    """The number of quotes around a line, and what they quote."""
    depth = 0
    while quote := _QUOTE.match(line):
        depth, line = depth + 1, line[quote.end() :]
    return depth, line
