"""An engine on the fake backend, as a server has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fake_backend import FakeBackend

from gptcli.engine.engine import LocalEngine
from gptcli.interrupt import Interrupt
from gptcli.models.resolve import ModelFile
from gptcli.prompt.template import ChatTemplate
from gptcli.runtime.loaded import LoadedEngine


def load_fake(backend: FakeBackend, before_step: Callable[[], None], parallel: int = 1) -> LoadedEngine:
    """The engine; it calls `before_step` before each step."""
    interrupt = Interrupt()
    more = {"interrupt": interrupt, "template": ChatTemplate(None), "before_step": before_step}
    engine = LocalEngine(backend, parallel=parallel, **more)
    model = ModelFile(Path("fake.gguf"), "fake", trusted=True)
    known = {"engine": engine, "model": model, "chat_template": "a template", "device": "a fake", "load_seconds": 0.0}
    more = {"interrupt": interrupt, "cache_tokens": lambda: engine.cells, "vocabulary": backend.vocabulary}
    return LoadedEngine(**known, **more)
