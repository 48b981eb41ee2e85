"""A conversation as a document: Markdown for people, JSON values for programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone

from gptcli.chat.conversation import Conversation, Summary, Turn
from gptcli.chat.search import Hit
from gptcli.render.fences import unclosed_fence
from gptcli.types import FinishReason

_ENDINGS = {
    FinishReason.CANCELLED: "stopped by the user",
    FinishReason.LENGTH: "stopped at the token limit",
    FinishReason.CONTEXT: "stopped because the context was full",
}


def markdown(conversation: Conversation) -> str:
    """The current branch, with a heading for each message; unclosed code blocks are closed."""
    return _document(conversation, ((turn, "") for turn in conversation.path()))


def tree(conversation: Conversation) -> str:
    """Every branch, each message once, depth first; headings say where a branch starts and which are not current."""
    current = {turn.id for turn in conversation.path()}
    turns = []
    above: str | None = None
    for turn in _depth_first(conversation):
        siblings = conversation.siblings(turn.id)
        notes = [turn.short_id]
        if len(siblings) > 1:
            notes.append(f"{siblings.index(turn) + 1} of {len(siblings)}")
        if turn.parent != above:
            notes.append(f"after {conversation.turns[turn.parent].short_id}" if turn.parent else "first message")
        if turn.id not in current:
            notes.append("another branch")
        turns.append((turn, ", ".join(notes)))
        above = turn.id
    return _document(conversation, turns)


def record(conversation: Conversation, turns: Iterable[Turn]) -> dict[str, object]:
    """The conversation with these turns as a JSON value; times are UTC in ISO 8601."""
    head = {name: getattr(conversation, name) for name in ("id", "name", "title", "model")}
    return {
        **head,
        "created": utc(conversation.created),
        "updated": utc(conversation.updated),
        "leaf": conversation.leaf,
        "messages": [_message(turn) for turn in turns],
    }


def row_record(row: Summary | Hit) -> dict[str, object]:
    """A row of a listing or a search result as a JSON value."""
    return {name: utc(value) if name in ("created", "updated") else value for name, value in asdict(row).items()}


def utc(seconds: float) -> str:
    """Seconds since 1970 in ISO 8601, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def _message(turn: Turn) -> dict[str, object]:
    message: dict[str, object] = {name: getattr(turn, name) for name in ("id", "parent", "role", "content")}
    message["created"] = utc(turn.created)
    if turn.reasoning:
        message["reasoning"] = turn.reasoning
    if turn.role == "assistant":
        message["model"] = turn.model
        message["finish_reason"] = turn.finish.value if turn.finish else None
        message["sampling"] = dict(turn.sampling)
        message["usage"] = {"prompt_tokens": turn.prompt_tokens, "completion_tokens": turn.completion_tokens}
    return message


def _document(conversation: Conversation, turns: Iterable[tuple[Turn, str]]) -> str:
    parts = [f"# {conversation.name or conversation.title or conversation.id}"]
    for turn, note in turns:
        ending = _ENDINGS.get(turn.finish) if turn.finish else None
        details = ", ".join(text for text in (note, ending) if text)
        parts.append(f"## {turn.role.capitalize()}" + (f" ({details})" if details else ""))
        if content := turn.content.strip("\n"):
            fence = unclosed_fence(content)
            parts.append(f"{content}\n{fence}" if fence else content)
    return "\n\n".join(parts) + "\n"


def _depth_first(conversation: Conversation) -> Iterable[Turn]:
    children: dict[str | None, list[Turn]] = {}
    for turn in conversation.turns.values():
        children.setdefault(turn.parent, []).append(turn)
    waiting = children.get(None, [])[::-1]
    while waiting:
        turn = waiting.pop()
        yield turn
        waiting += children.get(turn.id, [])[::-1]
