"""A chat: the conversation, the model that answers, the settings, and where it is saved.

It reads no keys and prints nothing. Every method that makes the model answer yields the engine's events."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from gptcli.chat.autosave import Autosave
from gptcli.chat.context_window import ContextWindow, Messages, Overflow, summary_tokens
from gptcli.chat.conversation import Conversation, Turn, copy_turns, settings_of, title_of
from gptcli.chat.settings import Settings
from gptcli.chat.store import Store
from gptcli.errors import Cancelled, ContextFull, GptcliError
from gptcli.params import SEEDS, Sampling
from gptcli.types import (
    Channel,
    ChatPrompt,
    Delta,
    Engine,
    Event,
    Failed,
    Finished,
    FinishReason,
    Message,
    Prompt,
    Request,
    TokenPrompt,
)

if TYPE_CHECKING:
    from gptcli.roles.prompt import RolePrompt

Events = Generator[Event, None, None]
Pieces = dict[Channel, list[str]]
DRAFT_SECONDS = 1.0  # an unfinished answer is saved that often: a kill loses no more of it

_SUMMARIZE = "Summarize our conversation so far in a few sentences. Keep names, numbers, decisions and open questions."


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedModel:
    """The model that answers: its engine, and what can be shown of it."""

    engine: Engine
    name: str
    reference: str  # finds the model again; saved with its answers
    description: str = ""
    template: str | None = None


class ChatSession:
    """One conversation with one model at a time. A turn is saved before its last event is yielded. If a request fails,
    or is stopped before there is any text, the conversation goes back to where it was."""

    def __init__(
        self,
        model: LoadedModel,
        conversation: Conversation,
        store: Store | None,
        settings: Settings,
        notify: Callable[[str], None],
    ) -> None:
        """`store`: None keeps everything in memory. `notify` prints what the user must know."""
        self.settings = settings
        self.autosave = Autosave(conversation, store, notify)
        self.window = ContextWindow(self.count, self._summarize, notify)
        self.last_finished: Finished | None = None  # how the last answer ended, with its counts and times
        self.ask_overflow: Callable[[str], Overflow] = lambda question: Overflow.REFUSE  # if the settings say so
        self.model = model
        self.role: RolePrompt | None = None  # what every message is put into
        self._notify = notify
        self._ids = itertools.count()
        self._answer_tokens: dict[str, tuple[int, ...]] = {}
        """Of answers, by turn, to continue them exactly: text alone does not tell how it was tokenized."""
        self._usage: tuple[str, int | None] | None = None  # a turn, and the tokens of the conversation up to its end

    @property
    def conversation(self) -> Conversation:
        return self.autosave.conversation

    def change_model(self, model: LoadedModel) -> None:
        """/model: let another model answer from now on."""
        self.model = model
        self._answer_tokens.clear()
        self._usage = None

    def send(self, text: str) -> Events:
        """The user's next message, and the model's answer to it. Raises GptcliError if there can be none.

        The first message of a role comes after the role's system prompt and examples."""
        message = self._as_message(text)
        self._start_role(text or message)
        return self._send(message, self.conversation.leaf)

    def resume(self) -> Events:
        """/continue: continue the newest answer exactly where it ended. Raises GptcliError if there is none."""
        path = self.conversation.path()
        if not path or path[-1].role != "assistant":
            raise GptcliError("There is no answer to continue.", "Send a message, or /retry if it got no answer.")
        partial = path[-1]
        if partial.id not in self._answer_tokens and partial.reasoning and not partial.content:
            raise GptcliError(
                "That answer was stopped while the model was thinking, in another session or by another model.",
                "/retry gets a new answer.",
            )
        yield from self._generate(partial, partial.id)

    def retry(self) -> Events:
        """/retry: another answer to the newest message; the old one stays on its own branch."""
        before = self.conversation.leaf
        self.autosave.move(self._newest_message().id)
        yield from self._generate(None, before)

    def edit(self, text: str) -> Events:
        """/edit: reword the newest message and answer it; the old message and answer stay on their branch."""
        return self._send(self._as_message(text), self._newest_message().parent)

    def undo(self) -> Turn:
        """/undo: go back to before the newest message, and return it. Nothing is deleted."""
        newest = self._newest_message()
        self.autosave.move(newest.parent)
        return newest

    def goto(self, prefix: str) -> Turn:
        """Go to the turn whose id starts with `prefix`. Raises GptcliError if none or several do."""
        turn = self.conversation.find(prefix)
        self.autosave.move(turn.id)
        return turn

    def _start_role(self, text: str) -> None:
        """Begin a conversation without messages with the role's system prompt, unless there is one, and examples."""
        if self.role is None or self.conversation.last("user") is not None:
            return
        turns: list[Turn] = []
        if self.conversation.leaf is None and (system := self.role.system()):
            turns.append(Turn("system", system))
        for example in self.role.examples():
            parent = turns[-1].id if turns else self.conversation.leaf
            turns.append(Turn(example.role, example.content, parent=parent))
        known = self.conversation
        self.autosave.conversation = dataclasses.replace(known, title=known.title or title_of(text))
        if turns:
            self.autosave.append(*turns)

    def _as_message(self, text: str) -> str:
        return text if self.role is None else self.role.message(text)

    def set_system(self, text: str) -> None:
        """Change the system message. The messages so far are copied to a branch below the new one."""
        if text == self.conversation.system:
            return
        turns = tuple(turn for turn in self.conversation.path() if turn.role != "system")
        if text:
            turns = (Turn("system", text), *turns)
        if turns:
            self.autosave.append(*copy_turns(turns, None))
        else:
            self.autosave.move(None)

    def open(self, conversation: Conversation) -> None:
        """Switch to another conversation, new or stored."""
        self.autosave.open(conversation)
        self.last_finished = None

    def count(self, messages: Messages) -> int:
        """Tokens of the prompt for these messages. Raises RequestError, LoadError."""
        return len(self.model.engine.encode(self._chat_prompt(messages, None)).tokens)

    def used_tokens(self) -> int | None:
        """Tokens of the conversation, None if unknown. The engine has counted them for the newest answer; elsewhere
        (after /undo or /model, say) they are counted once."""
        leaf = self.conversation.leaf
        if leaf is None:
            return 0
        if self._usage is None or self._usage[0] != leaf:
            self._usage = leaf, None
            if self.model.engine.capabilities.tokenize:
                with contextlib.suppress(GptcliError):  # a template may refuse an incomplete conversation
                    self._usage = leaf, self.count(self.conversation.messages())
        return self._usage[1]

    def _newest_message(self) -> Turn:
        turn = self.conversation.last("user")
        if turn is None:
            raise GptcliError("There is no message yet.", "Send one first.")
        return turn

    def _send(self, text: str, parent: str | None) -> Events:
        """Put a message after `parent`, or beside it if that is a message without an answer, and have it answered."""
        tree = self.conversation
        if parent is not None and tree.turns[parent].role == "user":
            self._notify("The previous message has no answer; it stays on a branch of its own.")
            parent = tree.turns[parent].parent
        for turn in tree.children(parent):
            if (turn.role, turn.content) == ("user", text) and not tree.children(turn.id):
                self.autosave.move(turn.id)  # the very same message, sent before
                break
        else:
            self.autosave.append(Turn("user", text, parent=parent))
        yield from self._generate(None, tree.leaf)

    def _generate(self, partial: Turn | None, before: str | None) -> Events:
        """Let the model answer, or continue `partial`; if there is no text, go back to the leaf `before`."""
        pieces: Pieces = {channel: [] for channel in Channel}
        finished: Finished | None = None
        answer, next_draft = partial, time.monotonic() + DRAFT_SECONDS
        try:
            with contextlib.closing(self.model.engine.stream([self._request(partial)])) as events:
                for event in events:
                    if isinstance(event, Failed):
                        raise event.error
                    if isinstance(event, Delta):
                        pieces[event.channel].append(event.text)
                        if time.monotonic() >= next_draft:
                            answer = self._save_answer(answer, pieces, None, draft=True)
                            next_draft = time.monotonic() + DRAFT_SECONDS
                    elif isinstance(event, Finished):
                        finished = self.last_finished = event
                        self._finish_answer(answer, pieces, finished, before)
                    yield event
        finally:
            if finished is None:  # it failed, or the caller closed the generator
                self._finish_answer(answer, pieces, None, before)

    def _request(self, partial: Turn | None) -> Request:
        settings = self.settings
        return Request(
            id=str(next(self._ids)),
            prompt=self._prompt(partial),
            sampling=settings.sampling if partial else self._with_own_seed(settings.sampling),
            max_tokens=settings.max_tokens,
            stop=settings.stop,
            ignore_eos=settings.ignore_eos,
            logprobs=settings.logprobs,
            constraint=settings.constraint,
            close=settings.close,
        )

    def _prompt(self, partial: Turn | None) -> Prompt:
        """The conversation, shortened if it must be. It is encoded here, and once."""
        engine, messages = self.model.engine, self.conversation.messages()
        if not engine.capabilities.tokenize:
            return self._chat_prompt(messages, partial)

        def encode(shown: Messages) -> TokenPrompt:
            return engine.encode(self._chat_prompt(shown, partial))

        return self.window.fit(messages, encode, engine.limit, self.settings.max_tokens, self._choose_overflow)

    def _chat_prompt(self, messages: Messages, partial: Turn | None) -> ChatPrompt:
        """The prompt for an answer, or for the rest of `partial`, which is the last of the messages."""
        options = self.settings.template_options
        if partial is not None and partial.id in self._answer_tokens:
            return ChatPrompt(messages[:-1], False, options, self._answer_tokens[partial.id])
        return ChatPrompt(messages, partial is not None, options)

    def _with_own_seed(self, sampling: Sampling) -> Sampling:
        """Another seed for each answer to the same message, so that /retry does not repeat the answer."""
        if sampling.seed is None:
            return sampling
        siblings = len(self.conversation.children(self.conversation.leaf))
        return dataclasses.replace(sampling, seed=(sampling.seed + siblings) % SEEDS)

    def _choose_overflow(self, question: str) -> Overflow:
        if self.settings.overflow is not Overflow.ASK:
            return self.settings.overflow
        choice = self.ask_overflow(question)
        if choice is Overflow.REFUSE:
            raise ContextFull("Not sent.", "/set overflow oldest or summarize frees space; /new starts over.")
        return choice

    def _summarize(self, messages: Messages) -> str:
        """The model's short summary of messages. Raises Cancelled if it is stopped."""
        options = (*self.settings.template_options, ("enable_thinking", False))
        prompt = ChatPrompt((*messages, Message("user", _SUMMARIZE)), template_options=options)
        sampling = dataclasses.replace(self.settings.sampling, logit_bias=())
        request = Request(str(next(self._ids)), prompt, sampling, summary_tokens(self.model.engine.limit), stream=False)
        summary, reason = "", FinishReason.CANCELLED
        for event in self.model.engine.stream([request]):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Delta) and event.channel is Channel.ANSWER:
                summary += event.text
            elif isinstance(event, Finished):
                reason = event.reason
        if reason is FinishReason.CANCELLED:
            raise Cancelled("Stopped while the oldest messages were being summarized.")
        return summary.strip()

    def _save_answer(self, old: Turn | None, pieces: Pieces, finished: Finished | None, *, draft: bool = False) -> Turn:
        """Save `old`, None for a new answer, with what was added to it; returns `old` with the id that it has now."""
        old = old or Turn("assistant", "", parent=self.conversation.leaf)
        turn = dataclasses.replace(
            old,
            content=old.content + "".join(pieces[Channel.ANSWER]),
            reasoning=old.reasoning + "".join(pieces[Channel.REASONING]),
            model=self.model.reference,
            finish=finished.reason if finished else FinishReason.CANCELLED,
            sampling=settings_of(self.settings.sampling),
            prompt_tokens=finished.prompt_tokens if _is_new(old) and finished else old.prompt_tokens,
            completion_tokens=(old.completion_tokens or 0) + (finished.completion_tokens if finished else 0),
        )
        return dataclasses.replace(old, id=self.autosave.save_answer(turn, draft=draft))

    def _finish_answer(self, old: Turn | None, pieces: Pieces, finished: Finished | None, before: str | None) -> None:
        """Save an answer at its end, whole or stopped, or the rest of a partial one."""
        cancelled = finished is None or finished.reason is FinishReason.CANCELLED
        if cancelled and not any("".join(texts) for texts in pieces.values()):
            self.autosave.move(before)
            return
        known = self._answer_tokens.pop(old.id, ()) if old else ()
        saved = self._save_answer(old, pieces, finished)
        if finished is None:
            return
        self._usage = saved.id, finished.prompt_tokens + finished.completion_tokens
        if finished.stop is None and (_is_new(saved) or known):
            self._answer_tokens[saved.id] = known + finished.tokens


def _is_new(answer: Turn) -> bool:
    return not (answer.content or answer.reasoning)
