"""/why and /surprise: what the last answer came from, and how likely each of its tokens was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gptcli.chat.conversation import Turn
from gptcli.chat.session import ChatSession
from gptcli.errors import GptcliError
from gptcli.explain.attribution import attribute
from gptcli.explain.parts import split_parts
from gptcli.explain.surprise import pieces
from gptcli.render.explanation import write_support, write_surprise
from gptcli.scoring.choices import score
from gptcli.terminal import Terminal
from gptcli.types import ChatPrompt, Message

_ALTERNATIVES = 3


def show_why(session: ChatSession, terminal: Terminal) -> None:
    """The support of each sentence of the last message for the answer to it; of each message, where it is one sentence.

    Raises GptcliError without an answer, and the request's error."""
    messages, answer = _last_answer(session)
    parts = split_parts(messages[-1].content, "sentence")
    if len(parts) > 1:

        def make(kept: Sequence[int]) -> ChatPrompt:
            text = "".join(parts[index] for index in kept)
            return _prompt(session, (*messages[:-1], replace(messages[-1], content=text)))
    else:
        parts = [f"{message.role}: {message.content}\n" for message in messages]

        def make(kept: Sequence[int]) -> ChatPrompt:
            # A message stays, empty: templates want users and assistants to take turns.
            found = enumerate(messages)
            return _prompt(session, [m if index in kept else replace(m, content="") for index, m in found])

    found = attribute(session.model.engine, parts, make, answer.content)
    title = f"The answer has {found.logprob:.1f} nats in {found.tokens} tokens. What each part did for it:"
    write_support(terminal, title, [(part.text, part.support) for part in found.parts])


def show_surprise(session: ChatSession, terminal: Terminal) -> None:
    """The last answer, coloured by surprise. Raises GptcliError without one, and the request's error."""
    messages, answer = _last_answer(session)
    [found] = score(session.model.engine, _prompt(session, messages), [answer.content], top=_ALTERNATIVES)
    write_surprise(terminal, [(piece.text, piece.bits, piece.alternatives) for piece in pieces(found.tokens)])


def _last_answer(session: ChatSession) -> tuple[tuple[Message, ...], Turn]:
    """The messages before the last answer, and the answer."""
    path = session.conversation.path()
    if not path or path[-1].role != "assistant" or not path[-1].content:
        raise GptcliError("There is no answer to explain.", "Send a message first.")
    if not session.model.engine.capabilities.scoring:
        raise GptcliError("This engine cannot score text.", "Use a model on this machine.")
    return session.conversation.messages()[:-1], path[-1]


def _prompt(session: ChatSession, messages: Sequence[Message]) -> ChatPrompt:
    return ChatPrompt(tuple(messages), template_options=session.settings.template_options)
