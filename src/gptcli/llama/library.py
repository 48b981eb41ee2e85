"""The binding to llama.cpp: its C functions as `C`, its log, its last message before an abort.

The functions behind `C` are not typed: llama-cpp-python's bindings are untyped ctypes."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import importlib.util
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def _load() -> Any:
    """The module `llama_cpp.llama_cpp` without its package's `__init__`, which imports numpy, jinja2 and the
    high-level class: 20 instead of 115 ms, and 21 MiB less. Where that fails, the package as it is."""
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is not None and spec.submodule_search_locations is not None:
            package = types.ModuleType("llama_cpp")
            package.__path__ = spec.submodule_search_locations
            package.__spec__ = spec
            sys.modules["llama_cpp"] = package
            with contextlib.suppress(ImportError):
                return importlib.import_module("llama_cpp.llama_cpp")
            del sys.modules["llama_cpp"]
    return importlib.import_module("llama_cpp.llama_cpp")


def others_run(loadavg: Path = Path("/proc/loadavg")) -> bool:
    """Whether other programs run now, beside the thread that asks; True where the system does not say."""
    try:
        running, _, _ = loadavg.read_text("ascii").split()[3].partition("/")  # proc_loadavg(5)
        return int(running) > 1
    except (OSError, ValueError, IndexError):
        return True


@contextlib.contextmanager
def _short_waits() -> Iterator[None]:
    """Let the OpenMP runtime that is loaded here (GNU's, which reads its environment once) spin for 3,000 turns if
    other programs run, instead of 300,000.

    Its threads wait for each other at some 500 barriers a step. Beside another program they spin away the time of the
    thread that they wait for: with 3,000 turns decoding is 1.35 times as fast there as with 100,000, and with 10,000 it
    is 1.25 times as fast. On a quiet machine threads that fall asleep and are woken cost 6 % of the decode rate, and 3
    to 13 % of that of prompts. What the user has set stays."""
    if any(name in os.environ for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")) or not others_run():
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = "3000"
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]  # for programs that are started from here


with _short_waits():
    C: Any = _load()
libc = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)

_ring: collections.deque[str] = collections.deque(maxlen=400)
_echo = False
_stderr_lock = threading.Lock()


def show_log() -> None:
    """Print llama.cpp's log to stderr as it is written (`-v`)."""
    global _echo
    _echo = True


def log_tail(lines: int = 12) -> str:
    """The last lines of llama.cpp's log, without its progress dots."""
    kept = [line for line in "".join(_ring).splitlines() if line.strip(". ")]
    return "\n".join(kept[-lines:])


def clear_log() -> None:
    """Forget the log so far, so that an error shows only the lines of the call that failed."""
    _ring.clear()


@contextlib.contextmanager
def muted_log() -> Iterator[None]:
    """Drop the log, unless it is shown.

    Loading a small model writes 1,100 lines, and each would wait for the GIL while another thread imports modules. The
    sink is C's own `abs`, which takes the level and ignores the rest. A call that fails is repeated with the log on."""
    if not _echo:
        C.llama_log_set(ctypes.cast(libc.abs, C.llama_log_callback), None)
    try:
        yield
    finally:
        C.llama_log_set(_on_log, None)


def captured_stderr(call: Callable[[], T]) -> tuple[T, bytes]:
    """The result of `call`, and all that was written to file descriptor 2 meanwhile.

    For the few complaints that llama.cpp prints and does not log. The descriptor belongs to every thread: keep `call`
    short, and write what is not its own to stderr again."""
    import tempfile

    with _stderr_lock, contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile())
            stderr = os.dup(2)
        except OSError:  # no space for the file, or stderr is closed
            return call(), b""
        try:
            os.dup2(file.fileno(), 2)
            result = call()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        file.seek(0)
        return result, file.read()


def system_info() -> str:
    """CPU features and backends of this llama.cpp, in its own words."""
    return str(C.llama_print_system_info().decode()).strip(" |")


def build_key() -> str:
    """Tells this build of llama.cpp from any other: its file, and the CPU features that it found."""
    status = os.stat(C._lib._name)
    return repr((status.st_size, status.st_mtime_ns, system_info()))


def symbol(name: str, result: Any, *arguments: Any) -> Any:
    """A C function that llama_cpp does not bind, from libllama or the ggml libraries that it links."""
    function = getattr(_library_with(name), name)
    function.restype, function.argtypes = result, list(arguments)
    return function


def _library_with(name: str) -> Any:
    if hasattr(C._lib, name):  # ELF and Mach-O also search the libraries that libllama was linked with
        return C._lib
    from llama_cpp._ctypes_extensions import load_shared_library

    for base in ("ggml-base", "ggml"):
        with contextlib.suppress(FileNotFoundError, RuntimeError):
            library = load_shared_library(base, C._base_path)
            if hasattr(library, name):
                return library
    raise AttributeError(name)


@C.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, data: Any) -> None:
    line = text.decode("utf-8", "replace")
    _ring.append(line)
    if _echo:
        sys.stderr.write(line)


_AbortCallback = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


@_AbortCallback  # type: ignore[untyped-decorator]
def _on_abort(message: bytes) -> None:
    """A GGML_ASSERT failed: llama.cpp would now abort the process with a core dump and a stack of addresses."""
    sys.stdout.flush()
    # "/path/of/the/build/ops.cpp:135: message": the folder is of no use here
    place, colon, text = message.decode("utf-8", "replace").strip().rstrip(".").partition(": ")
    reason = os.path.basename(place) + colon + text
    os.write(2, f"gptcli: error: llama.cpp aborted: {reason}.\nThe model file is probably damaged.\n".encode())
    os._exit(4)


def _start() -> None:
    C.llama_log_set(_on_log, None)
    with contextlib.suppress(AttributeError):
        symbol("ggml_set_abort_callback", ctypes.c_void_p, _AbortCallback)(_on_abort)
    C.llama_backend_init()


_start()
