"""Regular expressions of JSON Schema, which are JavaScript's, in the syntax of Rust's `regex` that llguidance reads.

What a class leaves out (`\\W`, `[^\\d]`) is what Python and JavaScript both leave out, so that validators in either
language agree with what is generated."""

from __future__ import annotations

import re

_CLASSES = {"d": r"\p{Nd}", "w": r"\p{L}\p{N}\p{M}_", "s": r"\s\x{1c}-\x{1f}\x{85}\x{feff}"}
"""The widest reading of each class."""
_PLAIN = {
    "d": "0-9",
    "w": "0-9A-Za-z_",
    "s": r"\t-\r\x20\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}",
}
"""The narrowest."""
_QUANTIFIER = re.compile(r"\{[0-9]*(?:,[0-9]*)?\}")
_BRACED = re.compile(r"\\[pPux]\{[^{}]*\}")
_CLASS = re.compile(r"\[\^?(?:\\.|[^\]\\])*\]", re.DOTALL)


def rust_pattern(pattern: str) -> str:
    """The pattern for llguidance. What Rust has no syntax for is left as it is, and llguidance refuses it."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\" and position + 1 < len(pattern):
            parts.append(_escape(pattern, position))
            position += _escape_length(pattern, position)
        elif character == "[" and (found := _CLASS.match(pattern, position)):
            parts.append(_class(found.group()))
            position = found.end()
        elif character == "{" and not _QUANTIFIER.match(pattern, position):
            parts.append(r"\{")
            position += 1
        elif character == "}" and not _closes_quantifier(pattern, position):
            parts.append(r"\}")
            position += 1
        else:
            parts.append(character)
            position += 1
    return "".join(parts)


def _closes_quantifier(pattern: str, position: int) -> bool:
    opening = pattern.rfind("{", 0, position)
    return opening >= 0 and bool(_QUANTIFIER.fullmatch(pattern, opening, position + 1))


def _escape_length(pattern: str, position: int) -> int:
    if braced := _BRACED.match(pattern, position):
        return braced.end() - position
    if pattern[position + 1] == "c" and pattern[position + 2 : position + 3].isalpha():
        return 3
    return 2


def _escape(pattern: str, position: int) -> str:
    """An escape outside a class."""
    if braced := _BRACED.match(pattern, position):
        return braced.group()
    letter = pattern[position + 1]
    if letter in _PLAIN:
        return f"[{_PLAIN[letter]}]"
    if letter in "DWS":
        return f"[^{_CLASSES[letter.lower()]}]"
    if letter == "c" and _escape_length(pattern, position) == 3:
        return f"\\x{ord(pattern[position + 2]) % 32:02x}"
    return f"\\{letter}" if letter.isalnum() or letter in r"\.+*?()|[]{}^$#&-~/" else re.escape(letter)


def _class(text: str) -> str:
    """A class in brackets, with its brackets."""
    if text in ("[^]", r"[\s\S]", r"[\S\s]", r"[\d\D]", r"[\D\d]", r"[\w\W]", r"[\W\w]"):
        return "(?s:.)"
    negated = text.startswith("[^")
    inside = text[2 if negated else 1 : -1]
    parts: list[str] = []
    position = 0
    while position < len(inside):
        character = inside[position]
        if character == "\\" and position + 1 < len(inside):
            letter = inside[position + 1]
            if letter in _PLAIN:
                parts.append((_CLASSES if negated else _PLAIN)[letter])
            elif letter in "DWS":
                parts.append(f"[^{(_PLAIN if negated else _CLASSES)[letter.lower()]}]")
            elif letter == "b":
                parts.append(r"\x08")
            else:
                parts.append(_escape(inside, position))
            position += _escape_length(inside, position)
        else:
            parts.append(f"\\{character}" if character in "[&~" else character)
            position += 1
    return f"[{'^' if negated else ''}{''.join(parts)}]"
