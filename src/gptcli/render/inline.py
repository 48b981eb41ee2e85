"""Parses a line of Markdown as it streams in: emphasis, code, links.

An opening mark waits for its closing mark, at most `REACH` characters; without one, it is plain text.
"""

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
_WAIT = -1
_NEVER = -2


class InlineParser:
    """Parses one line; where the text is cut makes no difference to the joined spans."""

    def __init__(self, style: Style = Style.PLAIN) -> None:
        self._style = style
        self._text = ""
        self._before = ""

    def push(self, text: str) -> list[Span]:
        """The spans that are decided now."""
        self._text += text
        return self._settle(final=False)

    def finish(self) -> list[Span]:
        """The rest, at the end of the line."""
        return self._settle(final=True)

    def _settle(self, *, final: bool) -> list[Span]:
        spans: list[Span] = []
        text, at = self._text, 0
        while at < len(text):
            mark = _MARK.search(text, at)
            if mark is None:
                self._plain(text[at:], spans)
                at = len(text)
                break
            self._plain(text[at : mark.start()], spans)
            at = mark.start()
            end = self._construct(text, at, final, spans)
            if end == _WAIT:
                break
            at = end
        self._text = text[at:]
        return spans

    def _plain(self, text: str, spans: list[Span]) -> None:
        if text:
            self._before = text[-1]
            spans.append(Span(text, self._style))

    def _construct(self, text: str, at: int, final: bool, spans: list[Span]) -> int:
        """Parse what starts at a mark; returns its end, or `_WAIT`."""
        parse = {"\\": self._escape, "`": self._code, "[": self._link, "!": self._link}.get(text[at], self._emphasis)
        end, found = parse(text, at, final)
        if end == _WAIT:
            return _WAIT
        if end == _NEVER:
            end = _run(text, at) if text[at] in "*_~`" else at + 1
            found = [Span(text[at:end], self._style)]
        spans += found
        self._before = text[end - 1]
        return end

    def _escape(self, text: str, at: int, final: bool) -> tuple[int, list[Span]]:
        if at + 1 == len(text):
            return (_NEVER if final else _WAIT), []
        if text[at + 1] not in _PUNCTUATION:
            return _NEVER, []
        return at + 2, [Span(text[at + 1], self._style)]

    def _code(self, text: str, at: int, final: bool) -> tuple[int, list[Span]]:
        inside = _run(text, at)
        if inside == len(text):
            return (_NEVER if final else _WAIT), []
        close = inside
        while (close := text.find("`", close, inside + REACH)) >= 0:
            end = _run(text, close)
            if end == len(text) and not final:
                return _WAIT, []
            if end - close == inside - at:
                return end, [Span(_unpadded(text[inside:close]), self._style | Style.CODE)]
            close = end
        return _missing(text, inside, final), []

    def _emphasis(self, text: str, at: int, final: bool) -> tuple[int, list[Span]]:
        inside = _run(text, at)
        if inside == len(text):
            return (_NEVER if final else _WAIT), []
        mark = text[at:inside]
        style = _EMPHASES.get(mark.replace("_", "*"))
        if style is None or text[inside].isspace() or (mark[0] == "_" and self._before.isalnum()):
            return _NEVER, []
        close = inside
        while (close := text.find(mark, close, inside + REACH)) >= 0:
            start, end = close, _run(text, close)
            if end == len(text) and not final:
                return _WAIT, []
            after = text[end : end + 1]
            closes = not text[start - 1].isspace() and text[start - 1] != "\\" and end - start == len(mark)
            if closes and not (mark[0] == "_" and after.isalnum()):
                return end, _parsed(text[inside:start], self._style | style)
            close = end
        return _missing(text, inside, final), []

    def _link(self, text: str, at: int, final: bool) -> tuple[int, list[Span]]:
        """`[label](target)` and `![label](target)`: the label, and the target in brackets."""
        begin = at + 1 if text[at] == "!" else at
        if begin == len(text):
            return (_NEVER if final else _WAIT), []
        if text[begin] != "[":
            return _NEVER, []
        label_end = _closing(text, begin, "[]", final)
        if label_end < 0:
            return label_end, []
        if label_end == len(text):
            return (_NEVER if final else _WAIT), []
        if text[label_end] != "(":
            return _NEVER, []
        end = _closing(text, label_end, "()", final)
        if end < 0:
            return end, []
        label, target = text[begin + 1 : label_end - 1], text[label_end + 1 : end - 1].split(" ")[0]
        spans = _parsed(label, self._style | Style.LINK)
        if target and target != label:
            spans.append(Span(f" ({target})", self._style | Style.FAINT))
        return end, spans


def _parsed(text: str, style: Style) -> list[Span]:
    parser = InlineParser(style)
    return parser.push(text) + parser.finish()


def _run(text: str, at: int) -> int:
    """The end of the run of one character that starts at `at`."""
    end = at + 1
    while end < len(text) and text[end] == text[at]:
        end += 1
    return end


def _closing(text: str, at: int, pair: str, final: bool) -> int:
    """The position after the bracket that closes the one at `at`, or `_WAIT` or `_NEVER`."""
    depth = 0
    for place in range(at, min(len(text), at + REACH)):
        if text[place] == pair[0]:
            depth += 1
        elif text[place] == pair[1]:
            depth -= 1
            if not depth:
                return place + 1
    return _missing(text, at, final)


def _missing(text: str, inside: int, final: bool) -> int:
    return _NEVER if final or len(text) > inside + REACH else _WAIT


def _unpadded(code: str) -> str:
    return code[1:-1] if code.startswith(" ") and code.endswith(" ") and code.strip() else code
