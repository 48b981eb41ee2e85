"""Who answers in a talk, and how it is asked: a model that is loaded, and what /set can change.

It knows values and no conversation.
"""

from __future__ import annotations

import dataclasses

from gptcli.chat.context_window import Overflow
from gptcli.engine.engine import LocalEngine
from gptcli.params import Sampling


@dataclasses.dataclass(slots=True)
class Settings:
    """What /set changes: how the next answers are made."""

    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    template_options: tuple[tuple[str, object], ...] = ()
    overflow: Overflow = Overflow.REFUSE
    logprobs: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedModel:
    """The model that answers: its engine, and what can be told of it."""

    engine: LocalEngine
    name: str
    reference: str
    """What finds the model again: kept with its answers."""
    description: str = ""
    template: str | None = None
