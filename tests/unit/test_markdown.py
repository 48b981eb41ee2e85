"""Streamed Markdown: where the text is cut makes no difference, nothing is repainted and no word is lost."""

import random
import re

import pyte
import pytest
from awkward_markdown import DOCUMENTS, LONG
from hypothesis import given
from hypothesis import strategies as st

from gptcli.render.markdown import MarkdownStream
from gptcli.render.wrap import visible, width


def stream(pieces: list[str], columns: int = 80) -> str:
    markdown = MarkdownStream(columns)
    return "".join([*map(markdown.push, pieces), markdown.finish()])


def screen(outputs: list[str], columns: int) -> list[object]:
    """What a terminal shows after these outputs: characters and their styles."""
    terminal = pyte.Screen(columns, 400)
    feeder = pyte.Stream(terminal)
    for output in outputs:
        feeder.feed(re.sub("[\u200d\ufe0f]", "", output).replace("\n", "\r\n"))  # pyte drops what follows these
    assert terminal.cursor.y < 399  # nothing has scrolled away
    return [sorted(terminal.buffer[row].items()) for row in range(400)]


def cut(text: str, seed: int) -> list[str]:
    chance = random.Random(seed)
    cuts = sorted(chance.randint(0, len(text)) for _ in range(chance.choice([1, 5, 50, len(text)])))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def test_there_are_fifty_documents() -> None:
    assert len(set(DOCUMENTS)) >= 50


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_cutting_the_text_does_not_change_the_screen(number: int, columns: int) -> None:
    document = DOCUMENTS[number]
    whole = stream([document], columns)
    markdown = MarkdownStream(columns)
    outputs = [*map(markdown.push, cut(document, number)), markdown.finish()]
    assert screen(outputs, columns) == screen([whole], columns)
    for pieces in (cut(document, number + 100), list(document)):
        assert stream(pieces, columns) == whole


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_only_escape_sequences_are_styles(document: str) -> None:
    output = stream([document], 40)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    assert not [character for character in plain if character < " " and character not in "\n\t"]
    assert "\x7f" not in plain
    assert "\x9b" not in plain


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_word_is_lost(document: str) -> None:
    def letters(text: str) -> str:
        return "".join(re.findall(r"[^\W_]", text))

    assert letters(visible(stream([document], 40))) == letters(document)


pieces = st.lists(
    st.one_of(
        st.sampled_from(
            [*"*_`~[]()!\\|>#-+=1.:\n\n\n \t", "```", "~~~", "**", "- ", "1. ", "|--|--|\n", "    ", "](", "> "]
        ),
        st.text(max_size=6),
    )
)


@given(pieces, st.sampled_from([20, 40, 80]))
def test_cutting_the_text_does_not_change_the_output(parts: list[str], columns: int) -> None:
    text = "".join(parts)
    whole = stream([text], columns)
    assert stream(parts, columns) == whole
    assert stream(list(text), columns) == whole


@given(st.lists(st.text(st.characters(blacklist_characters="|`~\n\r", blacklist_categories=("Cs", "Cc")), max_size=60)))
def test_no_line_is_too_wide(lines: list[str]) -> None:
    for line in visible(stream(["\n".join(f"x{line}" for line in lines)], 40)).split("\n"):
        assert width(line) < 40


def test_long_paragraphs_come_word_by_word() -> None:
    markdown = MarkdownStream(80)
    shown = "".join(markdown.push(word + " ") for word in LONG.split())
    assert visible(shown).split() == LONG.split()
    assert markdown.finish() == "\n"


def test_code_comes_line_by_line() -> None:
    markdown = MarkdownStream(80)
    assert visible(markdown.push("```\nfirst\nsec")) == "```\nfirst\n"
    assert visible(markdown.push("ond\n```\n")) == "second\n```\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("**b** *i* `c` ~~s~~", "\x1b[1mb\x1b[0m \x1b[3mi\x1b[0m \x1b[36mc\x1b[0m \x1b[9ms\x1b[0m\n"),
        ("# Head", "\x1b[1;35mHead\x1b[0m\n"),
        ("[text](url)", "\x1b[4mtext\x1b[0m \x1b[2m(url)\x1b[0m\n"),
        ("- a\n  1. b", "• a\n  1. b\n"),
        ("> a", "\x1b[2m│ \x1b[0ma\n"),
        ("a\\*b\\*", "a*b*\n"),
        ("snake_case_name 2 * 3 * 4", "snake_case_name 2 * 3 * 4\n"),
        ("| a |\n|--:|\n| bcd |", "  \x1b[1ma\x1b[0m\n───\nbcd\n"),
        ("```py\nx = 1\n```", "\x1b[2m```py\x1b[0m\nx = \x1b[94m1\x1b[0m\n\x1b[2m```\x1b[0m\n"),
        ("", ""),
    ],
)
def test_styles(source: str, expected: str) -> None:
    assert stream([source]) == expected


def test_wrapped_lines_of_a_list_item_are_indented() -> None:
    assert stream(["- " + "abcd " * 6], 20) == "• abcd abcd abcd\n  abcd abcd abcd\n"


def test_a_wide_table_fits() -> None:
    table = "| a | b |\n|---|---|\n| " + "long words here " * 5 + "| " + "more " * 10 + "|\n"
    lines = visible(stream([table], 40)).splitlines()
    assert max(map(width, lines)) <= 39
    assert len(lines) > 4
