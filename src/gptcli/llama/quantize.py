"""llama.cpp's quantizer, in a separate process: it cannot be interrupted, and may end in an assertion."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gptcli.errors import LoadError, UsageError

_SIZE = re.compile(r"size =\s+([0-9.]+) MiB")
"""llama.cpp logs this once for every finished tensor, the original size first (llama-quant.cpp)."""


def quantize(
    source: Path, target: Path, file_type: int, *, requantize: bool, advance: Callable[[int], None] = lambda count: None
) -> None:
    """Write `source` to `target` as llama.cpp's `file_type`; `advance` gets the finished bytes of the source.

    `requantize` allows a source that is quantized already. Raises LoadError, and leaves no `target`, on failure."""
    command = [sys.executable, "-m", __name__, str(source), str(target), str(file_type), str(int(requantize))]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}  # imports nothing from the current folder
    succeeded = False
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                advance(int(line))
            log = process.stderr.read()
            succeeded = process.wait() == 0
        finally:
            process.kill()
            if not succeeded:
                target.unlink(missing_ok=True)
    if not succeeded:
        raise LoadError(f"llama.cpp could not quantize {source}.", "See its log.", log=log)


def check_source(quantization: str, wanted: str, *, requantize: bool) -> None:
    """Raises UsageError if quality would be lost twice, unless `requantize` allows it."""
    if quantization not in {"F32", "F16", "BF16"} and not requantize:
        raise UsageError(
            f"The model is {quantization} already; quantizing it to {wanted} loses quality twice.",
            "Start from F16, BF16 or F32, or add --requantize.",
        )


def _child(source: str, target: str, file_type: str, requantize: str) -> int:
    from gptcli.llama.library import C, log_tail, muted_log

    @C.llama_log_callback  # type: ignore[untyped-decorator]
    def on_log(level: int, text: bytes, data: object) -> None:
        line = text.decode("utf-8", "replace")
        lines.append(line)
        if size := _SIZE.search(line):
            sys.stdout.write(f"{int(float(size[1]) * (1 << 20))}\n")
            sys.stdout.flush()

    lines: list[str] = []
    parameters = C.llama_model_quantize_default_params()
    parameters.ftype = int(file_type)
    parameters.allow_requantize = requantize == "1"
    with muted_log():
        C.llama_log_set(on_log, None)
        failed = C.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(parameters))
    if failed:
        sys.stderr.write("".join(lines[-5:]) or log_tail())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(_child(*sys.argv[1:]))
