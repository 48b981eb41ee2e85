"""How fast llama.cpp computes a prompt and decodes on this machine, measured as llama-bench measures it.

A prompt test decodes random tokens in steps of 512; a decode test feeds one random token after another, without
sampling (llama.cpp, tools/llama-bench/llama-bench.cpp: `test_prompt`, `test_gen`). Each starts with an empty cache, is
repeated, and comes after a run that is not counted: of the whole prompt, or of one token."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable

from gptcli.engine.backend import CacheConfig, Decoded
from gptcli.errors import Cancelled, EngineError
from gptcli.interrupt import Interrupt
from gptcli.llama.context import STEP_TOKENS, Context
from gptcli.llama.library import C
from gptcli.llama.model import Model

_SEED = 0


class SpeedTest:
    """Tests of one loaded model with some threads for both kinds of work."""

    def __init__(self, model: Model, threads: int, interrupt: Interrupt) -> None:
        self._model = model
        self._threads = threads
        self._interrupt = interrupt
        self._tokens = random_tokens(model, STEP_TOKENS)

    def prompt_seconds(self, tokens: int, repetitions: int) -> list[float]:
        """The time for a prompt of so many tokens, of each repetition. Raises OutOfMemory, Cancelled."""
        return self._measure(self._prompt, tokens, tokens, repetitions)

    def decode_seconds(self, tokens: int, repetitions: int) -> list[float]:
        """The time for decoding so many tokens, of each repetition. Raises OutOfMemory, Cancelled."""
        return self._measure(self._decode, 1, tokens, repetitions)

    def _measure(self, run: Callable[[Context, int], None], warm_up: int, tokens: int, repetitions: int) -> list[float]:
        times = []
        threads = self._threads, self._threads
        with contextlib.closing(Context(self._model, CacheConfig(tokens, 1), threads, self._interrupt)) as context:
            for count in (warm_up, *[tokens] * repetitions):
                context.remove(0, 0)
                started = time.perf_counter()
                run(context, count)
                C.llama_synchronize(context.handle)
                times.append(time.perf_counter() - started)
        return times[1:]

    def _prompt(self, context: Context, tokens: int) -> None:
        for start in range(0, tokens, STEP_TOKENS):
            end = min(start + STEP_TOKENS, tokens)
            for position in range(start, end):
                token = self._tokens[position % STEP_TOKENS]
                context.add(token, position, 0, logits=position == tokens - 1)
            self._step(context)

    def _decode(self, context: Context, tokens: int) -> None:
        for position in range(tokens):
            context.add(self._tokens[position % STEP_TOKENS], position, 0, logits=True)
            self._step(context)

    def _step(self, context: Context) -> None:
        outcome = context.decode()
        if outcome is Decoded.ABORTED:
            raise Cancelled("stopped")
        if outcome is not Decoded.OK:
            raise EngineError("llama.cpp found no room in its own cache.", "This is a bug.")


def random_tokens(model: Model, count: int) -> list[int]:
    """The same `count` tokens of the vocabulary each time."""
    size = C.llama_vocab_n_tokens(C.llama_model_get_vocab(model.handle))
    generator = random.Random(_SEED)
    return [generator.randrange(size) for _ in range(count)]
