"""The bytes of tokens on disk: what is read is what was written, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.constraints.pieces import Pieces

some_texts = st.lists(st.binary(max_size=4), max_size=40)


@given(texts=some_texts, ends=st.lists(st.integers(0, 100), max_size=3))
def test_tokens_are_found_by_their_number_and_their_first_byte(
    texts: list[bytes], ends: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "pieces"
    Pieces.of(texts, ends).save(path)
    pieces = Pieces.load(path)
    assert pieces is not None
    assert (list(pieces), pieces.ends, len(pieces)) == (texts, ends, len(texts))
    assert [pieces[token] for token in range(len(texts))] == texts
    for byte in range(256):
        assert list(pieces.starting(byte)) == [n for n, text in enumerate(texts) if text.startswith(bytes((byte,)))]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:40] + b"x" + data[41:], lambda data: b""]
)
def test_a_damaged_file_is_not_read(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "pieces"
    Pieces.of([b"a", b"", b"bc"], [1]).save(path)
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    assert Pieces.load(path) is None
    assert Pieces.load(tmp_path / "none") is None
