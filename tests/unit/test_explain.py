"""Parts of prompts, pieces of texts, and pages that show them."""

from __future__ import annotations

import math
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.explain.parts import KINDS, split_parts
from gptcli.explain.surprise import pieces
from gptcli.render.explanation import percent, support_heat, support_page, surprise_page
from gptcli.render.heat import Heat, styled
from gptcli.types import Alternative, TokenInfo


@given(st.text(alphabet="aA .!?\n\"';。Dr", max_size=60), st.sampled_from([*KINDS, ";"]))
def test_the_parts_of_a_text_are_the_text_and_none_is_blank(text: str, kind: str) -> None:
    parts = split_parts(text, kind)
    assert "".join(parts) == text
    assert all(part.strip() for part in parts) or not text.strip() or not parts[0].strip()


@pytest.mark.parametrize(
    ("kind", "text", "parts"),
    [
        ("sentence", "Dr. Hill came. He said: “Go!” Why?", ["Dr. Hill came. ", "He said: “Go!” ", "Why?"]),
        ("sentence", "J. Smith\nBorn in 1.5 km", ["J. Smith\n", "Born in 1.5 km"]),
        ("line", "a\n\nb", ["a\n\n", "b"]),
        ("paragraph", "a\nb\n \nc", ["a\nb\n \n", "c"]),
        ("---", "a---b---", ["a---", "b---"]),
    ],
)
def test_parts(kind: str, text: str, parts: list[str]) -> None:
    assert split_parts(text, kind) == parts


def token(text: str, logprob: float, *others: str) -> TokenInfo:
    return TokenInfo(0, text, logprob, [Alternative(n + 1, other, logprob / 2) for n, other in enumerate(others)])


def test_tokens_that_share_a_character_are_one_piece() -> None:
    first, second = "é".encode()[:1], "é".encode()[1:]
    halves = [token(half.decode("utf-8", "surrogateescape"), -math.log(2), "x") for half in (first, second)]
    found = list(pieces([token("a", math.nan), *halves, token("b", -math.log(4))]))
    assert [(piece.text, piece.bits) for piece in found] == [("a", None), ("é", pytest.approx(2)), ("b", 2.0)]
    assert found[1].alternatives == (("x", pytest.approx(2**-0.5)),)


@given(st.lists(st.binary(min_size=1, max_size=3), max_size=12))
def test_no_token_is_lost_whatever_its_bytes_are(data: list[bytes]) -> None:
    found = list(pieces(token(one.decode("utf-8", "surrogateescape"), -1.0) for one in data))
    assert sum(piece.bits or 0 for piece in found) == pytest.approx(len(data) / math.log(2))
    whole = b"".join(data)
    try:
        whole.decode()
    except UnicodeDecodeError:
        return
    assert "".join(piece.text for piece in found) == whole.decode()


class Page(HTMLParser):
    """Collects what a browser would load or run, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [name for name, _ in attrs if name in ("src", "href", "onclick", "onload")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "page",
    [
        surprise_page("<T>", [("<script>alert(1)</script>", 3.0, [("<b>", 0.5)]), ("&amp;", None, [])]),
        support_page("W", "why", [("<img src=x onerror=y>", -1.0), ("b", 2.0)]),
    ],
)
def test_a_page_needs_nothing_and_runs_nothing(page: str) -> None:
    parsed = Page()
    parsed.feed(page)
    assert not {"script", "img", "link", "iframe"} & set(parsed.tags)
    assert not parsed.loaded
    assert "url(" not in page
    assert "<script>alert(1)</script>" in parsed.text or "<img src=x onerror=y>" in parsed.text


def test_colours_stop_at_the_end_of_a_line_and_controls_are_shown() -> None:
    shown = styled([Heat("hot\x1b[2J\nmore", 1.0), Heat("cool", 0.0)])
    assert shown == "\x1b[38;5;16;48;5;209mhot␛[2J\x1b[0m\n\x1b[38;5;16;48;5;209mmore\x1b[0mcool"


def test_the_part_with_the_most_effect_is_the_hottest() -> None:
    assert support_heat([1.0, -4.0, 0.0]) == [0.25, -1.0, 0.0]
    assert support_heat([0.0]) == [0.0]


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.996, "99.6 %"), (0.31, "31 %"), (0.012, "1.2 %"), (0.0001, "<0.1 %")]
)
def test_probabilities_for_people(share: float, text: str) -> None:
    assert percent(share) == text
