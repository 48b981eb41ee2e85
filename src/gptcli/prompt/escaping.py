"""Special-token escaping: what somebody typed into a chat must not be read as a special token.

A chat template mixes what people typed with control tokens, and may cut, strip and search the text. So the first and
the last character of every special token are replaced, in what was typed, by placeholders: characters that occur
nowhere else, one for one. They survive whatever a template does with text, keep every length, and tell afterwards for
each `<` of the rendered chat who wrote it. A special token counts only where both its ends are the template's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_PLACEHOLDERS = range(0xF0000, 0xFFFFD)  # a private-use plane: no model's vocabulary and no keyboard has these


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt; only where `special` is true may text be read as control tokens.

    Text is cut only around control tokens that somebody typed, so no token is spread over two segments. The tokenizer
    must not put a space before any segment but the first."""

    text: str
    special: bool


class SpecialTokenEscaper:
    """Escapes the texts of `specials` in what was typed; characters of `taken` cannot be placeholders."""

    def __init__(self, specials: Iterable[str], taken: str) -> None:
        self._specials = {special for special in specials if special}
        self._lengths = sorted({len(special) for special in self._specials}, reverse=True)
        ends = sorted({end for special in self._specials for end in (special[0], special[-1])})
        used = set(taken)
        free = (chr(code) for code in _PLACEHOLDERS if chr(code) not in used)
        self._escapes = {ord(end): next(free) for end in ends}
        self._originals = {ord(placeholder): chr(end) for end, placeholder in self._escapes.items()}
        self._ends = _any_of(ends)
        self._starts = _any_of({special[0] for special in self._specials})
        self._placeholders = _any_of(self._escapes.values())

    def concerns(self, text: str) -> bool:
        """Whether `text` has a character that a special token begins or ends with."""
        return self._ends.search(text) is not None

    def escape_all(self, text: str) -> str:
        """`text` with every such character replaced: nothing in it can be taken for a special token."""
        return text.translate(self._escapes)

    def escape_specials(self, text: str) -> str:
        """`text` with only those of them replaced that belong to a whole special token."""
        characters = list(text)
        for start, end in self._found(text):
            for place in (start, end - 1):
                characters[place] = self._escapes[ord(text[place])]
        return "".join(characters)

    def restore(self, escaped: str) -> str:
        """The text with the original characters in place of the placeholders."""
        return escaped.translate(self._originals)

    def specials(self, escaped: str) -> list[str]:
        """The special tokens of a rendered chat that the template itself wrote, in order."""
        typed, text = self._typed(escaped), self.restore(escaped)
        return [text[start:end] for start, end in self._found(text) if start not in typed and end - 1 not in typed]

    def segments(self, escaped: str) -> list[Segment]:
        """The rendered chat, with special tokens that were typed in segments of their own."""
        typed, text = self._typed(escaped), self.restore(escaped)
        pieces: list[Segment] = []
        done = 0
        for start, end in self._found(text):
            if end <= done or not (start in typed or end - 1 in typed):
                continue
            if start > done:
                pieces.append(Segment(text[done:start], True))
            overlapping = pieces.pop().text if start < done else ""
            pieces.append(Segment(overlapping + text[max(start, done) : end], False))
            done = end
        if done < len(text) or not pieces:
            pieces.append(Segment(text[done:], True))
        return pieces

    def _typed(self, escaped: str) -> set[int]:
        return {match.start() for match in self._placeholders.finditer(escaped)}

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of the longest special token at every place where one begins, overlapping ones too."""
        for match in self._starts.finditer(text):
            start = match.start()
            found = (text[start : start + length] for length in self._lengths)
            if special := next((one for one in found if one in self._specials), ""):
                yield start, start + len(special)


def _any_of(characters: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, characters)) or "(?!)")
