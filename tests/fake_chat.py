"""A talk with the fake backend: ChatML over bytes, answers that are a function of everything before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gptcli.chat.context_window import Overflow
from gptcli.chat.conversation import Conversation
from gptcli.chat.model import LoadedModel, Settings
from gptcli.chat.session import ChatSession, Events
from gptcli.chat.store import Store
from gptcli.engine.engine import LocalEngine
from gptcli.engine.fake import END, FakeBackend, alphabet
from gptcli.interrupt import Interrupt
from gptcli.params import Sampling
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Channel, Delta, Event, Finished, Started


def endless(tokens: list[int], seed: int) -> int:
    """Letters, given by everything before and the seed, until it is stopped."""
    token = alphabet(tokens, seed)
    return ord("z") if token == END else token


@dataclass
class Heard:
    """What came of one answer."""

    answer: str = ""
    reasoning: str = ""
    started: Started | None = None
    finished: Finished | None = None

    @property
    def computed(self) -> int:
        """Prompt tokens that had to be computed."""
        assert self.started is not None
        return self.started.prompt_tokens - self.started.reused_tokens


@dataclass
class Talker:
    """A session with what it says by the way, on a file of conversations of its own."""

    path: Path
    model: Callable[[list[int], int], int] = endless
    limit: int = 4096
    settings: Settings = field(default_factory=lambda: Settings(Sampling(seed=1), max_tokens=12))
    conversation: Conversation = field(default_factory=Conversation)
    saving: bool = True
    template: str | None = None
    fail_at: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.told: list[str] = []
        self.interrupt = Interrupt()
        self.backend = FakeBackend(self.model, trained_context=self.limit, fail_at=self.fail_at)
        self.store = Store(self.path)
        self.session = ChatSession(
            self.voice(), self.conversation, self.store if self.saving else None, self.settings, self.told.append
        )

    def voice(self, name: str = "fake") -> LoadedModel:
        template = ChatTemplate(self.template)
        return LoadedModel(
            LocalEngine(self.backend, interrupt=self.interrupt, template=template), name, f"/models/{name}.gguf"
        )

    def stored(self) -> Conversation:
        """The conversation as another process finds it."""
        with Store(self.path) as store:
            return store.load(self.session.conversation.id)

    def texts(self) -> list[str]:
        """What is said on the current path."""
        return [turn.content for turn in self.session.conversation.path()]

    def answers_with(self, choice: Overflow) -> None:
        self.session.settings.overflow = choice


def hear(events: Events, at: Callable[[Event], None] = lambda event: None) -> Heard:
    """Listen to an answer to its end; `at` is called with each event when it is out."""
    heard = Heard()
    for event in events:
        if isinstance(event, Delta) and event.channel is Channel.ANSWER:
            heard.answer += event.text
        elif isinstance(event, Delta):
            heard.reasoning += event.text
        elif isinstance(event, Started):
            heard.started = event
        elif isinstance(event, Finished):
            heard.finished = event
        at(event)
    return heard
