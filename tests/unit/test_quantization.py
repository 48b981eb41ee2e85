"""The choice of a file: the requested quantization, or a sensible default."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.errors import ModelNotFound
from gptcli.models.gguf import quantization
from gptcli.models.gguf.quantization import split_parts

_KINDS = st.lists(st.sampled_from(quantization.PREFERENCE), min_size=1, max_size=8, unique=True)
_STYLES = st.sampled_from(["m-{}.gguf", "m.{}.gguf", "m-1.5B_{}.gguf", "{}/m-{}.gguf", "BF16-merge-{}.gguf"])


def test_a_tag_matches_whole_tokens_only() -> None:
    files = ["m-BF16.gguf", "m-UD-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-F16.gguf", "m-Q4_K_M.gguf", "m-IQ4_NL.gguf"]
    assert quantization.choose(files, "F16").file == "m-F16.gguf"
    assert quantization.choose(files, "q4_k_m").file == "m-Q4_K_M.gguf"
    assert quantization.choose(files, "UD-Q4_K_M").file == "m-UD-Q4_K_M.gguf"
    with pytest.raises(ModelNotFound, match="no Q4_K"):
        quantization.choose(files, "Q4_K")
    with pytest.raises(ModelNotFound) as refused:
        quantization.choose(files, "Q8_0")
    assert "IQ4_NL" in refused.value.hint


def test_companions_and_incomplete_splits_are_not_models() -> None:
    whole = [f"m-Q8_0-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    broken = ["m-Q4_K_M-00001-of-00002.gguf"]
    companions = ["mmproj-F16.gguf", "m-imatrix.gguf", "mtp-m-Q4_K_M.gguf", "README.md"]
    choice = quantization.choose([*companions, *broken, *whole])
    assert split_parts(choice.file) == whole
    assert choice.alternatives == ()
    with pytest.raises(ModelNotFound):
        quantization.choose(companions)


@given(_KINDS, _STYLES, st.randoms())
def test_the_requested_quantization_is_chosen(kinds: list[str], style: str, random: object) -> None:
    files = [style.format(kind, kind) for kind in kinds]
    random.shuffle(files)  # type: ignore[attr-defined]
    for kind in kinds:
        choice = quantization.choose(files, kind.lower())
        assert quantization.of(choice.file) == kind
        assert {choice.file, *choice.alternatives} == set(files)


@given(_KINDS, _STYLES, st.randoms())
def test_without_a_tag_the_preferred_quantization_is_chosen(kinds: list[str], style: str, random: object) -> None:
    files = [style.format(kind, kind) for kind in kinds]
    random.shuffle(files)  # type: ignore[attr-defined]
    best = min(kinds, key=quantization.PREFERENCE.index)
    assert quantization.of(quantization.choose(files).file) == best


@given(st.text(max_size=30), st.integers(1, 40), st.integers(1, 30))
def test_every_part_names_the_same_parts(prefix: str, number: int, count: int) -> None:
    name = f"{prefix}-{number:05d}-of-{count:05d}.gguf"
    parts = split_parts(name)
    if number > count:
        assert parts == [name]
    else:
        assert len(parts) == count
        assert parts[number - 1] == name
        assert all(split_parts(part) == parts for part in parts)
        assert [part for part in parts if split_parts(part)[0] == part] == parts[:1]
