"""What a terminal must not get: control characters, bidirectional overrides and invisible format characters."""

from __future__ import annotations

import io
import unicodedata

import pytest

from gptcli.terminal import Terminal, escape_controls

WRITTEN = [
    "مرحبا بالعالم، كيف حالك؟ ١٢٣",
    "می\u200cخواهم",  # Persian joins letters unless a ZWNJ is between them
    "שלום עולם (abc)\u200f!",
    "\u0600\u06dd٣",  # visible, though their category is Cf
    "👩\u200d👩\u200d👧 ❤\ufe0f 👍🏽 🇨🇭 葛\U000e0100 é",
    "क्\u200dष ภาษาไทย 日本語\ttab\n",
]
INVISIBLE = [
    *map(chr, (*range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFFF9, 0xFFFC))),
    *map(chr, (0xAD, 0x180E, 0x200B, 0xFEFF)),
    *map(chr, (0xE0001, 0xE0020, 0xE0041, 0xE007F, 0x1D173, 0x1D17A)),
]
BIDIRECTIONAL_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize("text", WRITTEN)
def test_what_languages_and_emoji_are_written_with_is_kept(text: str) -> None:
    assert escape_controls(text) == text


@pytest.mark.parametrize("character", INVISIBLE, ids=lambda character: f"U+{ord(character):04X}")
def test_an_invisible_character_is_replaced_by_a_visible_one(character: str) -> None:
    assert escape_controls(f"a{character}b") == "a\ufffdb"


def test_nothing_that_controls_a_terminal_is_left() -> None:
    every = escape_controls("".join(map(chr, range(0x110000))))
    left = {character for character in every if unicodedata.category(character) in ("Cc", "Cs")}
    assert left == {"\t", "\n"}
    assert not {character for character in every if unicodedata.bidirectional(character) in BIDIRECTIONAL_CONTROLS}


def test_a_pipe_gets_every_character_and_a_terminal_none_of_these() -> None:
    name = "evil\u202efugg.txt"
    for tty, expected in ((False, name), (True, "evil\ufffdfugg.txt")):
        out, err = io.BytesIO(), io.StringIO()
        terminal = Terminal(io.BytesIO(), out, err, stdout_tty=tty, stderr_tty=True)
        terminal.write(name)
        terminal.report(name)
        assert out.getvalue().decode() == expected
        assert "\u202e" not in err.getvalue()
