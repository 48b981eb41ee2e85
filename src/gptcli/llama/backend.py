"""llama.cpp as the engine's backend: a model, its context, its samplers."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptcli.engine.backend import CacheConfig, Decoded, MemoryKind, Sampler
from gptcli.engine.cache_config import share_of
from gptcli.errors import LoadError
from gptcli.interrupt import Interrupt
from gptcli.llama.context import F16, STEP_TOKENS, Context
from gptcli.llama.library import C, build_key, clear_log, log_tail
from gptcli.llama.model import Model
from gptcli.llama.sampler import make_sampler
from gptcli.llama.threads import DecodeThreads
from gptcli.llama.vocabulary import LlamaVocabulary
from gptcli.params import SAMPLING_PARAMS, Kind, Param, Sampling, sampler_name
from gptcli.types import Alternative, Constraint, TokenInfo

if TYPE_CHECKING:
    from gptcli.constraints.matcher import Compiler, Matcher
    from gptcli.constraints.tokens import Tokens

_LOGITS_BYTES = 32 * 1024 * 1024
"""What the logits of a step's scored tokens may take; llama.cpp has them twice."""
_FEW_TOKENS = 8
"""Tokens up to which a step counts as decoding where threads are chosen."""
_EXACT_FORMATS = ("2", "3")
"""Q4_0 and Q4_1 (llama.h, llama_ftype). Q4_K_M computes four columns of a matrix in another way than one."""
_UNSPLIT = 256
"""With more cells, threads share the attention of a single token, and add it up in parts (ggml-cpu/ops.cpp,
use_split_kv_path: 512 cells, and llama.cpp rounds those in use up to a multiple of 256)."""


class LlamaBackend:
    """Owns a model and its context, until `close`; a context manager. A replica owns only its context.

    `threads`: for decoding and for prompts. `fast_greedy`: choose greedy tokens with numpy, which pays for its import
    with many texts. `adapt_threads`: decode a few sequences with fewer threads while other programs want the cores.
    `allow` is called before each context is created, with its size in tokens, and raises LoadError if
    it would not fit into memory."""

    def __init__(
        self,
        model: Model,
        threads: tuple[int, int],
        interrupt: Interrupt,
        allow: Callable[[int], None] | None = None,
        *,
        fast_greedy: bool = False,
        adapt_threads: bool = False,
    ) -> None:
        self.model = model
        self._threads = self._own_threads = threads
        self._prompt_threads = threads[1]  # its share of them
        self.decode_threads = DecodeThreads(threads[0], adaptive=adapt_threads) if model.offload.is_cpu else None
        """The threads of steps with a few tokens, while no other engine core computes; None on a GPU."""
        self._alone = True
        """Whether no other engine core computes, so that the processor time of this process is that of its threads."""
        self._interrupt = interrupt
        self._allow = allow
        self._context: Context | None = None
        self.cache_types = F16
        """Types of the keys and the values in the KV cache, by llama.cpp's names; set before `reserve`."""
        self._adapters: list[tuple[Any, float]] = []
        self._fast_greedy = fast_greedy
        self._original: LlamaBackend | None = None
        self._compiler: Compiler | None = None
        self.tokens: Tokens | None = None
        """What constraints need of the vocabulary; made when it is first needed, unless it is set before."""
        self.vocabulary = LlamaVocabulary(C.llama_model_get_vocab(model.handle))
        self.window: int = C.llama_model_n_swa(model.handle)
        self.memory = MemoryKind.WINDOW if self.window else MemoryKind.ATTENTION
        if C.llama_model_is_recurrent(model.handle) or C.llama_model_is_hybrid(model.handle):
            self.memory = MemoryKind.RECURRENT
        self.trained_context: int = C.llama_model_n_ctx_train(model.handle)
        self.cell_bytes = model.cell_bytes
        self.config = CacheConfig()
        self.step_tokens = STEP_TOKENS
        self.scored_rows = max(1, min(STEP_TOKENS, _LOGITS_BYTES // (4 * self.vocabulary.size)))
        self.max_sequences: int = C.llama_max_parallel_sequences()

    def replica(self) -> LlamaBackend:
        """Another backend on the same model, with its own KV cache, to decode in parallel. Close it before this one."""
        adapt = self.decode_threads is not None and self.decode_threads.adaptive
        replica = LlamaBackend(
            self.model, self._threads, self._interrupt, self._allow, fast_greedy=True, adapt_threads=adapt
        )
        replica._adapters = self._adapters
        replica.cache_types = self.cache_types
        replica._original = self
        return replica

    @property
    def cpu_threads(self) -> int:
        return self._own_threads[0] if self.model.offload.is_cpu else 0

    @property
    def exact_tokens(self) -> int:
        if not self.model.offload.is_cpu or self.model.metadata("general.file_type") not in _EXACT_FORMATS:
            return 0
        splits = self.cache_types[0] == self.cache_types[1] and self.cache_types[0] in ("f16", "f32")
        return _UNSPLIT if splits and self._threads[0] > 1 else self.trained_context

    @property
    def needs_flash(self) -> bool:
        return self.cache_types[1] not in ("f16", "bf16", "f32")

    @property
    def key(self) -> str:
        """What a saved state depends on besides the files: the build, the devices and the offloaded layers."""
        offload = self.model.offload
        types = () if self.cache_types == F16 else (self.cache_types,)
        return repr((build_key(), offload.description, offload.layers, *types))

    def load_adapters(self, adapters: Sequence[tuple[Path, float]]) -> None:
        """Load LoRA adapters, each with a scale. Raises LoadError for one that does not fit the model."""
        for path, scale in adapters:
            clear_log()
            handle = C.llama_adapter_lora_init(self.model.handle, os.fsencode(path))
            if not handle:  # a null pointer of a pointer type, not None
                message = f"{path} is not a LoRA adapter for this model."
                raise LoadError(message, "Use a GGUF adapter that was made for it.", log=log_tail())
            self._adapters.append((handle, scale))

    def default_sampling(self, sampling: Sampling) -> Sampling:
        found: dict[str, Any] = {}
        for name, param in SAMPLING_PARAMS.items():
            if param.gguf and name not in sampling.chosen and (text := self.model.metadata(param.gguf)) is not None:
                with contextlib.suppress(ValueError, OverflowError):  # a bad value is ignored, as in llama.cpp
                    found[name] = _file_value(param, text)
        return dataclasses.replace(sampling, **found) if found else sampling

    def reserve(self, config: CacheConfig) -> None:
        if self._allow is not None:
            self._allow(config.cells)
        context = self._make_context(config)
        if self._adapters:
            context.set_adapters(self._adapters)
        if self._context is not None:
            if config.same_kind(self.config):
                context.take_over(self._context)
            self._context.close()
        self._context = context
        self.config = config

    def share_threads(self, rank: int, count: int) -> None:
        decode, prompt = (max(1, share_of(every, rank, count)) for every in self._threads)
        self._prompt_threads = prompt
        self._alone = count == 1
        if self._alone and self.decode_threads is not None:
            decode = self.decode_threads.count
        self._use_threads(decode, prompt)

    def _use_threads(self, decode: int, prompt: int) -> None:
        if (decode, prompt) != self._own_threads:
            self._own_threads = decode, prompt
            if self._context is not None:
                self._context.use_threads(self._own_threads)

    def add(self, token: int, position: int, sequence: int, *, logits: bool) -> int:
        return self._live.add(token, position, sequence, logits=logits)

    def decode(self) -> Decoded:
        threads, tokens = self.decode_threads, self._live.pending
        if threads is None or not self._alone or tokens > _FEW_TOKENS:
            return self._live.decode()
        # llama.cpp computes more than one token with the threads of prompts (llama_context::graph_compute).
        prompt = self._prompt_threads
        self._use_threads(threads.count, prompt if threads.count == threads.most else min(prompt, threads.count))
        began, cpu = time.perf_counter(), time.process_time()
        decoded = self._live.decode()
        threads.observe(time.perf_counter() - began, time.process_time() - cpu, tokens)
        return decoded

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
            sampling, seed, history, self.vocabulary, lambda: self._live.handle, ignore_end, self._fast_greedy
        )

    def matcher(self, constraint: Constraint) -> Matcher:
        owner = self._original or self  # the matchers of all replicas are made in one thread, of the same tokens
        if owner._compiler is None:
            from gptcli.constraints.matcher import Compiler
            from gptcli.constraints.tokens import Tokens

            tokens = owner.tokens or Tokens()
            tokens.know(owner.vocabulary)
            owner._compiler = Compiler(tokens)
        matcher = owner._compiler.matcher(constraint)
        if "numpy" not in sys.modules and not matcher.forced() and not matcher.allows_few:  # one is chosen among many
            threading.Thread(target=import_numpy, daemon=True).start()
        return matcher

    def describe(self, row: int, token: int, alternatives: int) -> TokenInfo:
        from gptcli.llama.logprobs import (
            token_logprobs,  # late: numpy takes 70 ms that a single text does not earn back
        )

        logits = C.llama_get_logits_ith(self._live.handle, row)
        ((logprob, top),) = token_logprobs(logits, self.vocabulary.size, [token], alternatives)
        text = self.vocabulary.piece(token).decode("utf-8", "surrogateescape")  # empty for control tokens, as in text
        return TokenInfo(token, text, logprob, self._alternatives(top))

    def describe_prompt(self, row: int, tokens: Sequence[int], alternatives: int) -> list[TokenInfo]:
        from gptcli.llama.logprobs import token_logprobs

        logits = C.llama_get_logits_ith(self._live.handle, row)
        found = zip(tokens, token_logprobs(logits, self.vocabulary.size, tokens, alternatives), strict=True)
        name = self.vocabulary.name
        return [TokenInfo(token, name(token), logprob, self._alternatives(top)) for token, (logprob, top) in found]

    def describe_first(self, token: int) -> TokenInfo:
        return TokenInfo(token, self.vocabulary.name(token), math.nan, [])

    def _alternatives(self, top: list[tuple[int, float]]) -> list[Alternative]:
        return [Alternative(token, self.vocabulary.name(token), logprob) for token, logprob in top]

    def _make_context(self, config: CacheConfig) -> Context:
        return Context(self.model, config, self._own_threads, self._interrupt, self.cache_types)

    @property
    def _live(self) -> Context:
        assert self._context is not None, "reserve comes first"
        return self._context

    def close(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None
        if self._original is None:
            self.model.close()

    def __enter__(self) -> LlamaBackend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def import_numpy() -> None:
    """For choosing tokens: its import takes 70 ms, in which a model is being loaded, or reads the prompt."""
    import numpy  # noqa: F401


def _file_value(param: Param, text: str) -> Any:
    """A sampling default from a model file. Raises ValueError, OverflowError; unknown sampler names are skipped, as
    in llama.cpp (common/sampling.cpp, common_sampler_types_from_names)."""
    if param.kind is Kind.SAMPLERS:
        return tuple(filter(None, map(sampler_name, text.split(";"))))
    number = float(text)
    return param.validate(int(number) if param.kind is Kind.INT else number)
