"""How much memory a model takes and a machine has, against numbers that llama.cpp and kernels have reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_gpt2 import write_tiny_gpt2

from gptcli.errors import LoadError
from gptcli.models.gguf import header as gguf
from gptcli.models.gguf.header import Array, Header
from gptcli.runtime import fit, memory

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
    ("context", "cache", "compute"), [(512, 11.25, 98.252), (2048, 45.0, 99.377), (8192, 180.0, 166.3848)]
)
def test_it_agrees_with_the_buffers_that_llama_cpp_reports(context: int, cache: float, compute: float) -> None:
    """SmolLM2-135M, F16 cache, no flash attention, n_ubatch 512, llama-cpp-python 0.3.36."""
    need = fit.need(SMOLLM2, context, flash=False)
    assert need.cache == cache * MIB
    assert need.compute == pytest.approx(compute * MIB, rel=0.1)


def test_weights_are_all_parts(tmp_path: Path) -> None:
    for number, size in ((1, 1000), (2, 500)):
        (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(bytes(size))
    assert fit.weights(header("llama", 10, tmp_path / "m-00001-of-00002.gguf")) == 1500


def test_layers_with_a_window_keep_only_that() -> None:
    shape = {"block_count": 4, "embedding_length": 64, "attention__head_count": 4}
    everything = fit.cache(header("gpt-oss", 10, **shape), 10_000)
    half = fit.cache(header("gpt-oss", 10, attention__sliding_window=128, **shape), 10_000)
    assert everything == 4 * 64 * 2 * 2 * 10_000
    assert half == everything / 2 + 2 * 64 * 2 * 2 * (128 + fit.STEP)
    assert fit.cache(header("gpt-oss", 10, attention__sliding_window=128, **shape), 100) == everything / 100
    pattern = (True, True, True, False)
    said = header("x", 10, attention__sliding_window=128, attention__sliding_window_pattern=pattern, **shape)
    assert fit.cache(said, 10_000) < half


def test_layers_without_attention_have_a_state_that_does_not_grow() -> None:
    mamba = header("mamba", 10, block_count=2, embedding_length=64, ssm__state_size=16, ssm__inner_size=128)
    assert fit.cache(mamba, 100) == fit.cache(mamba, 100_000) == 2 * 16 * 128 * 4


def test_a_header_that_says_nothing_is_no_error() -> None:
    assert fit.need(header("x", 0), 512).cache == 0


@given(st.integers(0, 2**31))
def test_the_largest_context_fits_and_the_next_does_not(free: int) -> None:
    context = fit.largest_context(SMOLLM2, free)
    assert 0 <= context <= 8192
    if context:
        assert fit.need(SMOLLM2, context).total <= free
    if context < 8192:
        assert fit.need(SMOLLM2, context + 256).total > free


def test_a_refusal_has_the_numbers_and_what_would_fit(tmp_path: Path) -> None:
    tiny = gguf.read_header(write_tiny_gpt2(tmp_path / "tiny.gguf"))
    fit.require(tiny, 512, 1 << 30)
    free = fit.need(tiny, 256).total
    with pytest.raises(LoadError, match=r"tiny\.gguf with a context of 512 tokens needs") as refused:
        fit.require(tiny, 512, free)
    assert "--ctx-size 256" in refused.value.hint
    with pytest.raises(LoadError) as refused:
        fit.require(tiny, 512, 1000)
    assert "smaller model" in refused.value.hint


# ---- what the machine has


def system(root: Path, available_kib: int, cgroup: str, files: dict[str, str]) -> Path:
    files = {
        "proc/meminfo": f"MemTotal: 9 kB\nMemAvailable:    {available_kib} kB\n",
        "proc/self/cgroup": cgroup,
        **files,
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_without_a_limit_the_kernel_is_believed(tmp_path: Path) -> None:
    root = system(tmp_path, 1000, "0::/user\n", {"sys/fs/cgroup/user/memory.max": "max\n"})
    assert memory.linux(root) == 1000 * 1024


def test_the_limit_of_any_group_above_counts(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/a/memory.max": "500000\n",
        "sys/fs/cgroup/a/memory.current": "300000\n",
        "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 50000\nactive_file 10000\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/b/memory.current": "300000\n",
    }
    assert memory.linux(system(tmp_path, 1000, "0::/a/b\n", files)) == 260_000


def test_the_first_version_of_cgroups(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "400000\n",
        "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "500000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
    }
    assert memory.linux(system(tmp_path, 1000, "5:cpu:/x\n4:memory:/x\n0::/\n", files)) == 0


def test_a_system_that_says_nothing(tmp_path: Path) -> None:
    assert memory.linux(tmp_path) is None


def test_vm_stat() -> None:
    text = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10.
Pages active:                           1000.
Pages inactive:                           20.
Pages speculative:                         3.
Pages purgeable:                           4.
"""
    assert memory.vm_stat_bytes(text) == 37 * 16384
    assert memory.vm_stat_bytes("nothing") is None
