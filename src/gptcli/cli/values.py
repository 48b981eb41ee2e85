"""What the user writes after a flag, read into a value.

It knows the small notations (`TOKEN=BIAS`, `FILE=SCALE`, sampler lists) and no command.
"""

from __future__ import annotations

import json
import math
import re
from enum import Enum
from pathlib import Path

from gptcli.errors import UsageError

_SAMPLER_NAMES = {
    # what llama.cpp's --samplers calls them, and what people write instead
    "nucleus": "top_p",
    "temp": "temperature",
    "typical": "typ_p",
    "typical_p": "typ_p",
}
_NATIVE_BIAS = re.compile(r"(\d+)([+-](?:\d+(?:\.\d+)?|inf))")


class OutputFormat(str, Enum):
    """What stdout carries."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


def adapter(text: str) -> tuple[Path, float]:
    """`FILE` or `FILE=SCALE`. Raises UsageError."""
    name, separator, scale = text.rpartition("=")
    if not separator:
        name, scale = text, "1"
    try:
        path, strength = Path(name).expanduser(), float(scale)
    except ValueError:
        path, strength = Path(text).expanduser(), 1.0
    if not path.is_file():
        raise UsageError(f"--lora: there is no file {path}.", "Give FILE or FILE=SCALE.")
    return path, strength


def bias(text: str) -> tuple[int | str, float]:
    """`15043=+1`, `" the"=-2`, ` the=-inf`, or llama.cpp's own `15043+1`. Raises UsageError.

    Digits are a token id; in double quotes, with JSON's escapes, they are text."""
    if native := _NATIVE_BIAS.fullmatch(text):
        return int(native[1]), float(native[2])
    what, separator, amount = text.rpartition("=")
    try:
        number = float(amount)
    except ValueError:
        separator = ""
    if not separator or not what or math.isnan(number):
        raise UsageError(
            f"--logit-bias {text!r} is not TOKEN=BIAS.", "For example: ' the=-2', 15043=+1 or '\"42\"=-inf'."
        )
    if what.isdigit():
        return int(what), number
    if len(what) > 1 and what[0] == what[-1] == '"':
        try:
            what = json.loads(what)
        except ValueError:
            raise UsageError(f"--logit-bias {text!r} has a bad escape.", "Quoted text follows JSON's rules.") from None
    return what, number


def grammar(path: Path) -> str:
    """The text of a grammar's file. Raises UsageError where it cannot be read or is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--grammar-file: {path} cannot be read: {error.strerror}.", "Check the path.") from error
    except UnicodeDecodeError:
        raise UsageError(f"--grammar-file: {path} is no text in UTF-8.", "Give a GBNF grammar.") from None


def samplers(text: str) -> tuple[str, ...]:
    """Names separated by semicolons, in llama.cpp's spelling or near it. The engine knows which exist."""
    names = [name.strip().replace("-", "_") for name in text.split(";") if name.strip()]
    return tuple(_SAMPLER_NAMES.get(name, name) for name in names)
