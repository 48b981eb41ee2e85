"""A tiny GPT-2 in several formats, and a backend on it with one thread."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gptcli.interrupt import Interrupt
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.devices import Offload
from gptcli.llama.library import C
from gptcli.llama.model import Model

FORMATS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7}
"""Numbers of llama.cpp's llama_ftype (include/llama.h); rows of 64 are whole blocks of each."""

Open = Callable[..., LlamaBackend]


@pytest.fixture(scope="session")
def formats(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny model as it was written and in the formats that llama.cpp itself makes of it."""
    folder = tmp_path_factory.mktemp("formats")
    made = {"F32": tiny}
    for name, number in FORMATS.items():
        if name not in made:
            parameters = C.llama_model_quantize_default_params()
            parameters.ftype, parameters.nthread, parameters.pure = number, 1, True
            made[name] = folder / f"tiny.{name}.gguf"
            assert C.llama_model_quantize(bytes(tiny), bytes(made[name]), ctypes.byref(parameters)) == 0
    return made


@pytest.fixture
def open_backend(tiny: Path) -> Iterator[Open]:
    """Opens backends that are closed when the test ends: the tiny model, or a path."""
    with ExitStack() as stack:

        def opened(
            path: Path = tiny,
            *,
            interrupt: Interrupt | None = None,
            allow: Callable[[int], None] | None = None,
            fast_greedy: bool = False,
        ) -> LlamaBackend:
            model = Model.load(path, Offload((), 0))
            backend = LlamaBackend(model, (1, 1), interrupt or Interrupt(), allow, fast_greedy=fast_greedy)
            return stack.enter_context(backend)

        yield opened


@pytest.fixture
def backend(open_backend: Open) -> LlamaBackend:
    return open_backend()
