"""Fenced code blocks of Markdown, as CommonMark has them (spec.commonmark.org, "Fenced code blocks")."""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPENING = re.compile(r"( *)(`{3,}(?=[^`]*$)|~{3,})(.*)")
_DEEPEST = 3
"""Spaces before a fence; more make it indented code."""


@dataclass(slots=True)
class Fence:
    """A fence that is open: its mark, its info string, and the columns before it."""

    mark: str
    info: str
    indent: int

    @classmethod
    def opened_by(cls, line: str) -> Fence | None:
        """The fence that `line` opens, however deep it is indented."""
        match = _OPENING.fullmatch(line)
        return cls(match[2], match[3], len(match[1])) if match else None

    def is_closed_by(self, line: str) -> bool:
        text = line.strip()
        closing = text.startswith(self.mark) and not text.strip(self.mark[0])
        return closing and _indent(line) <= self.indent + _DEEPEST

    def content(self, line: str) -> str:
        """A line of the block without the fence's own indentation."""
        return line[min(self.indent, _indent(line)) :]


def code_blocks(text: str) -> list[str]:
    """The contents of the fenced blocks in order; an unclosed one goes to the end of the text."""
    return _scan(text)[0]


def code_block(text: str, index: int) -> str | None:
    """The contents of one fenced block; None if there is none."""
    blocks = code_blocks(text)
    return blocks[index] if blocks else None


def unclosed_fence(text: str) -> str:
    """The mark that would close the last block of the text; empty if every block is closed."""
    fence = _scan(text)[1]
    return fence.mark if fence else ""


def _scan(text: str) -> tuple[list[str], Fence | None]:
    """The contents of the blocks, and the fence of an unclosed one."""
    found: list[str] = []
    fence: Fence | None = None
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        if fence is None:
            fence = Fence.opened_by(bare) if _indent(bare) <= _DEEPEST else None
        elif fence.is_closed_by(bare):
            found.append("".join(lines))
            fence, lines = None, []
        else:
            lines.append(fence.content(line))
    return [*found, "".join(lines)] if fence else found, fence


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
