"""Token probabilities in OpenAI's shapes: beside the text they are of, and always JSON."""

from __future__ import annotations

import itertools
import json
import math

from hypothesis import given
from hypothesis import strategies as st

from gptcli.openai.logprobs import UNLIKELY, Alignment, chat_logprobs
from gptcli.openai.response import Answer, text_logprobs
from gptcli.types import Alternative, Delta, Finished, FinishReason, TokenInfo

NEVER = -math.inf


def token(data: bytes, logprob: float = -1.0, top: list[Alternative] | None = None) -> TokenInfo:
    return TokenInfo(0, data.decode("utf-8", "surrogateescape"), logprob, top or [])


def alternative(data: bytes) -> Alternative:
    return Alternative(1, data.decode("utf-8", "surrogateescape"), NEVER)


def test_a_character_of_several_tokens_counts_for_the_last_of_them() -> None:
    tokens = [token(b"a"), token("😀".encode()[:2]), token("😀".encode()[2:]), token(b"b")]
    found = Alignment().logprobs(tokens, 3)
    assert found["tokens"] == ["a", "", "😀", "b"]
    assert found["text_offset"] == [0, 1, 1, 2]


@given(st.text(max_size=12), st.lists(st.integers(0, 40), max_size=8), st.integers(0, 9))
def test_tokens_joined_are_the_text_however_it_is_cut(text: str, cuts: list[int], start: int) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    tokens = [token(data[left:right]) for left, right in itertools.pairwise(places)]
    found = Alignment(start).logprobs(tokens, len(text))
    assert "".join(found["tokens"]) == text
    for piece, offset in zip(found["tokens"], found["text_offset"], strict=True):
        assert text[offset - start :].startswith(piece)


def test_a_token_that_a_stop_string_begins_in_ends_where_the_text_does() -> None:
    assert Alignment(5).logprobs([token(b"ab"), token(b"cSTOP")], 3)["tokens"] == ["ab", "c"]


def test_what_cannot_come_has_a_number_all_the_same() -> None:
    tokens = [token(b"x", NEVER, [alternative(b"\xff"), alternative(b"\xfe")])]
    text, chat = Alignment().logprobs(tokens, 1), chat_logprobs(tokens)
    for value in (text, chat):
        json.dumps(value, allow_nan=False)
    assert text["token_logprobs"] == [UNLIKELY]
    assert text["top_logprobs"] == [{"bytes:\\xff": UNLIKELY, "bytes:\\xfe": UNLIKELY}]  # two tokens, two names
    assert chat["content"][0]["top_logprobs"][0] == {"token": "\ufffd", "logprob": UNLIKELY, "bytes": [255]}


def test_offsets_count_from_the_start_of_the_prompt() -> None:
    answer = Answer(1)
    tokens = [token("é".encode()[:1]), token("é".encode()[1:]), token(b"!")]
    answer.delta(Delta("0", 0, "é!", tokens))
    answer.finished(Finished("0", 0, FinishReason.STOP, 1, 0, 3, 1, 0.0, 0.0))
    found = text_logprobs(answer.samples[0], len("où"))
    assert found["tokens"] == ["", "é", "!"]
    assert found["text_offset"] == [2, 2, 3]
