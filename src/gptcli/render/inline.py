"""Parses a line of Markdown as it streams in: emphasis, code, links.

An opening mark waits for its closing mark, at most `REACH` characters; without one, it is plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Flag

REACH = 300
"""Characters between an opening and a closing mark, so that a lone `*` does not stop the stream."""


class Style(Flag):
    """Styles of text, combined by `|`."""

    PLAIN = 0
    BOLD = 1
    ITALIC = 2
    CODE = 4
    STRUCK = 8
    LINK = 16
    FAINT = 32
    HEADING = 64


@dataclass(slots=True)
class Span:
    """Text of one style."""

    text: str
    style: Style


_MARK = re.compile(r"[\\`*_~\[!]")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_EMPHASES = {"*": Style.ITALIC, "**": Style.BOLD, "***": Style.BOLD | Style.ITALIC, "~~": Style.STRUCK}
_END = "\n"
"""Follows the last character of the line."""


class _UndecidedError(Exception):
    """More text decides what a mark means."""


class InlineParser:
    """Parses one line; where the text is cut makes no difference to the joined spans."""

    def __init__(self, style: Style = Style.PLAIN) -> None:
        self._style = style
        self._text = ""
        self._before = ""

    def push(self, text: str) -> list[Span]:
        """The spans that are decided now."""
        spans: list[Span] = []
        text, at = self._text + text, 0
        while at < len(text):
            mark = _MARK.search(text, at)
            end = mark.start() if mark else len(text)
            if end == at:
                try:
                    end, found = self._construct(text, at)
                except _UndecidedError:
                    break
                spans += found
            else:
                spans.append(Span(text[at:end], self._style))
            self._before = text[end - 1]
            at = end
        self._text = text[at:]
        return spans

    def finish(self) -> list[Span]:
        """The rest, at the end of the line."""
        *spans, last = self.push(_END)
        return [*spans, Span(last.text.removesuffix(_END), last.style)]

    def _construct(self, text: str, at: int) -> tuple[int, list[Span]]:
        """The end and the spans of what starts at a mark. Raises _UndecidedError."""
        parse = {"\\": self._escape, "`": self._code, "[": self._link, "!": self._link}.get(text[at], self._emphasis)
        if found := parse(text, at):
            return found
        end = _run(text, at) if text[at] in "*_~`" else at + 1
        return end, [Span(text[at:end], self._style)]

    def _escape(self, text: str, at: int) -> tuple[int, list[Span]] | None:
        escaped = _character(text, at + 1)
        return (at + 2, [Span(escaped, self._style)]) if escaped in _PUNCTUATION else None

    def _code(self, text: str, at: int) -> tuple[int, list[Span]] | None:
        inside = close = _run(text, at)
        while (close := text.find("`", close, inside + REACH)) >= 0:
            end = _run(text, close)
            if end - close == inside - at:
                code = text[inside:close]
                padded = code.startswith(" ") and code.endswith(" ") and code.strip()
                return end, [Span(code[1:-1] if padded else code, self._style | Style.CODE)]
            close = end
        _check_missing(text, inside)
        return None

    def _emphasis(self, text: str, at: int) -> tuple[int, list[Span]] | None:
        inside = close = _run(text, at)
        mark = text[at:inside]
        style = _EMPHASES.get(mark.replace("_", "*"))
        if style is None or text[inside].isspace() or (mark[0] == "_" and self._before.isalnum()):
            return None
        while (close := text.find(mark, close, inside + REACH)) >= 0:
            start, end = close, _run(text, close)
            closes = not text[start - 1].isspace() and text[start - 1] != "\\" and end - start == len(mark)
            if closes and not (mark[0] == "_" and text[end].isalnum()):
                return end, parsed(text[inside:start], self._style | style)
            close = end
        _check_missing(text, inside)
        return None

    def _link(self, text: str, at: int) -> tuple[int, list[Span]] | None:
        """`[label](target)` and `![label](target)`: the label, and the target in brackets."""
        begin = at + 1 if text[at] == "!" else at
        label_end = _closing(text, begin, "[]")
        end = label_end and _closing(text, label_end, "()")
        if not (label_end and end):
            return None
        label, target = text[begin + 1 : label_end - 1], text[label_end + 1 : end - 1].split(" ")[0]
        spans = parsed(label, self._style | Style.LINK)
        if target and target != label:
            spans.append(Span(f" ({target})", self._style | Style.FAINT))
        return end, spans


def parsed(text: str, style: Style) -> list[Span]:
    """The spans of a whole text."""
    parser = InlineParser(style)
    return parser.push(text) + parser.finish()


def _character(text: str, at: int) -> str:
    if at == len(text):
        raise _UndecidedError
    return text[at]


def _run(text: str, at: int) -> int:
    """The end of the run of one character that starts at `at`. Raises _UndecidedError if it may go on."""
    end = at + 1
    while _character(text, end) == text[at]:
        end += 1
    return end


def _closing(text: str, at: int, pair: str) -> int | None:
    """The position after the bracket that closes the one at `at`; None without one. Raises _UndecidedError."""
    if _character(text, at) != pair[0]:
        return None
    depth = 0
    for place in range(at, min(len(text), at + REACH)):
        depth += (text[place] == pair[0]) - (text[place] == pair[1])
        if not depth:
            return place + 1
    _check_missing(text, at)
    return None


def _check_missing(text: str, inside: int) -> None:
    """Raises _UndecidedError while a closing mark may still come."""
    if len(text) <= inside + REACH and not text.endswith(_END):
        raise _UndecidedError
