"""llama.cpp as the engine's backend: a model, its context, its samplers.

It joins the parts of this folder behind `engine.backend.Backend`, and adds no policy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gptcli.engine.backend import CacheConfig, Decoded, MemoryKind, Sampler, share_of
from gptcli.errors import LoadError
from gptcli.interrupt import Interrupt
from gptcli.llama import probabilities
from gptcli.llama.context import STEP_TOKENS, Context
from gptcli.llama.devices import Offload
from gptcli.llama.library import C, build_key, captured_log, log_tail
from gptcli.llama.model import Model
from gptcli.llama.sampler import known_samplers, make_sampler
from gptcli.llama.vocabulary import LlamaVocabulary
from gptcli.params import Sampling
from gptcli.types import TokenInfo

_FROM_FILE: dict[str, tuple[str, type]] = {
    # field of Sampling: key in the GGUF (llama.cpp, LLAMA_MODEL_META_KEY_SAMPLING_*) and its type
    "samplers": ("general.sampling.sequence", str),
    "top_k": ("general.sampling.top_k", int),
    "top_p": ("general.sampling.top_p", float),
    "min_p": ("general.sampling.min_p", float),
    "xtc_probability": ("general.sampling.xtc_probability", float),
    "xtc_threshold": ("general.sampling.xtc_threshold", float),
    "temperature": ("general.sampling.temp", float),
    "repeat_last_n": ("general.sampling.penalty_last_n", int),
    "repeat_penalty": ("general.sampling.penalty_repeat", float),
    "mirostat": ("general.sampling.mirostat", int),
    "mirostat_tau": ("general.sampling.mirostat_tau", float),
    "mirostat_eta": ("general.sampling.mirostat_eta", float),
}

_TRIAL_TOKENS = 256
_TRIAL_STEPS = 2


class LlamaBackend:
    """Owns a model and its context, until `close`; a context manager. A replica owns its context only.

    `threads`: for decoding and for prompts. `many`: so many texts are written that the quickest sampler pays. `allow`
    is asked before each context, with its size in tokens, and raises LoadError where that would not fit into memory.
    """

    def __init__(
        self,
        model: Model,
        threads: tuple[int, int],
        interrupt: Interrupt,
        allow: Callable[[int], None] | None = None,
        *,
        many: bool = False,
    ) -> None:
        self._model = model
        self._threads = self._own_threads = threads
        self._interrupt = interrupt
        self._allow = allow
        self._context: Context | None = None
        self._adapters: list[tuple[Any, float]] = []
        self._many = many
        self._is_replica = False
        self.vocabulary = LlamaVocabulary(model.vocabulary_handle)
        self.config = CacheConfig()
        self.step_tokens = STEP_TOKENS
        self.max_sequences: int = C.llama_max_parallel_sequences()

    @classmethod
    def open(
        cls,
        path: Path,
        offload: Offload,
        threads: tuple[int, int],
        interrupt: Interrupt,
        allow: Callable[[int], None] | None = None,
        *,
        many: bool = False,
    ) -> LlamaBackend:
        """Load the model. Raises LoadError."""
        return cls(Model.load(path, offload), threads, interrupt, allow, many=many)

    def replica(self) -> LlamaBackend:
        """A further backend on the same model with a KV cache of its own, to compute at the same time as this one; to
        be closed before it."""
        made = LlamaBackend(self._model, self._threads, self._interrupt, self._allow, many=True)
        made._adapters = self._adapters
        made._is_replica = True
        return made

    @property
    def model(self) -> Model:
        return self._model

    @property
    def memory(self) -> MemoryKind:
        return self._model.memory

    @property
    def window(self) -> int:
        return self._model.window

    @property
    def trained_context(self) -> int:
        return self._model.trained_context

    @property
    def cpu_threads(self) -> int:
        return self._own_threads[0] if self._model.offload.is_cpu else 0

    @property
    def key(self) -> str:
        """What states depend on besides the files: the build, and where which layers are computed."""
        offload = self._model.offload
        return repr((build_key(), offload.description, offload.layers))

    def adapt(self, adapters: Sequence[tuple[Path, float]]) -> None:
        """Put LoRA adapters on the model, each with a strength. Raises LoadError for one that does not fit it."""
        for path, scale in adapters:
            with captured_log():
                handle = C.llama_adapter_lora_init(self._model.handle, os.fsencode(path))
            if not handle:  # a null pointer of a pointer type, not None
                raise LoadError(
                    f"{path} is no LoRA adapter for this model.",
                    "It must be a GGUF made for it.",
                    log=log_tail(),
                )
            self._adapters.append((handle, scale))

    def default_sampling(self, sampling: Sampling) -> Sampling:
        found: dict[str, Any] = {}
        for field, (key, kind) in _FROM_FILE.items():
            if field not in sampling.chosen and (text := self._model.metadata(key)) is not None:
                with contextlib.suppress(ValueError, OverflowError):  # what is no number is left out, as llama.cpp does
                    found[field] = known_samplers(text) if kind is str else kind(float(text))
        return dataclasses.replace(sampling, **found) if found else sampling

    def reserve(self, config: CacheConfig) -> None:
        if self._allow is not None:
            self._allow(config.cells)
        context = self._make_context(config)
        if self._adapters:
            context.adapt(self._adapters)
        if self._context is not None:
            if config.same_kind(self.config):
                context.take_over(self._context)
            self._context.close()
        self._context = context
        self.config = config

    def step_seconds(self, sequences: int) -> tuple[float, float]:
        began = time.perf_counter()
        with self._make_context(CacheConfig(_TRIAL_TOKENS * sequences, sequences, unified=False)) as context:
            steps = []
            for position in range(_TRIAL_STEPS + 1):  # the first one also warms up
                started = time.perf_counter()
                for sequence in range(sequences):
                    context.add(self.vocabulary.begin or 0, position, sequence, logits=True)
                if context.decode() is not Decoded.OK:
                    break
                steps.append(time.perf_counter() - started)
        ended = time.perf_counter()
        return min(steps[1:], default=ended - began), ended - began

    def share_threads(self, rank: int, count: int) -> None:
        decode, prompt = (max(1, share_of(every, rank, count)) for every in self._threads)
        if (decode, prompt) != self._own_threads:
            self._own_threads = decode, prompt
            if self._context is not None:
                self._context.use_threads(self._own_threads)

    def add(self, token: int, position: int, sequence: int, *, logits: bool) -> int:
        return self._live.add(token, position, sequence, logits=logits)

    def decode(self) -> Decoded:
        return self._live.decode()

    def remove(self, sequence: int, start: int) -> bool:
        return self._live.remove(sequence, start)

    def copy(self, source: int, target: int, end: int) -> None:
        self._live.copy(source, target, end)

    def first_position(self, sequence: int) -> int:
        return self._live.first_position(sequence)

    def state(self, sequence: int) -> memoryview:
        return self._live.state(sequence)

    def restore(self, sequence: int, state: memoryview) -> bool:
        return self._live.restore(sequence, state)

    def sampler(self, sampling: Sampling, seed: int, history: list[int], *, ignore_end: bool) -> Sampler:
        return make_sampler(
            sampling,
            seed,
            history,
            self.vocabulary,
            self._model.vocabulary_handle,
            lambda: self._live.handle,
            ignore_end=ignore_end,
            many=self._many,
        )

    def describe(self, row: int, token: int, alternatives: int) -> TokenInfo:
        logits = C.llama_get_logits_ith(self._live.handle, row)
        return probabilities.describe(logits, self.vocabulary, token, alternatives)

    def _make_context(self, config: CacheConfig) -> Context:
        return Context(self._model, config, self._own_threads, self._interrupt)

    @property
    def _live(self) -> Context:
        assert self._context is not None, "reserve comes first"
        return self._context

    def close(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None
        if not self._is_replica:
            self._model.close()

    def __enter__(self) -> LlamaBackend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
