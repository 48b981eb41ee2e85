"""GGUF headers: a valid one is read, and a damaged one raises LoadError and nothing else."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import gguf as writer
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_gpt2 import write_tiny_gpt2

from gptcli.errors import LoadError
from gptcli.models.gguf import header as gguf
from gptcli.models.gguf import structure
from gptcli.models.store import integrity


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gpt2(tmp_path_factory.mktemp("tiny") / "tiny.gguf", chat_template="{{ messages }}")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTCLI_CACHE_DIR", str(tmp_path / "cache"))


def _write(path: Path, **numbers: object) -> Path:
    """A small file with a few keys of every type."""
    file = writer.GGUFWriter(path, "test")
    for key, value in numbers.items():
        if isinstance(value, list):
            file.add_array(f"test.{key}", value)
        elif isinstance(value, float):
            file.add_float32(f"test.{key}", value)
        else:
            file.add_uint32(f"test.{key}", value)  # type: ignore[arg-type]
    file.add_tensor("a.weight", np.zeros((4, 64), np.float32))
    file.add_tensor("b.weight", np.zeros((2, 34), np.uint8), raw_dtype=writer.GGMLQuantizationType.Q8_0)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def test_read_a_header(tiny: Path) -> None:
    header = gguf.read_header(tiny)
    assert header.architecture == "gpt2"
    assert header.text("general.name") == "Tiny GPT-2"
    assert header.text("tokenizer.chat_template") == "{{ messages }}"
    assert header.own("context_length") == 512
    assert header.per_layer("attention.head_count") == [4, 4, 4]
    assert header.quantization == "F32"
    assert header.parameters == 248512
    assert header.arrays["tokenizer.ggml.tokens"].count == 513
    assert header.tensors[0].name == "token_embd.weight"
    assert header.tensors[0].shape == (64, 513)
    assert "tokenizer.ggml.tokens" not in header.metadata


def test_the_header_agrees_with_the_gguf_package(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.gguf", count=7, scale=0.5, layers=[1, 2, 3])
    header = gguf.read_header(path)
    theirs = writer.GGUFReader(path)
    assert [tensor.name for tensor in header.tensors] == [tensor.name for tensor in theirs.tensors]
    assert [tensor.size for tensor in header.tensors] == [int(tensor.n_bytes) for tensor in theirs.tensors]
    assert header.metadata["test.layers"] == (1, 2, 3)
    assert header.metadata["test.scale"] == 0.5
    assert header.quantization == "F32"  # the file has no file type; most of its bytes are F32


def test_read_up_to_the_vocabulary(tiny: Path) -> None:
    header = gguf.read_header(tiny, upto_tokenizer=True)
    assert header.own("block_count") == 3
    assert header.arrays["tokenizer.ggml.tokens"].count == 513
    assert not header.tensors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"hello world", "is not a GGUF file"),
        (b"PK\x03\x04" + bytes(50), "zip or PyTorch"),
        (b"version https://git-lfs", "Git LFS pointer"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(16), "GGUF version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), "claims"),
        (b"GGUF" + struct.pack("<I", 3), "truncated"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(LoadError, match=message):
        gguf.read_header(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(LoadError, match="cannot be read"):
            gguf.read_header(path)


def test_a_truncated_file_is_refused_with_its_size(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in [*range(4, 20_000, 331), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(LoadError, match=r"truncated|claims") as refused:
            gguf.read_header(path)
        assert str(length) in refused.value.message or "claims" in refused.value.message
    assert str(len(whole)) in refused.value.message


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damage_raises_only_load_errors(tiny: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(tiny.read_bytes()[:20_000])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(4, 15_000))
        new = data.draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 8, bytes(8), b"\xff\x7f"]))
        content[at : at + len(new)] = new
    path = tmp_path / "damaged.gguf"
    path.write_bytes(content)
    os.truncate(path, 1_000_000)
    with contextlib.suppress(LoadError):
        header = structure.check(path)
        assert sum(tensor.size for tensor in header.tensors) <= header.file_size


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"block_count": 0}, "block_count is 0"),
        ({"block_count": 100_000}, "block_count is 100000"),
        ({"block_count": 2, "attention.head_count": [4, 4], "attention.head_count_kv": [4, 3]}, "4 heads on 3"),
        ({"block_count": 2, "attention.head_count": 3, "embedding_length": 64}, "3 heads do not divide 64"),
        (
            {"block_count": 2, "attention.head_count": 4, "embedding_length": 64, "rope.dimension_count": 17},
            "rotates 17",
        ),
        ({"expert_count": 4, "expert_used_count": 0, "block_count": 2}, "uses 0 of 4 experts"),
        ({"attention.layer_norm_epsilon": -1.0}, "epsilon is -1.0"),
        ({"rope.freq_base": float("nan")}, "freq_base is nan"),
    ],
)
def test_values_that_llama_cpp_asserts_are_refused(tmp_path: Path, numbers: dict[str, object], message: str) -> None:
    path = _write(tmp_path / "x.gguf", **numbers)
    with pytest.raises(LoadError, match=message):
        structure.check(path)
    with pytest.raises(LoadError, match=message):
        integrity.check(path)
    assert integrity.recorded(path) is None


def test_duplicate_tokens_are_refused(tiny: Path, tmp_path: Path) -> None:
    content = tiny.read_bytes()
    path = tmp_path / "twice.gguf"
    path.write_bytes(content.replace("Ġthis".encode(), "Ġth\0s".encode(), 1))  # to llama.cpp that is "Ġth"
    with pytest.raises(LoadError, match="are equal"):
        structure.check(path)


def test_a_vocabulary_without_every_byte_is_refused(tiny: Path, tmp_path: Path) -> None:
    content = tiny.read_bytes()
    key = struct.pack("<Q", 20) + b"tokenizer.ggml.model" + struct.pack("<IQ", 8, 4)
    assert content.count(key + b"gpt2") == 1
    path = tmp_path / "spm.gguf"
    path.write_bytes(content.replace(key + b"gpt2", key[:-8] + struct.pack("<Q", 5) + b"llama", 1) + bytes(64))
    with pytest.raises(LoadError, match="of the 256 bytes"):
        structure.check(path)


def test_an_intact_file_is_recorded_until_it_changes(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(tiny.read_bytes())
    assert integrity.recorded(path) is None
    integrity.check(path)
    assert integrity.recorded(path) == integrity.CHECKED
    with open(path, "ab") as file:
        file.write(b"\0")
    assert integrity.recorded(path) is None


def test_every_part_of_a_split_model_is_required(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "m-00001-of-00002.gguf"
    path.write_bytes(tiny.read_bytes())
    with pytest.raises(LoadError, match="1 of the 2 parts"):
        structure.check(path)
