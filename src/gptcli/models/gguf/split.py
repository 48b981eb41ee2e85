"""Models in several files, named PREFIX-00001-of-0000N.gguf: one model, all of them or none.

It knows names only; the pattern is llama.cpp's (`llama_split_path`).
"""

from __future__ import annotations

import re

_PART = re.compile(r"(?s)(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
MOST_PARTS = 999
"""More than any model has; a name that says more is not believed."""


def parts(filename: str) -> list[str]:
    """Every file of the model that `filename` is a part of, in order; `filename` alone where it is whole."""
    match = _PART.fullmatch(filename)
    if match is None:
        return [filename]
    number, count = int(match["number"]), int(match["count"])
    if not 1 <= number <= count <= MOST_PARTS:
        return [filename]
    return [f"{match['prefix']}-{index:05d}-of-{count:05d}.gguf" for index in range(1, count + 1)]


def is_first(filename: str) -> bool:
    """Whether `filename` is a whole model, or the part of one that is opened first."""
    return parts(filename)[0] == filename
