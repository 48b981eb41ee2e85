"""LoRA adapters on the tiny GPT-2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from answers import collect
from tiny_gpt2 import EMBEDDING

from gptcli.engine.backend import CacheConfig
from gptcli.engine.engine import LocalEngine
from gptcli.errors import LoadError
from gptcli.llama.backend import LlamaBackend
from gptcli.params import Sampling
from gptcli.types import Request, TextPrompt

Open = Callable[..., LlamaBackend]
RANK = 4


def write_adapter(path: Path, *, width: int = EMBEDDING, architecture: str = "gpt2") -> Path:
    """A LoRA adapter of random numbers for the first block's attention."""
    random = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(RANK))
    writer.add_tensor("blk.0.attn_qkv.weight.lora_a", random.standard_normal((RANK, width)).astype(np.float32))
    writer.add_tensor("blk.0.attn_qkv.weight.lora_b", random.standard_normal((3 * width, RANK)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def logprobs(backend: LlamaBackend) -> list[float]:
    """Of every token after a short text, by token id."""
    request = Request("r", TextPrompt(b"Once upon a time"), Sampling(temperature=0), max_tokens=1, logprobs=10_000)
    (info,) = collect(LocalEngine(backend).stream([request])).samples["r", 0].tokens
    return [other.logprob for other in sorted(info.top, key=lambda other: other.token)]


def adapted(backend: LlamaBackend, *adapters: tuple[Path, float]) -> list[float]:
    backend.load_adapters(adapters)
    return logprobs(backend)


def test_an_adapter_changes_the_logprobs_by_its_scale(tmp_path: Path, open_backend: Open) -> None:
    adapter = write_adapter(tmp_path / "lora.gguf")
    plain = logprobs(open_backend())
    assert adapted(open_backend(), (adapter, 0.0)) == pytest.approx(plain, abs=1e-5)
    assert adapted(open_backend()) == plain
    full, half = adapted(open_backend(), (adapter, 1.0)), adapted(open_backend(), (adapter, 0.5))
    assert np.abs(np.subtract(full, plain)).max() > 0.5
    assert np.abs(np.subtract(full, half)).max() > 0.1


def test_scales_add_up(tmp_path: Path, open_backend: Open) -> None:
    adapter = write_adapter(tmp_path / "lora.gguf")
    twice = adapted(open_backend(), (adapter, 0.5), (write_adapter(tmp_path / "copy.gguf"), 0.5))
    assert twice == pytest.approx(adapted(open_backend(), (adapter, 1.0)), abs=0.05)


def test_an_adapter_stays_when_the_context_grows(tmp_path: Path, open_backend: Open) -> None:
    backend = open_backend()
    whole = adapted(backend, (write_adapter(tmp_path / "lora.gguf"), 1.0))
    cells = backend.config.cells
    backend.reserve(CacheConfig(2 * cells, 2))
    assert logprobs(backend) == pytest.approx(whole, abs=0.02)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: write_adapter(path, width=32),
        lambda path: write_adapter(path, architecture="llama"),
        lambda path: path.write_bytes(b"no adapter at all" * 100) and path,
        lambda path: path / "missing.gguf",
    ],
    ids=["of another width", "of another architecture", "no GGUF", "missing"],
)
def test_an_adapter_that_does_not_fit_is_refused(
    make: Callable[[Path], Path], tmp_path: Path, backend: LlamaBackend
) -> None:
    with pytest.raises(LoadError, match="not a LoRA adapter for this model") as caught:
        backend.load_adapters([(make(tmp_path / "wrong.gguf"), 1.0)])
    assert caught.value.log


def test_the_model_itself_is_not_an_adapter(tiny: Path, backend: LlamaBackend) -> None:
    with pytest.raises(LoadError, match="not a LoRA adapter") as caught:
        backend.load_adapters([(tiny, 1.0)])
    assert "general.type" in caught.value.log
