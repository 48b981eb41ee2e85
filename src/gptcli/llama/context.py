"""A KV cache and the batch that is decoded into it: the owner of a `llama_context`."""

from __future__ import annotations

import ctypes
from typing import Any

from gptcli.engine.backend import CacheConfig, Decoded
from gptcli.errors import EngineError, OutOfMemory
from gptcli.interrupt import Interrupt
from gptcli.llama.library import C, clear_log, libc, log_tail
from gptcli.llama.model import Model

STEP_TOKENS = 512
"""Tokens in one step, llama.cpp's default n_ubatch; it splits a larger batch into parts of this size anyway."""

F16 = "f16", "f16"
"""The usual types of the keys and values in a KV cache."""
_DENSE_TOKENS = 128
"""The same without flash attention, which keeps the scores of all heads: those of 128 tokens fit into a core's cache
(1,300 cells: 589 prompt tokens a second, against 537 with 512)."""


class Context:
    """One `llama_context` on a model, until `close`. Raises OutOfMemory if memory cannot be allocated."""

    def __init__(
        self,
        model: Model,
        config: CacheConfig,
        threads: tuple[int, int],
        interrupt: Interrupt,
        types: tuple[str, str] = F16,
    ) -> None:
        parameters = C.llama_context_default_params()
        parameters.n_ctx = config.cells
        parameters.n_batch = min(STEP_TOKENS, config.cells)
        parameters.n_ubatch = min(STEP_TOKENS if config.flash else _DENSE_TOKENS, config.cells)
        parameters.n_seq_max = config.sequences
        # Logits of one token of each sequence, and of a bounded number of scored tokens; not of every prompt token.
        parameters.n_outputs_max = config.sequences + config.scored_rows
        parameters.n_threads, parameters.n_threads_batch = threads
        parameters.kv_unified = config.unified
        if not config.flash:
            parameters.flash_attn_type = C.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.type_k, parameters.type_v = (getattr(C, f"GGML_TYPE_{name.upper()}") for name in types)
        parameters.swa_full = False
        self._interrupt = interrupt
        self._unified = config.unified
        # Called between graph nodes. strlen of the interrupt's byte is 0 or 1: no Python, no GIL.
        self._abort = ctypes.cast(libc.strlen, C.ggml_abort_callback)
        parameters.abort_callback = self._abort
        parameters.abort_callback_data = interrupt.address
        clear_log()
        self.handle = C.llama_init_from_model(model.handle, parameters)
        if self.handle is None:
            message = f"llama.cpp could not create a context of {config.cells:,} tokens."
            hint = "Try a smaller --ctx-size."
            if types != F16:  # a block of 32 numbers may not divide a head
                hint = "Try other types of the KV cache, or a smaller --ctx-size."
            raise OutOfMemory(message, hint, log=log_tail())
        self._memory = C.llama_get_memory(self.handle)
        self._batch = C.llama_batch_init(STEP_TOKENS, 0, 1)
        self._count = 0

    @property
    def pending(self) -> int:
        """Tokens in the next batch."""
        return self._count

    def use_threads(self, threads: tuple[int, int]) -> None:
        """Set the number of threads for decoding and for prompts."""
        C.llama_set_n_threads(self.handle, *threads)

    def add(self, token: int, position: int, sequence: int, *, logits: bool) -> int:
        """Add a token to the next batch; returns its row."""
        row, batch = self._count, self._batch
        batch.token[row] = token
        batch.pos[row] = position
        batch.n_seq_id[row] = 1
        batch.seq_id[row][0] = sequence
        batch.logits[row] = logits
        self._count = row + 1
        return row

    def decode(self) -> Decoded:
        """Compute the batch. Raises EngineError, with llama.cpp's log, if it fails.

        A GPU still computes when llama_decode returns. It is waited for here, without the GIL, so that the time of a
        step is that of its computation, and another core's can be prepared meanwhile."""
        self._batch.n_tokens, self._count = self._count, 0
        code = C.llama_decode(self.handle, self._batch)
        C.llama_synchronize(self.handle)
        if code in (0, 1, 2):
            return Decoded(code)
        if self._interrupt.requested:
            return Decoded.ABORTED
        raise EngineError(f"llama.cpp could not decode a batch (code {code}).", "See its log.", log=log_tail())

    def remove(self, sequence: int, start: int) -> bool:
        return bool(C.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def copy(self, source: int, target: int, end: int) -> None:
        # Partitions are copied whole, right before the next step; llama.cpp aborts the process if less is requested.
        C.llama_memory_seq_cp(self._memory, source, target, *((0, end) if self._unified else (-1, -1)))
        if not self._unified:
            self.remove(target, end)

    def first_position(self, sequence: int) -> int:
        return int(C.llama_memory_seq_pos_min(self._memory, sequence))

    def take_over(self, old: Context) -> None:
        """Copy the whole state of `old`, a smaller context of the same model. Raises EngineError if it does not fit.

        Sequence by sequence, the cells of a shared prefix would be duplicated."""
        size = C.llama_state_get_size(old.handle)
        buffer = (ctypes.c_uint8 * size)()
        written = C.llama_state_get_data(old.handle, buffer, size)
        clear_log()
        if C.llama_state_set_data(self.handle, buffer, written) == 0:
            raise EngineError("the state did not fit into the new context.", "This is a bug.", log=log_tail())

    def state(self, sequence: int) -> memoryview:
        """Everything stored for a sequence: positions, keys and values."""
        size = C.llama_state_seq_get_size(self.handle, sequence)
        buffer = (ctypes.c_uint8 * size)()
        written = C.llama_state_seq_get_data(self.handle, buffer, size, sequence)
        return memoryview(buffer).cast("B")[:written]

    def restore(self, sequence: int, state: memoryview) -> bool:
        """Put a state into an empty sequence; False if llama.cpp rejects it, for its size or its kind."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer(state)
        clear_log()
        return bool(C.llama_state_seq_set_data(self.handle, buffer, len(state), sequence))

    def set_adapters(self, adapters: list[tuple[Any, float]]) -> None:
        """Apply LoRA adapters, each with its scale."""
        handles = (C.llama_adapter_lora_p_ctypes * len(adapters))(*[handle for handle, _ in adapters])
        scales = (ctypes.c_float * len(adapters))(*[scale for _, scale in adapters])
        C.llama_set_adapters_lora(self.handle, handles, len(adapters), scales)

    def close(self) -> None:
        if self.handle is not None:
            C.llama_batch_free(self._batch)
            C.llama_free(self.handle)
            self.handle = None
