"""Direct reads of one row of logits: the greedy choice, and log-probabilities.

numpy is imported on first use, because it takes 70 ms that a single text does not earn back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from gptcli.llama.library import C
from gptcli.llama.vocabulary import LlamaVocabulary
from gptcli.types import Alternative, TokenInfo


class GreedySampler:
    """The most likely token by argmax: 6 µs a token, where llama.cpp's sampler chain takes 50.

    Implements `engine.backend.Sampler`. Of equally likely tokens it picks the first, as llama.cpp does."""

    def __init__(self, vocabulary_size: int, banned: frozenset[int], context: Callable[[], Any]) -> None:
        self._size = vocabulary_size
        self._banned = banned
        self._context = context

    def sample(self, row: int) -> int:
        import numpy as np

        pointer = C.llama_get_logits_ith(self._context(), row)
        array = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float * self._size)).contents
        logits = np.frombuffer(memoryview(array), np.float32)
        token = int(logits.argmax())
        if token in self._banned:
            allowed = logits.copy()
            allowed[list(self._banned)] = -np.inf
            token = int(allowed.argmax())
        return token

    def close(self) -> None:
        pass


def token_info(context: Any, row: int, vocabulary: LlamaVocabulary, token: int, alternatives: int) -> TokenInfo:
    """The natural log-probability of `token` before any sampler, and the most likely tokens, best first."""
    import numpy as np

    logits = C.llama_get_logits_ith(context, row)
    logprobs = np.ctypeslib.as_array(logits, (vocabulary.size,)).astype(np.float64)
    peak = logprobs.max()
    logprobs -= peak + np.log(np.exp(logprobs - peak).sum())
    best: list[int] = []
    if alternatives:
        top = np.argpartition(logprobs, -min(alternatives, logprobs.size))[-alternatives:]
        best = [int(index) for index in top[np.argsort(logprobs[top])[::-1]]]
    others = [Alternative(other, vocabulary.name(other), float(logprobs[other])) for other in best]
    text = vocabulary.piece(token).decode("utf-8", "surrogateescape")  # empty for a control token, as in the output
    return TokenInfo(token, text, float(logprobs[token]), others)
