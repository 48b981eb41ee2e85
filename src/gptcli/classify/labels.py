"""The labels that a text may get: from the command line, or from a file with a description of each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gptcli.errors import GptcliError, UsageError
from gptcli.types import Engine


@dataclass(frozen=True, slots=True)
class Label:
    """A name, which is what the model's probability is of, and what it means, if the name does not say it."""

    name: str
    description: str = ""


def parse_labels(given: str) -> list[Label]:
    """Labels from `a,b,c`, or from the file of that name: a line for each, `label` or `label<TAB>description`.

    Raises UsageError for no label at all, for an empty one and for one that is there twice."""
    labels = _read_labels(given) if os.path.isfile(given) else [Label(name.strip()) for name in given.split(",")]
    if not any(label.name for label in labels):
        raise UsageError("There are no labels.", "For example: --labels positive,negative.")
    seen: set[str] = set()
    for position, label in enumerate(labels, 1):
        if not label.name:
            raise UsageError(f"Label {position} of {given!r} is empty.", "Separate labels with single commas.")
        if label.name in seen:
            raise UsageError(f"The label {label.name!r} is there twice.", "Give every label its own name.")
        seen.add(label.name)
    return labels


def _read_labels(path: str) -> list[Label]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"The labels in {path} are not UTF-8 text.", "Convert the file to UTF-8.") from None
    except OSError as error:
        raise GptcliError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    cells = (line.partition("\t") for line in text.splitlines() if line.strip())
    return [Label(name.strip(), description.strip()) for name, _, description in cells]


def label_tokens(
    engine: Engine, names: Sequence[str], *, lead: str = " ", end: tuple[int, ...] = ()
) -> tuple[tuple[int, ...], ...]:
    """The tokens of each label where it follows the prompt; `lead` is what stands between the two.

    Where one label begins with all tokens of another, its text would count for both. Then all of them get `end`, the
    tokens that end a label, so that exactly one of them can be the answer. Raises UsageError for labels that are the
    same to this model."""
    tokens = [engine.tokenize((lead + name).encode("utf-8", "surrogateescape")) for name in names]
    for name, own in zip(names, tokens, strict=True):
        if not own:
            raise UsageError(f"The label {name!r} has no tokens in this model.", "Choose another name.")
    known: dict[tuple[int, ...], str] = {}
    for name, own in zip(names, tokens, strict=True):
        if own in known:
            message = f"The labels {known[own]!r} and {name!r} are the same tokens to this model."
            raise UsageError(message, "Choose names that differ in more than their spelling.")
        known[own] = name
    if has_prefix(tokens):
        tokens = [own + end for own in tokens]
    return tuple(tokens)


def has_prefix(sequences: Sequence[tuple[int, ...]]) -> bool:
    """Whether one of these sequences begins with another one."""
    ordered = sorted(sequences)
    return any(longer[: len(shorter)] == shorter for shorter, longer in itertools.pairwise(ordered))
