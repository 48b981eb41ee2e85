"""A chat session on the fake backend: ChatML over bytes; an answer is a function of everything before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fake_backend import END, ByteVocabulary, FakeBackend, alphabet

from gptcli.chat.conversation import Conversation
from gptcli.chat.session import ChatSession, Events, LoadedModel
from gptcli.chat.settings import Settings
from gptcli.chat.store import Store
from gptcli.engine.engine import LocalEngine
from gptcli.interrupt import Interrupt
from gptcli.params import Sampling
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Channel, Delta, Event, Finished, Started


def endless(tokens: list[int], seed: int) -> int:
    """Letters, determined by everything before and the seed, until the limit."""
    token = alphabet(tokens, seed)
    return ord("z") if token == END else token


@dataclass
class Answer:
    """The events of one answer, collected."""

    text: str = ""
    reasoning: str = ""
    started: Started | None = None
    finished: Finished | None = None

    @property
    def computed(self) -> int:
        """Prompt tokens that had to be computed."""
        assert self.started is not None
        return self.started.prompt_tokens - self.started.reused_tokens


class CountingVocabulary(ByteVocabulary):
    """Counts how often it tokenizes."""

    calls = 0

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        self.calls += 1
        return super().tokenize(text, add_special=add_special, parse_special=parse_special)


class CountingTemplate(ChatTemplate):
    """Counts how often it renders."""

    calls = 0

    def render(self, *arguments: object, **options: object) -> list:
        self.calls += 1
        return super().render(*arguments, **options)


@dataclass
class FakeChat:
    """A session with its notices, on a conversations file of its own."""

    path: Path
    model: Callable[[list[int], int], int] = endless
    limit: int = 4096
    settings: Settings = field(default_factory=lambda: Settings(Sampling(seed=1), max_tokens=12))
    conversation: Conversation = field(default_factory=Conversation)
    saving: bool = True
    template: str | None = None
    fail_at: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.notices: list[str] = []
        self.interrupt = Interrupt()
        self.vocabulary = CountingVocabulary()
        self.chat_template = CountingTemplate(self.template)
        self.backend = FakeBackend(
            self.model, trained_context=self.limit, fail_at=self.fail_at, vocabulary=self.vocabulary
        )
        self.store = Store(self.path)
        store = self.store if self.saving else None
        self.session = ChatSession(self.loaded_model(), self.conversation, store, self.settings, self.notices.append)

    def loaded_model(self, name: str = "fake") -> LoadedModel:
        engine = LocalEngine(self.backend, interrupt=self.interrupt, template=self.chat_template)
        return LoadedModel(engine, name, f"/models/{name}.gguf")

    @property
    def encodings(self) -> tuple[int, int]:
        """How often a prompt was rendered and tokenized so far."""
        return self.chat_template.calls, self.vocabulary.calls

    def stored(self) -> Conversation:
        """The conversation as another process finds it."""
        with Store(self.path) as store:
            return store.load(self.session.conversation.id)

    def texts(self) -> list[str]:
        """The messages on the current path."""
        return [turn.content for turn in self.session.conversation.path()]


def collect(events: Events, at: Callable[[Event], None] = lambda event: None) -> Answer:
    """Collect an answer to its end; `at` is called with each event."""
    answer = Answer()
    for event in events:
        if isinstance(event, Delta) and event.channel is Channel.ANSWER:
            answer.text += event.text
        elif isinstance(event, Delta):
            answer.reasoning += event.text
        elif isinstance(event, Started):
            answer.started = event
        elif isinstance(event, Finished):
            answer.finished = event
        at(event)
    return answer
