"""The model that answers in a chat: loaded from the model flags, and replaced by `/model`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

from gptcli.chat.session import LoadedModel
from gptcli.cli.main import CommandContext
from gptcli.prompt.template import needs_fallback
from gptcli.runtime import EngineOptions
from gptcli.runtime.loaded import LoadedEngine
from gptcli.runtime.loader import EngineLoader


class ModelSwitcher:
    """Owns the engine that answers; a context manager."""

    def __init__(
        self, loader: EngineLoader, options_for: Callable[[str], EngineOptions], context: CommandContext
    ) -> None:
        """Wait until the model is loaded. `options_for`: how another model is to be loaded.

        Raises LoadError, RequestError."""
        self._options_for = options_for
        self._context = CommandContext(context.terminal)  # what was loaded early is the first model
        self._notify = context.terminal.notice
        self._stack = contextlib.ExitStack()
        self.loaded: LoadedEngine = self._stack.enter_context(loader.open())
        self.saves_prefixes = False
        self._notify_missing_template()

    def __enter__(self) -> ModelSwitcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def model(self) -> LoadedModel:
        """The model as a chat session takes it."""
        one = self.loaded
        return LoadedModel(one.engine, one.model.name, one.reference, one.describe_model(), one.chat_template)

    def save_prefix(self) -> None:
        """Save what the engine has computed for later processes, if that is wanted."""
        if self.saves_prefixes:
            self.loaded.save_prefix(self._notify)

    def change(self, reference: str) -> LoadedModel:
        """Load another model, then free the current one. Raises ModelNotFound, LoadError; nothing changes then."""
        options = dataclasses.replace(self._options_for(reference), model=reference, adapters=())
        with contextlib.ExitStack() as stack:
            loader = self._context.loader(options)
            loaded = stack.enter_context(loader.open(interrupt=self.loaded.interrupt))
            kept = stack.pop_all()
        self.save_prefix()
        self._stack.close()
        self._stack, self.loaded = kept, loaded
        self._notify_missing_template()
        return self.model

    def _notify_missing_template(self) -> None:
        if needs_fallback(self.loaded.chat_template):
            hint = "If it is a base model, `gptcli complete` gives better results."
            self._notify(f"{self.loaded.model.name} has no chat template; using ChatML. {hint}")
