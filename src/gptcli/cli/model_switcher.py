"""The model that answers in a chat: loaded from the model flags, and replaced by `/model`."""

from __future__ import annotations

import contextlib
import dataclasses

from gptcli.chat.session import LoadedModel
from gptcli.cli.main import CommandContext
from gptcli.cli.options import ModelFlags, OutputFlags
from gptcli.errors import GptcliError
from gptcli.models.refs.resolve import ModelFile, resolve
from gptcli.models.report import Silent
from gptcli.prompt.template import needs_fallback
from gptcli.runtime.loader import EngineLoader, LoadedEngine
from gptcli.runtime.prefixes import keep


class ModelSwitcher:
    """Owns the engine that answers; a context manager."""

    def __init__(self, loader: EngineLoader, flags: ModelFlags, output: OutputFlags, context: CommandContext) -> None:
        """Wait until the model is loaded. Raises LoadError, RequestError."""
        self._flags = flags
        self._output = output
        self._terminal = context.terminal
        self._stack = contextlib.ExitStack()
        self.loaded: LoadedEngine = self._stack.enter_context(loader.engine())
        self.saves_prefixes = False
        self._notify_missing_template()

    def __enter__(self) -> ModelSwitcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def model(self) -> LoadedModel:
        """The model as a chat session takes it."""
        loaded, model = self.loaded, self.loaded.backend.model
        name = loaded.model.name
        return LoadedModel(loaded.engine, name, _reference(loaded.model), model.description, model.chat_template)

    def save_prefix(self) -> None:
        """Save what the engine has computed for later processes, if that is wanted."""
        if self.saves_prefixes:
            keep(self.loaded.engine, self._terminal)

    def change(self, reference: str) -> LoadedModel:
        """Load another model, then free the current one. Raises ModelNotFound, LoadError; nothing changes then."""
        flags = dataclasses.replace(self._flags, model=reference, lora=None)
        with contextlib.ExitStack() as stack:
            loader = EngineLoader(flags, self._output, CommandContext(self._terminal, None))
            loaded = stack.enter_context(loader.engine(interrupt=self.loaded.interrupt))
            kept = stack.pop_all()
        self.save_prefix()
        self._stack.close()
        self._stack, self.loaded = kept, loaded
        self._notify_missing_template()
        return self.model

    def _notify_missing_template(self) -> None:
        if needs_fallback(self.loaded.backend.model.chat_template):
            self._terminal.notice(
                f"{self.loaded.model.name} has no chat template; using ChatML. If it is a base model, `gptcli complete`"
                " gives better results."
            )


def _reference(model: ModelFile) -> str:
    """What finds this very file again: its name if that does, else its path."""
    with contextlib.suppress(GptcliError):
        if resolve(model.name, offline=True, report=Silent()).path == model.path:
            return model.name
    return str(model.path.absolute())
