"""Files that are no models, the library's log, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tiny_gpt2

from gptcli.engine.backend import CacheConfig
from gptcli.errors import LoadError
from gptcli.interrupt import Interrupt
from gptcli.llama import library
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.devices import Offload


def load(path: Path) -> LlamaBackend:
    return LlamaBackend.open(path, Offload((), 0), (1, 1), Interrupt())


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    path = tiny_gpt2.write_tiny_gpt2(tmp_path / "new.gguf", architecture="gpt9")
    with pytest.raises(LoadError, match=r"new\.gguf is of the architecture gpt9, which this llama\.cpp does not know"):
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
    ids=["empty", "only the mark", "text", "zeros", "damaged"],
)
def test_what_is_no_gguf_is_refused_in_a_sentence(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.gguf"
    path.write_bytes(data)
    with pytest.raises(LoadError) as caught:
        load(path)
    assert caught.value.message.startswith(f"llama.cpp could not load wrong.gguf: {reason}")
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    assert reason in caught.value.log


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused(keep: float, tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: int(len(whole) * keep)])
    reason = r"failed to read key-value pairs|tensor '.*' data is not within the file bounds"
    with pytest.raises(LoadError, match=rf"could not load cut\.gguf: ({reason})"):
        load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="No such file"):
        load(tmp_path / "missing.gguf")


def test_a_name_that_is_no_utf8(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "na\udcefve.gguf"
    try:
        path.write_bytes(tiny.read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    load(path).close()


def test_what_the_file_says_of_itself(backend: LlamaBackend) -> None:
    assert backend.model.metadata("general.name") == "Tiny GPT-2"
    assert backend.model.metadata("general.nothing") is None
    assert "gpt2" in backend.model.description


def test_closing_twice_is_harmless(tiny: Path) -> None:
    backend = load(tiny)
    backend.reserve(CacheConfig(256, 1))
    backend.close()
    backend.close()


def test_the_log_keeps_the_last_lines_and_an_error_only_its_own(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadError) as first:
        load(tmp_path / "one.gguf")
    with pytest.raises(LoadError) as second:
        load(tmp_path / "two.gguf")
    assert "one.gguf" in first.value.log
    assert "one.gguf" not in second.value.log
    with library.captured_log():
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


def test_where_the_package_was_imported_before_that_one_is_used() -> None:
    assert python("import sys, llama_cpp, gptcli.llama.library as l; print(l.C is llama_cpp.llama_cpp)") == "True\n"


def test_the_log_is_shown_when_it_is_wanted(tiny: Path) -> None:
    code = f"""
from pathlib import Path
from gptcli.llama import library
from gptcli.llama.devices import Offload
from gptcli.llama.model import Model
library.show_log()
Model.load(Path({str(tiny)!r}), Offload((), 0)).close()
"""
    assert "general.architecture" in python(code)
