"""The model that answers in a chat: one at a time, opened from the model flags, and another one for /model.

It joins engines with what chats know of them; which conversation they answer in it does not know.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from gptcli.chat.model import LoadedModel
from gptcli.cli.main import CommandContext
from gptcli.cli.options import ModelFlags, OutputFlags
from gptcli.errors import GptcliError
from gptcli.models.progress import Silent
from gptcli.models.refs.resolve import ModelFile, resolve
from gptcli.prompt.template import needs_fallback
from gptcli.runtime.loader import EngineLoader, LoadedEngine
from gptcli.runtime.prefixes import keep


class ModelSwitcher:
    """Owns the engine that answers, until `close`; a context manager."""

    def __init__(self, opening: EngineLoader, flags: ModelFlags, output: OutputFlags, session: CommandContext) -> None:
        """Wait for the model that is on its way. Raises LoadError, RequestError."""
        self._flags = flags
        self._output = output
        self._terminal = session.terminal
        self._stack = contextlib.ExitStack()
        self.opened: LoadedEngine = self._stack.enter_context(opening.engine())
        self.keeping = False
        """Whether what the engine computed is kept on disk when it closes."""
        self._tell()

    def __enter__(self) -> ModelSwitcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    @property
    def voice(self) -> LoadedModel:
        """The model as a chat knows it."""
        opened = self.opened
        return LoadedModel(
            opened.engine,
            opened.model.name,
            reference(opened.model),
            description(opened.model.path),
            opened.backend.model.chat_template,
        )

    def keep(self) -> None:
        """Let other processes find what the engine computed, if that is wanted."""
        if self.keeping:
            keep(self.opened.engine, self._terminal)

    def change(self, wanted: str) -> LoadedModel:
        """Open another model, then close the one before. Raises ModelNotFound, LoadError; that one stays then."""
        flags = dataclasses.replace(self._flags, model=wanted, lora=None)
        with contextlib.ExitStack() as stack:
            opening = EngineLoader(flags, self._output, CommandContext(self._terminal, None))
            opened = stack.enter_context(opening.engine(interrupt=self.opened.interrupt))
            entered = stack.pop_all()
        self.keep()
        self._stack.close()
        self._stack, self.opened = entered, opened
        self._tell()
        return self.voice

    def _tell(self) -> None:
        if needs_fallback(self.opened.backend.model.chat_template):
            self._terminal.notice(
                f"{self.opened.model.name} brings no chat template, so ChatML is used. If it is a base model, which"
                " only continues texts, `gptcli complete` gets more out of it."
            )


def description(path: Path) -> str:
    """Architecture, parameters and quantization, as `models list` shows them.

    llama.cpp's own description (llama_model_desc) guesses the size by the number of layers: 256M for 135M."""
    from gptcli.cli.models_tables import count_text
    from gptcli.models.gguf.summary import summarize

    summary = summarize([path])[path]
    return f"{summary.architecture} {count_text(summary.parameters)} {summary.quantization}"


def reference(model: ModelFile) -> str:
    """What finds this very file again from anywhere: its name where that does, else its path."""
    with contextlib.suppress(GptcliError):
        if resolve(model.name, offline=True, report=Silent()).path == model.path:
            return model.name
    return str(model.path.absolute())
