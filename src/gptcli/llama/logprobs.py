"""Log-probabilities from llama.cpp's logits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gptcli.llama.sampler import no_usable_logits

_BLOCK = 64
"""Tokens of which at first only the best is looked at when the most likely ones are wanted."""


def token_logprobs(
    logits: Any, size: int, tokens: Sequence[int], alternatives: int
) -> Iterator[tuple[float, list[tuple[int, float]]]]:
    """For each of `tokens` its natural log-probability and the most likely tokens with theirs, best first.

    `logits`: a pointer to a row of `size` floats for each of them. Equal logits give equal floats, so a token is the
    likeliest if its value is that of the first alternative. Raises LoadError for NaN."""
    rows = np.ctypeslib.as_array(logits, (len(tokens), size))
    scratch = np.empty(size, np.float32)
    for row, token in zip(rows, tokens, strict=True):  # row by row: the scratch stays in the CPU's cache
        peak = row.max()
        np.subtract(row, peak, out=scratch)
        np.exp(scratch, out=scratch)
        amount = float(scratch.sum())
        if not 1 <= amount < size:  # NaN, or the same for every token
            raise no_usable_logits()
        total = float(peak) + math.log(amount)
        best = _best(row, min(alternatives, size))
        yield float(row[token]) - total, [(other, float(row[other]) - total) for other in best]


def _best(row: npt.NDArray[np.float32], count: int) -> list[int]:
    """The tokens with the `count` largest logits, best first, and the lower token id first where they are equal.

    They are among the `count` blocks with the largest maxima: a tenth of the time of a partition of the whole row."""
    if count <= 1:
        return [int(row.argmax())] if count else []
    whole = len(row) // _BLOCK * _BLOCK
    found = np.arange(len(row))
    if count * _BLOCK * 4 < whole:
        maxima = row[:whole].reshape(-1, _BLOCK).max(axis=1)
        blocks = np.argsort(-maxima, kind="stable")[:count]
        inside = (blocks[:, None] * _BLOCK + np.arange(_BLOCK)).ravel()
        found = np.concatenate([inside, np.arange(whole, len(row))])
    order = np.lexsort((found, -row[found]))[:count]
    return [int(token) for token in found[order]]
