"""An engine that is ready to answer, and what is known of its model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gptcli.errors import GptcliError
from gptcli.interrupt import Interrupt
from gptcli.models.progress import Silent
from gptcli.models.resolve import ModelFile, resolve
from gptcli.models.store.summary import summarize
from gptcli.prompt.encoding import Vocabulary
from gptcli.types import Engine

if TYPE_CHECKING:
    from gptcli.llama.threads import DecodeThreads


@dataclass(slots=True)
class LoadedEngine:
    """An engine, and what is known of its model."""

    engine: Engine
    model: ModelFile
    chat_template: str | None
    """The source of the template: the user's, else the one in the model's file."""
    device: str
    load_seconds: float
    interrupt: Interrupt
    """Stops the engine at the next token, or inside a long prompt."""
    cache_tokens: Callable[[], int]
    """Tokens that all KV caches hold together."""
    vocabulary: Vocabulary | None = None
    """None for an engine that is a server's."""
    decode_threads: DecodeThreads | None = None
    """The threads that decode a single sequence; None on a GPU, with several engine cores, and at a server."""

    def describe_model(self) -> str:
        """Architecture, parameters and quantization, as `models list` shows them.

        llama.cpp's own description (llama_model_desc) guesses the size by the number of layers: 256M for 135M."""
        summary = summarize(self.model.path)
        return f"{summary.label} {summary.quantization}"

    @property
    def reference(self) -> str:
        """What finds this very file again: the model's name if that does, else the path."""
        with contextlib.suppress(GptcliError):
            if resolve(self.model.name, offline=True, report=Silent()).path == self.model.path:
                return self.model.name
        return str(self.model.path.absolute())

    def save_prefix(self, notify: Callable[[str], None]) -> None:
        """Keep what the last request computed for other processes. A full disk is only a notice."""
        try:
            self.engine.save_prefix()
        except OSError as error:
            notify(f"The computed prefix could not be saved: {error.strerror}.")
