"""Which of a repository's GGUF files is meant: that of the quantization asked for, else the most sensible.

It is pure: it knows file names, and neither sizes nor what is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gptcli.errors import ModelNotFound
from gptcli.models.gguf import split

PREFERENCE = (
    "Q4_K_M", "MXFP4", "MXFP4_MOE", "Q4_K_S", "Q4_K", "Q4_K_L", "Q4_K_XL", "IQ4_NL", "IQ4_XS", "Q4_1", "Q4_0",
    "Q5_K_M", "Q5_K_S", "Q5_K", "Q5_1", "Q5_0", "Q6_K", "Q8_0", "Q3_K_L", "Q3_K_M", "Q3_K", "IQ3_M",
    "F16", "BF16", "Q3_K_S", "IQ3_S", "IQ3_XS", "IQ3_XXS", "F32",
    "Q2_K", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S",
)  # fmt: skip
"""What to take where nothing is asked for, best first: about four bits, then more, then fewer."""

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
    """The file to open (of a split model the first), all files it needs, and what else there is."""

    file: str
    parts: tuple[str, ...]
    alternatives: tuple[str, ...]


def of(filename: str) -> str | None:
    """The quantization that a file's name tells, in capitals: `Q4_K_M`."""
    found: list[str] = _QUANTIZATION.findall(filename)
    return found[-1].upper() if found else None


def candidates(files: Iterable[str]) -> list[str]:
    """The models among `files`: GGUF files that are no companion (projector, importance matrix, draft).

    A split model is listed as its first part, and only where every part is there.
    """
    listed = list(files)
    there = set(listed)
    return [
        name
        for name in listed
        if name.lower().endswith(".gguf")
        and not _COMPANION.search(name)
        and split.is_first(name)
        and there.issuperset(split.parts(name))
    ]


def matches(filename: str, tag: str) -> bool:
    """Whether `tag` is the file's quantization, or stands in its name between delimiters (`-`, `.`, `_`, `/`)."""
    if _QUANTIZATION.fullmatch(tag):
        return of(filename) == tag.upper()
    return re.search(rf"(?<![A-Z0-9]){re.escape(tag)}(?![A-Z0-9])", filename, re.IGNORECASE) is not None


def choose(files: Iterable[str], tag: str | None = None) -> Choice:
    """The file of quantization `tag`; without one the best by `PREFERENCE`. ModelNotFound says what there is."""
    models = candidates(files)
    wanted = models if tag is None else [name for name in models if matches(name, tag)]
    if not wanted:
        there = ", ".join(sorted({of(name) or name for name in models}))
        if tag is None or not models:
            raise ModelNotFound(
                "There is no GGUF file of a whole model in it.", "Look for a repository named ...-GGUF."
            )
        raise ModelNotFound(f"There is no {tag} in it.", f"There are: {there}.")
    best = min(wanted, key=lambda name: _rank(name, tag))
    return Choice(best, tuple(split.parts(best)), tuple(name for name in models if name != best))


def _rank(filename: str, tag: str | None) -> tuple[int, bool, int, int, str]:
    """Of the same quantization: plain files before `UD-` and `i1-` ones, those higher up, shorter names."""
    quantization = of(filename)
    place = PREFERENCE.index(quantization) if quantization in PREFERENCE else len(PREFERENCE)
    variant = _VARIANT.search(filename) is not None and not (tag and _VARIANT.match(tag))
    return (place, variant, filename.count("/"), len(filename), filename)
