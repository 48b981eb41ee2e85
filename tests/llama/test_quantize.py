"""`gptcli models quantize` and the tables of tensor types, against llama.cpp itself."""

from __future__ import annotations

import ctypes
import io
from pathlib import Path

import pytest

from gptcli.cli.main import CommandContext
from gptcli.cli.models import app
from gptcli.errors import LoadError, UsageError
from gptcli.llama.library import symbol
from gptcli.models.gguf import header as gguf
from gptcli.models.gguf import quantization
from gptcli.models.refs import aliases
from gptcli.models.resolve import resolve
from gptcli.terminal import Terminal


def gptcli_models(*arguments: str) -> tuple[str, str]:
    terminal = Terminal(io.BytesIO(), io.BytesIO(), io.StringIO())
    app(list(arguments), obj=CommandContext(terminal, None), standalone_mode=False)
    return terminal.stdout.getvalue().decode(), terminal.stderr.getvalue()  # type: ignore[attr-defined]


def test_the_tensor_types_agree_with_ggml() -> None:
    block = symbol("ggml_blck_size", ctypes.c_int64, ctypes.c_int)
    size = symbol("ggml_type_size", ctypes.c_size_t, ctypes.c_int)
    name = symbol("ggml_type_name", ctypes.c_char_p, ctypes.c_int)
    for number, kind in quantization.TENSOR_TYPES.items():
        theirs = (name(number).decode().upper(), block(number), size(number))
        assert (kind.name, kind.block, kind.bytes) == theirs


def test_the_quantized_model_is_stored_under_a_name(home: Path, tiny: Path) -> None:
    out, err = gptcli_models("quantize", str(tiny), "q8_0")
    assert out == "tiny-Q8_0\n"
    assert err.count("tiny-Q8_0: ") > 5  # a line for every tenth
    from gptcli.models.progress import Silent

    model = resolve("tiny-Q8_0", offline=True, report=Silent())
    assert model.trusted
    header = gguf.read_header(model.path)
    assert header.quantization == "Q8_0"
    assert header.file_size < tiny.stat().st_size / 2
    assert {tensor.type.name for tensor in header.tensors} == {"F32", "Q8_0"}


def test_quantizing_twice_needs_requantize(home: Path, tiny: Path) -> None:
    gptcli_models("quantize", str(tiny), "Q8_0", "-q")
    with pytest.raises(UsageError, match="loses quality twice"):
        gptcli_models("quantize", "tiny-Q8_0", "Q4_0")
    assert gptcli_models("quantize", "tiny-Q8_0", "Q4_0", "--requantize")[0] == "tiny-Q4_0\n"


def test_a_failure_leaves_nothing(home: Path, tiny: Path) -> None:
    with pytest.raises(UsageError, match="not a quantization"):
        gptcli_models("quantize", str(tiny), "Q9_9")
    with pytest.raises(LoadError, match="could not quantize") as refused:
        gptcli_models("quantize", str(tiny), "IQ1_S")  # needs an importance matrix
    assert refused.value.log
    assert aliases.load().aliases == {}
    assert list(aliases.imports_dir().iterdir()) == []
