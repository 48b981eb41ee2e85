"""Cuts a prompt into parts that can be left out: lines, sentences, paragraphs, or what is between a separator."""

from __future__ import annotations

import re

_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^\s])|(?<=[。！？])|\n+")
"""Where a sentence may end: behind its punctuation and closing quotes, or at a line's end."""
_SHORT = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|No|Nr|Fig)|\b[A-Z])\.$")
"""Abbreviations and initials, whose full stop ends no sentence."""
KINDS = ("sentence", "line", "paragraph")


def split_parts(text: str, kind: str) -> list[str]:
    """The parts, which joined are the text; blank ones belong to the part before them.

    `kind`: one of `KINDS`, else a separator, which belongs to the part before it."""
    if kind == "sentence":
        cuts = [match.end() for match in _SENTENCE.finditer(text) if not _SHORT.search(text[: match.start()])]
    elif kind == "line":
        cuts = [match.end() for match in re.finditer(r"\n", text)]
    elif kind == "paragraph":
        cuts = [match.end() for match in re.finditer(r"\n[ \t]*\n\s*", text)]
    else:
        cuts = [match.end() for match in re.finditer(re.escape(kind), text)]
    parts: list[str] = []
    start = 0
    for end in [*cuts, len(text)]:
        piece = text[start:end]
        if parts and not piece.strip():
            parts[-1] += piece
        elif piece:
            parts.append(piece)
        start = end
    return parts
