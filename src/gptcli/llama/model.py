"""A model file loaded by llama.cpp: `Model` owns its `llama_model`, `ModelLoader` loads it in a background thread."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from gptcli.errors import GptcliError, LoadError
from gptcli.llama.devices import Device, Offload, choose_offload, list_devices
from gptcli.llama.library import C, clear_log, log_tail, muted_log


class Model:
    """Weights in memory, until `close`."""

    def __init__(self, handle: Any, offload: Offload) -> None:
        self.handle = handle
        self.offload = offload

    @classmethod
    def load(cls, path: Path, offload: Offload) -> Model:
        """Read the weights, memory-mapped where the system supports it. Raises LoadError."""
        parameters = C.llama_model_default_params()
        handles = (ctypes.c_void_p * (len(offload.devices) + 1))(*[device.handle for device in offload.devices], None)
        parameters.devices = ctypes.cast(handles, ctypes.c_void_p)
        parameters.n_gpu_layers = offload.layers

        with muted_log():
            handle = C.llama_model_load_from_file(os.fsencode(path), parameters)
        if handle is None:
            clear_log()
            handle = C.llama_model_load_from_file(os.fsencode(path), parameters)
        if handle is None:
            raise _load_error(path)
        if offload.layers > C.llama_model_n_layer(handle):  # one more is the output's
            offload = replace(offload, layers=-1)
        return cls(handle, offload)

    def metadata(self, key: str) -> str | None:
        """A value from the file's metadata, as text; None if the key is missing."""
        size = C.llama_model_meta_val_str(self.handle, key.encode(), None, 0)
        if size < 0:
            return None
        buffer = ctypes.create_string_buffer(size + 1)
        C.llama_model_meta_val_str(self.handle, key.encode(), buffer, size + 1)
        return buffer.value.decode(errors="replace")

    @property
    def cell_bytes(self) -> int:
        """Keys and values of a token in all layers, in 16 bits; at least 1, for a model without attention."""
        head_size = C.llama_model_n_embd(self.handle) // max(1, C.llama_model_n_head(self.handle))
        values: int = C.llama_model_n_layer(self.handle) * C.llama_model_n_head_kv(self.handle) * head_size
        return max(1, 2 * 2 * values)

    @property
    def is_long_rope(self) -> bool:
        """Whether the context size selects the RoPE factors (llama.cpp, `llama_model::get_rope_factors`), as in Phi-3
        128k and MiniCPM3. A state computed in a small context is then wrong in a large one."""
        scaling = f"{self.metadata('general.architecture')}.rope.scaling"
        has_original = self.metadata(f"{scaling}.original_context_length") is not None
        return has_original and self.metadata(f"{scaling}.type") not in ("yarn", "linear")

    @property
    def chat_template(self) -> str | None:
        """The file's own jinja2 chat template, if it has one."""
        return self.metadata("tokenizer.chat_template")

    def close(self) -> None:
        if self.handle is not None:
            C.llama_model_free(self.handle)
            self.handle = None


class ModelLoader:
    """Starts loading at once; `result` waits. ctypes releases the GIL, so the load does not slow down the caller."""

    def __init__(self, path: Path, device: str = "auto", gpu_layers: int | None = None) -> None:
        self.choice = (path, device, gpu_layers)
        self.devices: list[Device] = []
        self.seconds = 0.0
        self._model: Model | None = None
        self._error: GptcliError | None = None
        self._done = threading.Event()
        threading.Thread(target=self._load, daemon=True).start()

    def is_done(self, within: float) -> bool:
        """Wait for at most so many seconds; whether `result` need not wait any longer."""
        return self._done.wait(within)

    def result(self) -> Model:
        """Wait for the model; Ctrl-C ends the wait, not the thread. Raises LoadError, UsageError."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        assert self._model is not None, "the loading thread died"
        return self._model

    def _load(self) -> None:
        path, device, layers = self.choice
        started = time.perf_counter()
        try:
            self.devices = list_devices()
            self._model = Model.load(path, choose_offload(device, layers, self.devices))
        except GptcliError as error:
            self._error = error
        finally:
            self.seconds = time.perf_counter() - started
            self._done.set()


def _load_error(path: Path) -> LoadError:
    log = log_tail()

    def reported(prefix: str) -> str:
        return next((line.rpartition(prefix)[2].strip() for line in log.splitlines() if prefix in line), "")

    if name := reported("unknown model architecture:").strip("'"):
        message = f"{path.name} has the architecture {name}, which this version of llama.cpp does not support."
        return LoadError(message, "Upgrade llama-cpp-python, or use another model.", log=log)
    readers = ("gguf_init_from_reader: ", "gguf_init_from_file: ", "error loading model: ")
    reason = next(filter(None, map(reported, readers)), "no reason given")
    hint = "Check it with `gptcli models verify`, or download it again."
    return LoadError(f"llama.cpp could not load {path.name}: {reason}.", hint, log=log)
