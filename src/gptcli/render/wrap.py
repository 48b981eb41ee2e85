"""Wraps styled text to the terminal's width, word by word as it streams in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import accumulate, groupby
from unicodedata import category, east_asian_width

from gptcli.render.inline import Span, Style

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_JOINER = "\u200d"
_CODES = {
    Style.BOLD: "1",
    Style.ITALIC: "3",
    Style.CODE: "36",
    Style.STRUCK: "9",
    Style.LINK: "4",
    Style.FAINT: "2",
    Style.HEADING: "1;35",
}


def width(text: str) -> int:
    """The columns of `text`: two for wide East Asian characters and emoji, none for combining marks."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def fit(text: str, columns: int) -> str:
    """`text` cut or padded to `columns`."""
    if text.isascii():
        return text[:columns].ljust(columns)
    ends = [end for end, used in enumerate(accumulate(map(_columns, text)), 1) if used <= columns]
    text = text[: max(ends, default=0)]
    return text + " " * (columns - width(text))


def visible(text: str) -> str:
    """`text` without its styles."""
    return _ESCAPE.sub("", text)


def styled(text: str, style: Style) -> str:
    """`text` with the escape sequences of its style around it."""
    codes = ";".join(code for flag, code in _CODES.items() if flag in style)
    return f"\x1b[{codes}m{text}\x1b[0m" if codes else text


def _columns(character: str) -> int:
    if east_asian_width(character) in "WF":
        return 2
    return 0 if category(character) in ("Mn", "Me", "Cf") else 1


class Wrapper:
    """Wraps one line of text to `limit` columns; `prefix` goes before the first line, `hang` before the others.

    Where the text is cut makes no difference. A word longer than a line is broken, and text of wide characters, which
    has no spaces, breaks between any two of them."""

    def __init__(self, limit: int, prefix: str = "", hang: str = "") -> None:
        self._limit = limit
        self._hang, self._hang_width = hang, width(visible(hang))
        self._column = width(visible(prefix))
        self._empty = True  # nothing in this line after its prefix
        self._spaces = self._word_width = 0
        self._word: list[tuple[str, Style]] = []
        self._wide = False
        self._out: list[str] = [prefix]

    def add(self, spans: Iterable[Span]) -> str:
        """The whole words that can be written after `spans`."""
        for span in spans:
            for character in span.text:
                if character == " ":
                    self._end_word()
                    self._spaces += 1
                else:
                    self._grow(character, span.style)
        return self._take()

    def finish(self) -> str:
        """The last word."""
        self._end_word()
        return self._take()

    def _take(self) -> str:
        out, self._out = "".join(self._out), []
        return out

    def _grow(self, character: str, style: Style) -> None:
        columns = _columns(character)
        joined = columns == 0 or (self._word and self._word[-1][0] == _JOINER)
        if not joined:
            full = self._word_width + columns > self._limit - self._hang_width
            if full or (self._word and (self._wide or columns == 2)):
                self._end_word()
            self._wide = columns == 2
        self._word.append((character, style))
        self._word_width += columns

    def _end_word(self) -> None:
        if not self._word:
            return
        if self._column + self._spaces + self._word_width > self._limit and not self._empty:
            self._out.append("\n" + self._hang)
            self._column = self._hang_width
        else:
            self._out.append(" " * self._spaces)
            self._column += self._spaces
        for style, characters in groupby(self._word, key=lambda pair: pair[1]):
            self._out.append(styled("".join(character for character, _ in characters), style))
        self._column += self._word_width
        self._word, self._word_width, self._spaces, self._wide, self._empty = [], 0, 0, False, False


def wrapped(spans: Iterable[Span], limit: int) -> list[str]:
    """Lines of at most `limit` columns."""
    wrapper = Wrapper(limit)
    return (wrapper.add(spans) + wrapper.finish()).split("\n")
