"""Decoding pieces: whole characters, no stop string, nothing lost."""

from __future__ import annotations

import codecs
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from gptcli.engine.output import TextStream
from gptcli.types import TokenInfo


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def until_stop(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    """The text before the first stop string, found one character at a time, and that stop string."""
    for end in range(len(text) + 1):
        met = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if met:
            longest = max(met, key=len)
            return text[: end - len(longest)], longest
    return text, None


places = st.lists(st.integers(0, 10_000), max_size=30)
mixed = st.text(st.sampled_from("ab\n<|é語🙂👩‍👩‍👧"), max_size=30)
stops = st.lists(st.text(st.sampled_from("ab\n<|é語🙂"), min_size=1, max_size=5), max_size=3).map(tuple)


@given(data=st.binary(max_size=60) | mixed.map(str.encode), places=places)
@example(data="🙂語é".encode(), places=list(range(12)))
@example(data=b"\xf0\x9f\x99", places=[])
@example(data=b"\xe2\x82x\xff\xc3", places=[1, 2])
def test_any_bytes_cut_anywhere_are_preserved(data: bytes, places: list[int]) -> None:
    stream = TextStream()
    deltas = [stream.push(piece) for piece in cut(data, places)]
    text = "".join([*deltas, stream.finish()])
    came = text.encode("utf-8", "surrogateescape")
    assert data == came + data[len(data) - stream.unfinished :]
    assert len(came) + stream.unfinished == len(data)
    assert stream.unfinished < 4
    assert text == codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data)


@given(text=mixed, places=places)
def test_only_whole_characters_are_returned(text: str, places: list[int]) -> None:
    stream = TextStream()
    data = text.encode()
    done = 0
    out = ""
    for piece in cut(data, places):
        out += stream.push(piece)
        done += len(piece)
        # All complete characters at once, and no incomplete one.
        assert out == data[:done].decode("utf-8", "ignore")


@given(text=mixed, stops=stops, places=places)
@example(text="abcde", stops=("bcd", "abcde"), places=[])
@example(text="aab", stops=("ab",), places=[1, 2])
@example(text="xabab<|", stops=("abab<", "ab<"), places=[1, 2, 3, 4, 5, 6])
def test_a_stop_string_is_never_returned(text: str, stops: tuple[str, ...], places: list[int]) -> None:
    stream = TextStream(stops)
    expected, met = until_stop(text, stops)
    out = ""
    for piece in cut(text.encode(), places):
        out += stream.push(piece)
        assert expected.startswith(out)
    assert stream.stop == met
    assert out + stream.finish() == expected
    if met is not None:
        assert (stream.push(b"more"), stream.finish()) == ("", "")


@given(text=mixed, stops=stops)
def test_only_the_possible_start_of_a_stop_string_is_held_back(text: str, stops: tuple[str, ...]) -> None:
    stream = TextStream(stops)
    out = ""
    for end, character in enumerate(text, 1):
        out += stream.push(character.encode())
        if stream.stop is not None:
            break
        held = text[len(out) : end]
        assert not held or any(stop.startswith(held) for stop in stops)


def info(number: int) -> TokenInfo:
    return TokenInfo(number, str(number), -1.0, [])


@given(text=mixed, stops=stops, places=places)
@example(text="🙂", stops=(), places=[1, 2, 3])
@example(text="🙂a🙂", stops=("a🙂",), places=[1, 2, 3, 6])
def test_tokens_are_returned_with_the_text_they_end(text: str, stops: tuple[str, ...], places: list[int]) -> None:
    stream = TextStream(stops)
    pieces = [piece for piece in cut(text.encode(), places) if piece]
    ends = [sum(map(len, pieces[: number + 1])) for number in range(len(pieces))]
    out, came = "", []
    for number, piece in enumerate(pieces):
        if stream.stop is None:
            out += stream.push(piece, info(number))
        for token in stream.tokens():
            came.append(token.token)
            # No token before all of its bytes are delivered...
            assert ends[token.token] <= len(out.encode())
        # ...and none held back for longer.
        waiting = [index for index in range(number + 1) if index not in came]
        assert stream.stop is not None or not waiting or ends[waiting[0]] > len(out.encode())
    out += stream.finish()
    came += [token.token for token in [*stream.tokens(), *stream.last_tokens()]]
    starts = [0, *ends[:-1]]
    if stream.stop is None:
        assert came == list(range(len(pieces)))
    else:
        assert came == [number for number, start in enumerate(starts) if start < len(out.encode())]


def test_empty_stop_strings_are_ignored() -> None:
    stream = TextStream(("", ""))
    assert stream.push(b"a") == "a"
    assert stream.stop is None


def test_a_stop_string_of_invalid_utf8() -> None:
    stream = TextStream(("\udcff!",))
    assert [stream.push(b"a\xff"), stream.push(b"!b")] == ["a", ""]
    assert stream.stop == "\udcff!"
