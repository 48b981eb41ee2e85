"""Loading: files that are not models, the library's log, and the cost of importing it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import tiny_gpt2

from gptcli.engine.backend import CacheConfig
from gptcli.errors import LoadError
from gptcli.interrupt import Interrupt
from gptcli.llama import library
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.devices import Offload
from gptcli.llama.model import Model
from gptcli.models.gguf.header import read_header
from gptcli.runtime import memory


def load(path: Path) -> LlamaBackend:
    return LlamaBackend(Model.load(path, Offload((), 0)), (1, 1), Interrupt())


@pytest.mark.parametrize(("layers", "known"), [(0, 0), (1, 1), (99, -1)])
def test_more_layers_than_there_are_means_all(tiny: Path, layers: int, known: int) -> None:
    model = Model.load(tiny, Offload((), layers))
    assert model.offload.layers == known
    model.close()


def test_a_cell_of_the_kv_cache_has_the_keys_and_values_of_all_layers(tiny: Path, starter: Path) -> None:
    for path in (tiny, starter):
        model = Model.load(path, Offload((), 0))
        assert model.cell_bytes == memory.cache(read_header(path), 1)
        model.close()


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    path = tiny_gpt2.write_tiny_gpt2(tmp_path / "new.gguf", architecture="gpt9")
    with pytest.raises(LoadError, match=r"new\.gguf has the architecture gpt9, which this version of llama\.cpp does"):
        load(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "failed to read magic"),
        (b"GGUF", "failed to read header"),
        (b"This is a letter and no model.\n" * 1000, "invalid magic characters: 'This', expected 'GGUF'"),
        (bytes(4096), "invalid magic characters"),
        (b"GGUF" + bytes(range(256)) * 40, "this GGUF file is version 50462976"),
    ],
    ids=["empty", "only the magic", "text", "zeros", "damaged"],
)
def test_a_file_that_is_not_gguf_is_refused_in_one_sentence(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.gguf"
    path.write_bytes(data)
    with pytest.raises(LoadError) as caught:
        load(path)
    assert caught.value.message.startswith(f"llama.cpp could not load wrong.gguf: {reason}")
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    assert reason in caught.value.log


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(keep: float, tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: int(len(whole) * keep)])
    reason = r"failed to read key-value pairs|tensor '.*' data is not within the file bounds"
    with pytest.raises(LoadError, match=rf"could not load cut\.gguf: ({reason})"):
        load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="No such file"):
        load(tmp_path / "missing.gguf")


def test_a_path_that_is_not_utf8_loads(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "na\udcefve.gguf"
    try:
        path.write_bytes(tiny.read_bytes())
    except OSError:
        pytest.skip("this file system does not allow such names")
    with load(path) as backend:
        assert backend.model.metadata("general.name") == "Tiny GPT-2"
        assert backend.vocabulary.tokenize(b"the", add_special=False, parse_special=False)


def test_metadata(backend: LlamaBackend) -> None:
    assert backend.model.metadata("general.name") == "Tiny GPT-2"
    assert backend.model.metadata("general.nothing") is None
    assert backend.model.metadata("general.architecture") == "gpt2"


def test_closing_frees_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    freed = []

    def free(name: str, function: Callable[[object], None], handle: object) -> None:
        freed.append(name)
        function(handle)

    for name in ("llama_free", "llama_model_free"):
        monkeypatch.setattr(library.C, name, partial(free, name, getattr(library.C, name)))
    backend = load(tiny)
    backend.reserve(CacheConfig(256, 1))
    replica = backend.replica()
    replica.reserve(CacheConfig(256, 1))
    replica.close()
    assert freed == ["llama_free"]  # the model still has an owner
    backend.close()
    backend.close()
    assert freed == ["llama_free", "llama_free", "llama_model_free"]
    assert backend.model.handle is None
    with pytest.raises(AssertionError, match="reserve"):
        backend.decode()


def test_the_log_keeps_the_last_lines_and_an_error_shows_only_its_own(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadError) as first:
        load(tmp_path / "one.gguf")
    with pytest.raises(LoadError) as second:
        load(tmp_path / "two.gguf")
    assert "one.gguf" in first.value.log
    assert "one.gguf" not in second.value.log
    library.clear_log()
    for number in range(1000):
        library._on_log(2, f"line {number}\n".encode(), None)
    library._on_log(2, b"....", None)
    assert library.log_tail(3).splitlines() == ["line 997", "line 998", "line 999"]
    assert len(library.log_tail(10_000).splitlines()) == 399


def test_a_good_load_is_silent(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(tiny).close()
    assert capfd.readouterr() == ("", "")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_importing_the_library_loads_neither_numpy_nor_jinja2() -> None:
    loaded = python("import sys, gptcli.llama.library; print(*sorted(sys.modules))").split()
    assert "llama_cpp.llama_cpp" in loaded
    assert not {"numpy", "jinja2", "llama_cpp.llama", "huggingface_hub", "rich"} & set(loaded)


def test_a_package_that_is_already_imported_is_used() -> None:
    assert python("import sys, llama_cpp, gptcli.llama.library as l; print(l.C is llama_cpp.llama_cpp)") == "True\n"


def test_the_log_is_shown_on_request(tiny: Path) -> None:
    code = f"""
from pathlib import Path
from gptcli.llama import library
from gptcli.llama.devices import Offload
from gptcli.llama.model import Model
library.show_log()
Model.load(Path({str(tiny)!r}), Offload((), 0)).close()
"""
    assert "general.architecture" in python(code)


def test_what_c_code_prints_is_captured_and_nothing_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    result, printed = library.captured_stderr(lambda: os.write(2, b"raw\n"))
    assert (result, printed) == (4, b"raw\n")
    with pytest.raises(ZeroDivisionError):
        library.captured_stderr(lambda: os.write(2, b"lost") // 0)
    os.write(2, b"shown\n")
    assert capfd.readouterr().err == "shown\n"


def test_a_closed_stderr_is_no_obstacle() -> None:
    code = "import os; os.close(2); from gptcli.llama.library import captured_stderr; print(captured_stderr(lambda: 7))"
    assert python(code) == "(7, b'')\n"
