"""Quantizations: ggml's types, and which of a repository's GGUF files has the wanted one.

The tables are those of llama.cpp in llama-cpp-python 0.3.36 (ggml.h, `ggml_type`; llama.h, `llama_ftype`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from gptcli.errors import ModelNotFound


@dataclass(frozen=True, slots=True)
class TensorType:
    """A storage format: `block` numbers take `bytes` bytes."""

    name: str
    block: int
    bytes: int


_TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}  # fmt: skip
TENSOR_TYPES = {number: TensorType(*fields) for number, fields in _TENSOR_TYPES.items()}
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4",
    40: "Q1_0", 41: "Q2_0",
}  # fmt: skip


def file_type(name: str) -> int | None:
    """The number of a file type by its name, in any case; `Q4_K` is `Q4_K_M`, as in llama.cpp's tools."""
    wanted = name.upper()
    wanted = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "MXFP4_MOE": "MXFP4"}.get(wanted, wanted)
    return next((number for number, known in FILE_TYPES.items() if known == wanted), None)


_PART = re.compile(r"(?s)(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
"""Names of a split model's files, as in llama.cpp's `llama_split_path`."""
_MAX_PARTS = 999
"""More than any model has; a name with a higher count is not taken for a part."""


def split_parts(filename: str) -> list[str]:
    """Every file of the split model that `filename` belongs to, in order; `[filename]` for a model in one file."""
    match = _PART.fullmatch(filename)
    if match is None or not 1 <= int(match["number"]) <= (count := int(match["count"])) <= _MAX_PARTS:
        return [filename]
    return [f"{match['prefix']}-{index:05d}-of-{count:05d}.gguf" for index in range(1, count + 1)]


def split_paths(path: Path) -> list[Path]:
    """Every file of the model that `path` belongs to, in order, whether it exists or not."""
    return [path.with_name(name) for name in split_parts(path.name)]


PREFERENCE = (
    "Q4_K_M", "MXFP4", "MXFP4_MOE", "Q4_K_S", "Q4_K", "Q4_K_L", "Q4_K_XL", "IQ4_NL", "IQ4_XS", "Q4_1", "Q4_0",
    "Q5_K_M", "Q5_K_S", "Q5_K", "Q5_1", "Q5_0", "Q6_K", "Q8_0", "Q3_K_L", "Q3_K_M", "Q3_K", "IQ3_M",
    "F16", "BF16", "Q3_K_S", "IQ3_S", "IQ3_XS", "IQ3_XXS", "F32",
    "Q2_K", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S",
)  # fmt: skip
"""The order of preference without a requested quantization: about four bits, then more, then fewer."""

_QUANTIZATION = re.compile(
    r"(?<![A-Z0-9])(?:"
    r"IQ[1-4]_(?:XXS|XS|S|M|NL)|TQ[12]_0|Q[1-8]_(?:K(?:_(?:XXS|XS|S|M|L|XL))?|[01](?:_\d_\d)?)"
    r"|B?F16|F32|MXFP4(?:_MOE)?|NVFP4"
    r")(?![A-Z0-9])",
    re.IGNORECASE,
)
_COMPANION = re.compile(r"mmproj|imatrix|(?:^|/)(?:mtp|eagle3|dflash|dspark)-", re.IGNORECASE)
_VARIANT = re.compile(r"(?:^|[-._/])(?:UD|i1|imat)(?=[-._/])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Choice:
    """The file to open (the first of a split model), and the other models."""

    file: str
    alternatives: tuple[str, ...]


def of(filename: str) -> str | None:
    """The quantization in a file's name, in capitals: `Q4_K_M`."""
    found: list[str] = _QUANTIZATION.findall(filename)
    return found[-1].upper() if found else None


def candidates(files: Collection[str]) -> list[str]:
    """The models among `files`: GGUF files other than projectors, importance matrices and draft models.

    A split model is listed as its first part, and only if all parts are present."""
    present = set(files)
    return [
        name
        for name in files
        if name.lower().endswith(".gguf")
        and not _COMPANION.search(name)
        and (parts := split_parts(name))[0] == name
        and present.issuperset(parts)
    ]


def _matches(filename: str, tag: str) -> bool:
    """Whether `tag` is the file's quantization, or a delimited word of its name (`-`, `.`, `_`, `/`)."""
    if _QUANTIZATION.fullmatch(tag):
        return of(filename) == tag.upper()
    return re.search(rf"(?<![A-Z0-9]){re.escape(tag)}(?![A-Z0-9])", filename, re.IGNORECASE) is not None


def choose(files: Collection[str], tag: str | None = None) -> Choice:
    """The file of quantization `tag`; by default the best by `PREFERENCE`. Raises ModelNotFound."""
    models = candidates(files)
    wanted = models if tag is None else [name for name in models if _matches(name, tag)]
    if not wanted:
        _report_incomplete([name for name in files if tag is None or _matches(name, tag)], files)
        if not models:
            raise ModelNotFound("It has no GGUF model.", "Look for a repository named ...-GGUF.")
        available = ", ".join(sorted({of(name) or name for name in models}))
        raise ModelNotFound(f"It has no {tag}.", f"Available: {available}.")
    best = min(wanted, key=lambda name: _rank(name, tag))
    return Choice(best, tuple(name for name in models if name != best))


def _report_incomplete(files: Iterable[str], present: Collection[str]) -> None:
    """Raise ModelNotFound if one of `files` is a part of a split model whose other parts are not `present`."""
    for name in files:
        parts = split_parts(name)
        if missing := [part for part in parts if part not in present]:
            raise ModelNotFound(
                f"Its model {parts[0]} is incomplete: {len(missing)} of the {len(parts)} parts are missing, "
                f"such as {missing[0]}.",
                "Look for another repository, or another quantization.",
            )


def _rank(filename: str, tag: str | None) -> tuple[int, bool, int, int, str]:
    """Within a quantization: plain files before `UD-` and `i1-` ones, then fewer folders, then shorter names."""
    quantization = of(filename)
    place = PREFERENCE.index(quantization) if quantization in PREFERENCE else len(PREFERENCE)
    variant = _VARIANT.search(filename) is not None and not (tag and _VARIANT.match(tag))
    return (place, variant, filename.count("/"), len(filename), filename)
