"""`gptcli models quantize`: quantize a stored model and import the result."""

from __future__ import annotations

from pathlib import Path

from gptcli.errors import UsageError
from gptcli.llama.quantize import check_source, quantize
from gptcli.models.files import temporary
from gptcli.models.gguf import quantization
from gptcli.models.progress import Report
from gptcli.models.refs import aliases
from gptcli.models.store import imports, integrity


def quantize_model(source: Path, kind: str, name: str | None, requantize: bool, report: Report) -> str:
    """Store `source` as `kind` and return its name. Raises UsageError, LoadError."""
    file_type = quantization.file_type(kind)
    if file_type is None:
        kinds = ", ".join(quantization.FILE_TYPES.values())
        raise UsageError(f"{kind!r} is not a quantization.", f"Available: {kinds}.")
    kind = quantization.FILE_TYPES[file_type]
    header = integrity.check(source)
    check_source(header.quantization, kind, requantize=requantize)
    name = aliases.check_new(name or _default_name(source, kind), source)
    aliases.imports_dir().mkdir(parents=True, exist_ok=True)
    part = temporary(aliases.imports_dir())
    report.start(name, sum(tensor.size for tensor in header.tensors))
    try:
        quantize(source, part, file_type, requantize=requantize, advance=report.advance)
        report.finish()
        return imports.import_model(part, name, report, move=True)
    finally:
        report.finish()
        part.unlink(missing_ok=True)


def _default_name(source: Path, kind: str) -> str:
    """The file's name with its quantization replaced."""
    stem, old = imports.name_from(source), quantization.of(source.name)
    at = stem.upper().rfind(old) if old else -1
    return f"{stem[:at]}{kind}{stem[at + len(old or '') :]}" if at > 0 else f"{stem}-{kind}"
