"""The likeliest token, by one look at the logits: 6 µs a token where a chain of llama.cpp's samplers takes 50.

It knows logits and tokens that must not be chosen, and nothing of chains; importing numpy pays only for many texts.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from gptcli.llama.library import C


class GreedySampler:
    """Implements `engine.backend.Sampler`; of equally likely tokens it takes the first, as llama.cpp's does."""

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
