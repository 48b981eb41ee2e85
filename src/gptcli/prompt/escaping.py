"""Which characters of a rendered chat were typed by somebody, and so can be no part of a special token.

It knows texts, special tokens' texts and stand-ins; it renders nothing and knows no template engine.

A chat template mixes what people typed with the control tokens around it, and may cut, strip and search the text on
the way, so "who wrote this character" must survive the template. The first and the last character of every special
token are replaced, in what was typed, by stand-ins: characters that occur nowhere else, one for one. They pass through
everything that a template does with text, keep every length, and afterwards tell for each `<` of the rendered chat
whether the template wrote it. A special token counts only where both its ends are the template's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_STAND_INS = range(0xF0000, 0xFFFFD)  # a private-use plane: no model's vocabulary and no keyboard has these


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt; only where `special` is true may text be read as control tokens.

    A whole token is never spread over two segments, and text is cut nowhere but around what somebody typed that looks
    like a control token. Who tokenizes a segment other than the first must keep the tokenizer from putting a space
    before it.
    """

    text: str
    special: bool


class SpecialTokenEscaper:
    """Stand-ins for the ends of `specials` in what was typed; characters of `taken` cannot be stand-ins."""

    def __init__(self, specials: Iterable[str], taken: str) -> None:
        self._specials = {special for special in specials if special}
        self._lengths = sorted({len(special) for special in self._specials}, reverse=True)
        ends = sorted({end for special in self._specials for end in (special[0], special[-1])})
        used = set(taken)
        free = (chr(code) for code in _STAND_INS if chr(code) not in used)
        self._marked = {ord(end): next(free) for end in ends}
        self._plain = {ord(stand_in): chr(end) for end, stand_in in self._marked.items()}
        self._ends = _any_of(ends)
        self._starts = _any_of({special[0] for special in self._specials})
        self._stand_ins = _any_of(self._marked.values())

    def concern(self, text: str) -> bool:
        """Whether `text` has a character that a special token begins or ends with."""
        return self._ends.search(text) is not None

    def everywhere(self, text: str) -> str:
        """`text` with every such character replaced: nothing in it can be taken for a special token."""
        return text.translate(self._marked)

    def in_specials(self, text: str) -> str:
        """`text` with only those of them replaced that belong to a whole special token."""
        characters = list(text)
        for start, end in self._found(text):
            for place in (start, end - 1):
                characters[place] = self._marked[ord(text[place])]
        return "".join(characters)

    def restore(self, marked: str) -> str:
        """What was typed, where stand-ins are now."""
        return marked.translate(self._plain)

    def specials(self, marked: str) -> list[str]:
        """The special tokens of a rendered chat that the template itself wrote, in order."""
        typed, text = self._typed(marked), self.restore(marked)
        return [text[start:end] for start, end in self._found(text) if start not in typed and end - 1 not in typed]

    def segments(self, marked: str) -> list[Segment]:
        """The rendered chat, with what looks like a special token but was typed set apart."""
        typed, text = self._typed(marked), self.restore(marked)
        pieces: list[Segment] = []
        done = 0
        for start, end in self._found(text):
            if end <= done or not (start in typed or end - 1 in typed):
                continue
            if start > done:
                pieces.append(Segment(text[done:start], True))
            if start < done:  # two that overlap
                pieces[-1] = Segment(pieces[-1].text + text[done:end], False)
            else:
                pieces.append(Segment(text[start:end], False))
            done = end
        if done < len(text) or not pieces:
            pieces.append(Segment(text[done:], True))
        return pieces

    def _typed(self, marked: str) -> set[int]:
        return {match.start() for match in self._stand_ins.finditer(marked)}

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of the longest special token at every place where one begins, overlapping ones too."""
        for match in self._starts.finditer(text):
            start = match.start()
            for length in self._lengths:
                found = text[start : start + length]  # shorter at the end of the text
                if found in self._specials:
                    yield start, start + len(found)
                    break


def _any_of(characters: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, characters)) or "(?!)")
