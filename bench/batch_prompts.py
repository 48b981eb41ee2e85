"""Rows for the batch benchmark: short unrelated prompts, and prompts with a long shared instruction.

They are generated from word lists by counting, so they are the same on every machine.
"""

from __future__ import annotations

ROWS = 256
_WHO = ("baker", "captain", "doctor", "farmer", "king", "lawyer", "painter", "pilot")
_WHERE = ("bridge", "castle", "forest", "garden", "harbor", "island", "market", "river")
_WHAT = ("book", "clock", "letter", "map", "mirror", "ring", "stone", "wheel")
_WHEN = ("Before dawn", "In winter", "Last night", "On Monday")
_WHY = ("because the rain", "while her brother", "although no one", "until the music")
_FIRST = (
    "All",
    "Both",
    "Each",
    "Every",
    "Few",
    "Four",
    "Many",
    "Most",
    "No",
    "One",
    "Some",
    "Such",
    "That",
    "This",
    "Two",
)
_SECOND = ("big", "cold", "dark", "fast", "good", "green", "hard", "high", "late", "long", "new", "old", "red", "small")
_SECOND += ("strong", "warm", "white", "young")
_COLOURS = (
    "black",
    "blue",
    "bright",
    "brown",
    "gold",
    "gray",
    "green",
    "orange",
    "pink",
    "purple",
    "red",
    "silver",
    "white",
    "yellow",
)


def unrelated(count: int = ROWS) -> list[str]:
    """Up to ROWS different beginnings of stories, about 17 tokens each."""
    return [_story(number) for number in range(count)]


def _story(number: int) -> str:
    # 8 x 8 x 4 combinations make the ROWS; the other words only add variety.
    who, where, when = _WHO[number % 8], _WHERE[number // 8 % 8], _WHEN[number // 64 % 4]
    what, why = _WHAT[(number * 5 + number // 8) % 8], _WHY[(number // 4 + number // 64) % 4]
    return f"{when} the {who} carried a {what} to the {where} near the town {why}"


def instructed(count: int = ROWS) -> list[str]:
    """The same instruction in each row, followed by a short part of its own."""
    return [_instruct(_FIRST[0], _SECOND[0], number) for number in range(count)]


def instructed_apart(count: int = ROWS) -> list[str]:
    """The same work without a shared prefix: each row starts with two words of its own.

    Each of those words is one token, so the rows are as long as those of `instructed`."""
    pairs = [(first, second) for first in _FIRST for second in _SECOND]
    return [_instruct(*pairs[number], number) for number in range(count)]


def _instruct(first: str, second: str, number: int) -> str:
    rules = "".join(
        f" {_WHO[rule % 8].capitalize()} and {_WHAT[rule // 2 % 8]} go to the {_WHERE[rule // 3 % 8]}, "
        f"never in {colour} and always with a {_WHAT[rule % 7]}."
        for rule, colour in enumerate(_COLOURS * 2)
    )
    return f"{first} {second} stories follow these rules:{rules} Now this one:\n\n{_story(number)}"
