"""Whether a model and a context fit into the memory there is, asked before either is made.

It joins the arithmetic of models/fit.py with what the machine and its devices say is free.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gptcli.llama.devices import Offload
from gptcli.models.gguf.header import read_header
from gptcli.runtime import fit, memory

_SMALLEST = 256
"""Tokens of the smallest context; a model that does not fit with it need not be loaded."""


class MemoryCheck:
    """One model file, and the memory that was free before it was loaded (mapped weights count as free again after)."""

    def __init__(self, path: Path) -> None:
        self._header = read_header(path, tensors=False, upto_tokenizer=True)
        self._memory = memory.available()

    def check(self, context: int | None) -> None:
        """Raises LoadError, with the numbers and what would fit, where the weights and this context do not."""
        self._require(context or _SMALLEST, self._memory)

    def for_devices(self, offload: Offload, lanes: int = 1) -> Callable[[int], None]:
        """What a backend asks before each context of so many tokens, of which there will be one in each lane; GPUs are
        asked for their own memory."""
        whole = offload.devices and offload.layers < 0
        free = sum(device.free for device in offload.devices) if whole else self._memory
        return lambda context: self._require(context * lanes, free)

    def _require(self, context: int, free: int | None) -> None:
        if free:
            fit.require(self._header, context, free)
