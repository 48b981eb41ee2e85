"""A talk going on: the conversation, the engine that answers, the settings, and where it is saved.

It knows what each thing a user can do means for the tree of messages; it reads no keys and draws nothing. Every method
that makes the model speak yields the engine's events, so that who shows them need know no more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Generator

from gptcli.chat.autosave import Autosave
from gptcli.chat.context_window import ContextWindow, Messages, Overflow, summary_room
from gptcli.chat.conversation import Conversation, Turn, replant, settings_of
from gptcli.chat.model import LoadedModel, Settings
from gptcli.chat.store import Store
from gptcli.errors import Cancelled, ContextFull, GptcliError
from gptcli.params import Sampling
from gptcli.types import Channel, ChatPrompt, Delta, Event, Failed, Finished, FinishReason, Message, Request

Events = Generator[Event, None, None]

_SEEDS = 2**32 - 1
_SUMMARIZE = "Summarize our conversation so far in a few sentences. Keep names, numbers, decisions and open questions."


class ChatSession:
    """One conversation with one voice; every answered turn is in the store before its last event is given out.

    What fails, or is stopped before anything was said, leaves the conversation where it was.
    """

    def __init__(
        self,
        voice: LoadedModel,
        conversation: Conversation,
        store: Store | None,
        settings: Settings,
        say: Callable[[str], None],
    ) -> None:
        """`store`: None keeps everything in memory only. `say` tells what has to be heard."""
        self.settings = settings
        self.book = Autosave(conversation, store, say)
        self.room = ContextWindow(self.count, self._summarize, say)
        self.last: Finished | None = None
        """How the last answer ended, with its counts and times."""
        self.ask: Callable[[str], Overflow] = lambda question: Overflow.REFUSE
        """Asks what to do about a full context, where the settings say so."""
        self._voice = voice
        self._say = say
        self._numbers = itertools.count()
        self._tokens: dict[str, tuple[int, ...]] = {}
        """Token ids of answers by their turns, to go on with: text alone does not tell how it was cut into them."""

    @property
    def conversation(self) -> Conversation:
        return self.book.conversation

    @property
    def voice(self) -> LoadedModel:
        return self._voice

    @voice.setter
    def voice(self, voice: LoadedModel) -> None:
        self._voice = voice
        self._tokens.clear()

    def say(self, text: str) -> Events:
        """The user's next message, and the model's answer to it. Raises GptcliError where there can be none."""
        yield from self._ask(text, self.conversation.leaf)

    def resume(self) -> Events:
        """/continue: go on with the newest answer from exactly where it ended. Raises GptcliError if there is none."""
        path = self.conversation.path()
        if not path or path[-1].role != "assistant":
            raise GptcliError("There is no answer to go on with.", "Say something, or /retry where none came.")
        begun = path[-1]
        if begun.id not in self._tokens and begun.reasoning and not begun.content:
            raise GptcliError(
                "That answer was stopped while the model was thinking, in another session or by another model.",
                "/retry has it think anew.",
            )
        yield from self._speak(begun, begun.id)

    def retry(self) -> Events:
        """/retry: another answer to the newest message; the old one stays on its own branch."""
        before = self.conversation.leaf
        self.book.move(self._newest().id)
        yield from self._speak(None, before)

    def edit(self, text: str) -> Events:
        """/edit: another wording of the newest message, and an answer to that; both old ones stay on their branch."""
        yield from self._ask(text, self._newest().parent)

    def undo(self) -> Turn:
        """/undo: go back to before the newest message; returns it. Nothing is deleted."""
        newest = self._newest()
        self.book.move(newest.parent)
        return newest

    def goto(self, prefix: str) -> Turn:
        """Go on after the turn whose id begins so. Raises GptcliError if none or several do."""
        turn = self.conversation.find(prefix)
        self.book.move(turn.id)
        return turn

    def set_system(self, text: str) -> None:
        """The system message from now on; what was said stays, on a branch below the new one."""
        path = self.conversation.path()
        old = path[0].content if path and path[0].role == "system" else ""
        if text == old:
            return
        root = (Turn("system", text),) if text else ()
        planted = replant(tuple(turn for turn in path if turn.role != "system"), root[0].id if root else None)
        if turns := (*root, *planted):
            self.book.append(*turns)
        else:
            self.book.move(None)

    def begin(self, conversation: Conversation) -> None:
        """Go over to another conversation, new or stored."""
        self.book.open(conversation)
        self.last = None

    def count(self, messages: Messages) -> int:
        """Tokens of the prompt that these messages make. Raises RequestError, LoadError."""
        prompt = ChatPrompt(messages, template_options=self.settings.template_options)
        return len(self.voice.engine.encode(prompt).tokens)

    def _newest(self) -> Turn:
        turn = self.conversation.last("user")
        if turn is None:
            raise GptcliError("Nothing has been said yet.", "Say something first.")
        return turn

    def _ask(self, text: str, parent: str | None) -> Events:
        """Put a message after `parent`, or beside it where that is one without an answer, and have it answered."""
        before = self.conversation.leaf
        if parent is not None and self.conversation.turns[parent].role == "user":
            self._say("The message before this one has no answer; it stays on a branch of its own.")
            parent = self.conversation.turns[parent].parent
        waiting = [
            turn
            for turn in self.conversation.children(parent)
            if (turn.role, turn.content) == ("user", text) and not self.conversation.children(turn.id)
        ]
        if waiting:  # the very same message, which got no answer
            self.book.move(waiting[0].id)
        else:
            self.book.append(Turn("user", text, parent=parent))
        yield from self._speak(None, before)

    def _speak(self, begun: Turn | None, before: str | None) -> Events:
        """Let the model answer, or go on with `begun`; where nothing comes, go back to `before`."""
        said: dict[Channel, list[str]] = {channel: [] for channel in Channel}
        ended: Finished | None = None
        try:
            with contextlib.closing(self.voice.engine.stream([self._request(begun)])) as events:
                for event in events:
                    if isinstance(event, Failed):
                        raise event.error
                    if isinstance(event, Delta):
                        said[event.channel].append(event.text)
                    elif isinstance(event, Finished):
                        ended = self.last = event
                        self._keep(begun, said, ended, before)
                    yield event
        finally:
            if ended is None:  # it failed, or nobody listens any more
                self._keep(begun, said, None, before)

    def _request(self, begun: Turn | None) -> Request:
        settings = self.settings
        shown = self.room.fit(self.conversation.messages(), self.voice.engine.limit, settings.max_tokens, self._choose)
        prompt = ChatPrompt(shown, begun is not None, settings.template_options)
        if begun is not None and begun.id in self._tokens:
            prompt = ChatPrompt(shown[:-1], False, settings.template_options, self._tokens[begun.id])
        return Request(
            id=str(next(self._numbers)),
            prompt=prompt,
            sampling=settings.sampling if begun else self._fresh(settings.sampling),
            max_tokens=settings.max_tokens,
            stop=settings.stop,
            logprobs=settings.logprobs,
        )

    def _fresh(self, sampling: Sampling) -> Sampling:
        """With a seed of its own for each answer to the same message, lest another answer be the same again."""
        others = len(self.conversation.children(self.conversation.leaf))
        return (
            sampling if sampling.seed is None else dataclasses.replace(sampling, seed=(sampling.seed + others) % _SEEDS)
        )

    def _choose(self, question: str) -> Overflow:
        if self.settings.overflow is not Overflow.ASK:
            return self.settings.overflow
        choice = self.ask(question)
        if choice is Overflow.REFUSE:
            raise ContextFull("It was not sent.", "/set overflow oldest or summarize makes room; /new begins anew.")
        return choice

    def _summarize(self, messages: Messages) -> str:
        """What the model makes of messages in a few words. Raises Cancelled where it is stopped."""
        options = (*self.settings.template_options, ("enable_thinking", False))
        prompt = ChatPrompt((*messages, Message("user", _SUMMARIZE)), template_options=options)
        sampling = dataclasses.replace(self.settings.sampling, grammar="", logit_bias=())
        most = summary_room(self.voice.engine.limit)
        request = Request(str(next(self._numbers)), prompt, sampling, most, stream=False)
        pieces = []
        reason = FinishReason.CANCELLED
        for event in self.voice.engine.stream([request]):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Delta) and event.channel is Channel.ANSWER:
                pieces.append(event.text)
            elif isinstance(event, Finished):
                reason = event.reason
        if reason is FinishReason.CANCELLED:
            raise Cancelled("Stopped while the oldest messages were being summarized.")
        return "".join(pieces).strip()

    def _keep(
        self, begun: Turn | None, said: dict[Channel, list[str]], ended: Finished | None, before: str | None
    ) -> None:
        """Save what was said, be it a whole answer, one that was stopped, or the rest of one that was begun."""
        text, reasoning = "".join(said[Channel.ANSWER]), "".join(said[Channel.REASONING])
        reason = ended.reason if ended else FinishReason.CANCELLED
        if not text and not reasoning and reason is FinishReason.CANCELLED:
            self.book.move(before)
            return
        old = begun or Turn("assistant", "", parent=self.conversation.leaf)
        turn = dataclasses.replace(
            old,
            content=old.content + text,
            reasoning=old.reasoning + reasoning,
            model=self.voice.reference,
            finish=reason,
            sampling=settings_of(self.settings.sampling),
            prompt_tokens=ended.prompt_tokens if begun is None and ended else old.prompt_tokens,
            completion_tokens=(old.completion_tokens or 0) + (ended.completion_tokens if ended else 0),
        )
        known = self._tokens.pop(old.id, ())
        if begun is None:
            self.book.append(turn)
        else:
            self.book.lengthen(turn)
        if ended is not None and ended.stop is None and (begun is None or known) and self.conversation.leaf is not None:
            self._tokens[self.conversation.leaf] = known + ended.tokens
