"""`gptcli models quantize`: from a stored model to a smaller one of its own name.

It knows the order of the steps; quantizing is llama.cpp's, keeping the result models/'.
"""

from __future__ import annotations

import os
from pathlib import Path

from gptcli.errors import UsageError
from gptcli.llama.quantize import check_source, quantize
from gptcli.models.gguf import quantization, structure
from gptcli.models.gguf import tensor_types as ggml
from gptcli.models.refs import aliases as naming
from gptcli.models.report import Report
from gptcli.models.store import imports


def quantized(source: Path, kind: str, name: str | None, requantize: bool, report: Report) -> str:
    """Keep `source` as `kind` and return its name. UsageError, LoadError."""
    file_type = ggml.file_type(kind)
    if file_type is None:
        kinds = ", ".join(ggml.FILE_TYPES.values())
        raise UsageError(f"{kind!r} is no quantization.", f"There are: {kinds}.")
    kind = ggml.FILE_TYPES[file_type]
    header = structure.check(source)
    check_source(header.quantization, kind, requantize=requantize)
    name = naming.check_new(name or _name(source, kind), source)
    imports.imports_dir().mkdir(parents=True, exist_ok=True)
    part = imports.imports_dir() / f".{os.getpid()}.{name}.gguf"
    total = left = sum(tensor.size for tensor in header.tensors)

    def advance(count: int) -> None:
        nonlocal left
        count = min(count, left)  # llama.cpp rounds the sizes that it tells
        left -= count
        report.advance(count)

    report.start(name, total)
    try:
        quantize(source, part, file_type, requantize=requantize, advance=advance)
        report.finish()
        return imports.adopt(part, name, report=report)
    finally:
        report.finish()
        part.unlink(missing_ok=True)


def _name(source: Path, kind: str) -> str:
    """The file's name, with one quantization for the other."""
    stem, old = imports.name_of(source), quantization.of(source.name)
    at = stem.upper().rfind(old) if old else -1
    return f"{stem[:at]}{kind}{stem[at + len(old or '') :]}" if at > 0 else f"{stem}-{kind}"
