"""Tokens and bytes of the tiny GPT-2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
import tiny_gpt2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gptcli.engine.engine import LocalEngine
from gptcli.errors import RequestError
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.vocabulary import LlamaVocabulary
from gptcli.params import Sampling
from gptcli.types import Delta, Request, TextPrompt

Open = Callable[..., LlamaBackend]
END = tiny_gpt2.END.encode()


@pytest.fixture
def vocabulary(backend: LlamaBackend) -> LlamaVocabulary:
    return backend.vocabulary


def joined(vocabulary: LlamaVocabulary, tokens: list[int]) -> bytes:
    return b"".join(map(vocabulary.piece, tokens))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=80) | st.text(max_size=30).map(str.encode))
@example(data=b"\xff\xfe")
@example(data=b"the \xe2\x82 king \xc3(\x00) \xf0\x9f\x99\x82!")
@example(data=b"\xed\xa0\x80")
def test_any_bytes_survive_a_round_trip(vocabulary: LlamaVocabulary, data: bytes) -> None:
    assert joined(vocabulary, vocabulary.tokenize(data, add_special=False, parse_special=False)) == data


def test_invalid_utf8_becomes_byte_tokens(vocabulary: LlamaVocabulary) -> None:
    plain = vocabulary.tokenize(b"the king", add_special=False, parse_special=False)
    tokens = vocabulary.tokenize(b"the king\xff\x80the king", add_special=False, parse_special=False)
    assert [vocabulary.piece(token) for token in tokens[len(plain) : -len(plain)]] == [b"\xff", b"\x80"]
    assert tokens[: len(plain)] == tokens[-len(plain) :] == plain


def test_special_tokens_only_on_request(vocabulary: LlamaVocabulary) -> None:
    wanted = vocabulary.tokenize(b"a" + END, add_special=False, parse_special=True)
    assert wanted[-1] == vocabulary.begin
    assert len(wanted) == 2
    typed = vocabulary.tokenize(b"a" + END, add_special=False, parse_special=False)
    assert vocabulary.begin not in typed
    assert joined(vocabulary, typed) == b"a" + END


def test_the_end_token_prints_as_nothing_and_has_a_name(vocabulary: LlamaVocabulary) -> None:
    (end,) = vocabulary.ends
    assert vocabulary.is_end(end)
    assert (vocabulary.piece(end), vocabulary.name(end)) == (b"", END.decode())
    assert not any(vocabulary.is_end(token) for token in range(end))


def test_a_long_text_needs_fewer_tokens_than_bytes(vocabulary: LlamaVocabulary) -> None:
    data = tiny_gpt2.TEXT.encode() * 20
    tokens = vocabulary.tokenize(data, add_special=True, parse_special=True)
    assert len(tokens) < len(data) / 2
    assert joined(vocabulary, tokens) == data


def test_fill_in_the_middle(tmp_path: Path, open_backend: Open) -> None:
    def add(writer: gguf.GGUFWriter) -> None:
        for number, name in enumerate(("fim_pre", "fim_suf", "fim_mid")):
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", 10 + number)

    backend = open_backend(tiny_gpt2.write_tiny_gpt2(tmp_path / "fim.gguf", more=add))
    plain = backend.vocabulary.tokenize(b"the", add_special=False, parse_special=False)
    other = backend.vocabulary.tokenize(b"king", add_special=False, parse_special=False)
    prompt = TextPrompt(b"the", suffix=b"king")
    tokens = LocalEngine(backend).encode(prompt).tokens
    assert tokens[-len(plain) - len(other) - 3 :] == (10, *plain, 11, *other, 12)


def test_fill_in_the_middle_is_refused_without_its_tokens(backend: LlamaBackend) -> None:
    with pytest.raises(RequestError, match="fill in the middle"):
        LocalEngine(backend).encode(TextPrompt(b"the", suffix=b"king"))


def test_suppressed_tokens_are_never_generated(tmp_path: Path, open_backend: Open, backend: LlamaBackend) -> None:
    (token,) = backend.vocabulary.tokenize(b" king", add_special=False, parse_special=False)

    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_array("tokenizer.ggml.suppress_tokens", [3, token])

    suppressing = open_backend(tiny_gpt2.write_tiny_gpt2(tmp_path / "s.gguf", more=add))
    assert suppressing.vocabulary.suppressed == [3, token]
    assert backend.vocabulary.suppressed == []
    engine = LocalEngine(suppressing)
    request = Request("r", TextPrompt(b"the"), Sampling(seed=1, top_k=0), max_tokens=300, n=3, logprobs=0)
    for event in engine.stream([request]):
        if isinstance(event, Delta):
            assert not {3, token} & {info.token for info in event.tokens}
