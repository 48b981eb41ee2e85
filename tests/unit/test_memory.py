"""The memory a model needs and the memory that is free, against numbers reported by llama.cpp and by kernels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_gpt2 import write_tiny_gpt2

from gptcli.errors import ExitCode, OutOfMemory
from gptcli.llama.devices import Device, DeviceKind, Offload
from gptcli.models.gguf import header as gguf
from gptcli.models.gguf.header import Array, Header
from gptcli.runtime import memory

MIB = 2**20


def header(architecture: str, vocabulary: int, path: Path = Path("none.gguf"), **numbers: object) -> Header:
    metadata = {f"{architecture}.{key.replace('__', '.')}": value for key, value in numbers.items()}
    return Header(
        path=path,
        file_size=0,
        version=3,
        metadata={"general.architecture": architecture, **metadata},  # type: ignore[dict-item]
        arrays={"tokenizer.ggml.tokens": Array(8, vocabulary, 0)},
        tensors=(),
    )


SMOLLM2 = header(
    "llama",
    49152,
    block_count=30,
    context_length=8192,
    embedding_length=576,
    feed_forward_length=1536,
    attention__head_count=9,
    attention__head_count_kv=3,
)


@pytest.mark.parametrize(
    ("context", "cache", "compute"), [(512, 11.25, 98.252), (2048, 45.0, 102.5137), (8192, 180.0, 98.252)]
)
def test_the_need_agrees_with_the_buffers_that_llama_cpp_reports(context: int, cache: float, compute: float) -> None:
    """SmolLM2-135M, F16 cache, flash attention, n_ubatch 512, llama-cpp-python 0.3.36.

    The mask may share its memory with the logits, or not; the estimate assumes that it does not.
    """
    need = memory.need(SMOLLM2, context)
    mask = context * memory.STEP * 6
    assert need.cache == cache * MIB
    assert 0.9 * compute * MIB <= need.compute <= 1.1 * (compute * MIB + mask)


def test_a_smaller_type_makes_the_cache_smaller() -> None:
    whole, half = (memory.cache(SMOLLM2, 1024, *sizes) for sizes in ((), (34 / 32, 2.0)))
    assert half / whole == pytest.approx((34 / 32 + 2) / 4)


def test_weights_are_all_parts(tmp_path: Path) -> None:
    for number, size in ((1, 1000), (2, 500)):
        (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(bytes(size))
    assert memory.weights(header("llama", 10, tmp_path / "m-00001-of-00002.gguf")) == 1500


def test_windowed_layers_cache_only_the_window() -> None:
    shape = {"block_count": 4, "embedding_length": 64, "attention__head_count": 4}
    everything = memory.cache(header("gpt-oss", 10, **shape), 10_000)
    half = memory.cache(header("gpt-oss", 10, attention__sliding_window=128, **shape), 10_000)
    assert everything == 4 * 64 * 2 * 2 * 10_000
    assert half == everything / 2 + 2 * 64 * 2 * 2 * (128 + memory.STEP)
    assert memory.cache(header("gpt-oss", 10, attention__sliding_window=128, **shape), 100) == everything / 100
    pattern = (True, True, True, False)
    said = header("x", 10, attention__sliding_window=128, attention__sliding_window_pattern=pattern, **shape)
    assert memory.cache(said, 10_000) < half


def test_recurrent_layers_have_a_constant_state() -> None:
    mamba = header("mamba", 10, block_count=2, embedding_length=64, ssm__state_size=16, ssm__inner_size=128)
    assert memory.cache(mamba, 100) == memory.cache(mamba, 100_000) == 2 * 16 * 128 * 4


def test_a_header_without_numbers() -> None:
    assert memory.need(header("x", 0), 512).cache == 0


@given(st.integers(0, 2**31))
def test_the_largest_context_fits_and_the_next_does_not(free: int) -> None:
    context = memory.largest_context(SMOLLM2, free)
    assert 0 <= context <= 8192
    if context:
        assert memory.need(SMOLLM2, context).total <= free
    if context < 8192:
        assert memory.need(SMOLLM2, context + 256).total > free


def test_the_error_has_the_numbers_and_what_would_fit(tmp_path: Path) -> None:
    tiny = gguf.read_header(write_tiny_gpt2(tmp_path / "tiny.gguf"))
    memory.require(tiny, 512, 1 << 30)
    free = memory.need(tiny, 256).total
    with pytest.raises(OutOfMemory, match=r"tiny\.gguf with a context of 512 tokens needs") as refused:
        memory.require(tiny, 512, free)
    assert "--ctx-size 256" in refused.value.hint
    assert refused.value.exit_code == ExitCode.MEMORY == 8
    with pytest.raises(OutOfMemory) as refused:
        memory.require(tiny, 512, 1000)
    assert "smaller model" in refused.value.hint


def test_the_suggested_context_is_the_largest_that_fits_even_beyond_the_trained_one(tmp_path: Path) -> None:
    tiny = gguf.read_header(write_tiny_gpt2(tmp_path / "tiny.gguf"))  # trained on 512 tokens
    with pytest.raises(OutOfMemory) as refused:
        memory.require(tiny, 8192, memory.need(tiny, 2048).total)
    assert "--ctx-size 2048 would fit" in refused.value.hint


def test_each_engine_core_needs_a_cache_and_buffers_of_its_own(tmp_path: Path) -> None:
    path = write_tiny_gpt2(tmp_path / "tiny.gguf")
    tiny = gguf.read_header(path)
    least = memory.need(tiny, 4 * 256).total + 3 * memory.compute(tiny, 256)

    def check(free: int, cores: int) -> None:
        gpu = Device(1, "CUDA0", "a GPU", DeviceKind.GPU, free=free, total=free)
        memory.MemoryCheck(path).for_devices(Offload((gpu,), -1), cores)(256)

    check(least, 4)
    check(memory.need(tiny, 256).total, 1)
    with pytest.raises(OutOfMemory, match="1,024 tokens"):
        check(least - 1, 4)


# ---- free memory


@pytest.fixture(autouse=True)
def system_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system with 1000 KiB of available memory."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000 * 1024))


def system(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    for name, content in {"proc/self/cgroup": cgroup, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_without_a_limit_the_system_counts(tmp_path: Path) -> None:
    root = system(tmp_path, "0::/user\n", {"sys/fs/cgroup/user/memory.max": "max\n"})
    assert memory.available(root) == 1000 * 1024


def test_the_lowest_limit_of_all_cgroups_counts(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/a/memory.max": "500000\n",
        "sys/fs/cgroup/a/memory.current": "300000\n",
        "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 50000\nactive_file 10000\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/b/memory.current": "300000\n",
    }
    assert memory.available(system(tmp_path, "0::/a/b\n", files)) == 260_000


def test_a_limit_above_the_available_memory_does_not_count(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/a/memory.max": "5000000\n", "sys/fs/cgroup/a/memory.current": "0\n"}
    assert memory.available(system(tmp_path, "0::/a\n", files)) == 1000 * 1024


def test_the_first_version_of_cgroups(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "400000\n",
        "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "500000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
    }
    assert memory.available(system(tmp_path, "5:cpu:/x\n4:memory:/x\n0::/\n", files)) == 0


def test_a_system_without_cgroups(tmp_path: Path) -> None:
    assert memory.available(tmp_path) == 1000 * 1024


def test_the_real_system_has_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert MIB < memory.available() < 1 << 50
