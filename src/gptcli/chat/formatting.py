"""What the REPL's commands tell: branches, the tail of a talk, what fills the context; as plain text.

It knows how to word them, and neither streams nor keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from gptcli.chat import export
from gptcli.chat.conversation import Conversation, Summary
from gptcli.chat.search import Hit
from gptcli.chat.session import ChatSession
from gptcli.errors import GptcliError
from gptcli.render.stats import rate
from gptcli.types import FinishReason, TextPrompt

_HEAD = 60
_ID = 8  # hex digits of a turn's id
_WHO = {"user": ">>> ", "assistant": "", "system": "system: "}
_FULLEST_BAR, _BESIDE_BAR = 40, 45  # columns


def head(text: str, width: int = _HEAD) -> str:
    """The beginning of a text, on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(1, width) - 1] + "…"


def tail(conversation: Conversation, count: int, *, ids: bool = False) -> str:
    """The last `count` messages, as they stood on the screen; `ids`: with what /goto and /branch want."""
    path = [turn for turn in conversation.path() if turn.role != "system"][-count:]
    if not path:
        return "Nothing has been said yet."
    parts = []
    for turn in path:
        stopped = " [stopped]" if turn.finish is FinishReason.CANCELLED else ""
        label = f"[{turn.id[:_ID]}] " if ids else ""
        parts.append(f"{label}{_WHO.get(turn.role, '')}{turn.content.rstrip()}{stopped}")
    return "\n".join(parts)


def branches(conversation: Conversation, width: int) -> str:
    """Every end of the conversation: id, length, its last question and answer; a star at the current one."""
    current = {turn.id for turn in conversation.path()}
    lines = []
    for path in conversation.branches():
        asked = next((turn.content for turn in reversed(path) if turn.role == "user"), "")
        said = path[-1].content if path[-1].role == "assistant" else "(no answer)"
        mark = "*" if path[-1].id in current else " "
        start = f"{mark} {path[-1].id[:_ID]} {len(path):>3}  "
        room = width - len(start) - 1
        lines.append(start + head(f"{head(asked, room // 2)} → {said}", room))
    return "\n".join(lines) or "Nothing has been said yet."


def system(conversation: Conversation) -> str:
    """The system message."""
    path = conversation.path()
    return path[0].content if path and path[0].role == "system" else "There is no system message."


def conversations(summaries: Iterable[Summary], width: int) -> str:
    """Saved conversations, a line each."""
    lines = []
    for summary in summaries:
        named = f"{summary.name}: " if summary.name else ""
        start = f"{summary.id}  {export.utc(summary.updated)[:10]}  {summary.messages:>3}  "
        lines.append(start + head(named + summary.title, width - len(start) - 1))
    return "\n".join(lines) or "No conversation is saved yet."


def hits(found: Iterable[Hit], width: int) -> str:
    """What a search found, a line each: what /load wants, then /goto, then where the words are."""
    lines = []
    for hit in found:
        start = f"{hit.name or hit.conversation}  {hit.turn[:_ID]}  "
        lines.append(start + head(f"{hit.role}: {hit.snippet}", width - len(start) - 1))
    return "\n".join(lines) or "Nothing was found."


def exported(conversation: Conversation, kind: str) -> str:
    """The whole conversation as Markdown or JSON. Raises GptcliError for another kind."""
    if kind == "md":
        return export.markdown(conversation)
    if kind == "json":
        return json.dumps(export.record(conversation, conversation.path()), ensure_ascii=False, indent=2)
    raise GptcliError(f"There is no export as {kind}.", "/export md or /export json")


def tokens(session: ChatSession, text: str) -> str:
    """The number of tokens of a text, or of the prompt that comes next."""
    if text:
        return f"{_size(session, text):,} tokens"
    messages = session.conversation.messages()
    return f"{session.count(messages) if messages else 0:,} tokens so far"


def context(session: ChatSession, width: int) -> str:
    """What takes the room in the context: a bar and a share for each message; the rest is the template's."""
    path = session.conversation.path()
    limit = session.voice.engine.limit
    if not path:
        return f"0 of {limit:,} tokens"
    total = session.count(session.conversation.messages())
    rows = [(turn.role, turn.content, _size(session, turn.content)) for turn in path]
    rows.append(("template", "", max(0, total - sum(size for *_, size in rows))))
    bar = max(4, min(_FULLEST_BAR, width - _BESIDE_BAR))
    lines = [f"{total:,} of {limit:,} tokens ({total / limit:.0%})"]
    for role, content, size in rows:
        filled = "█" * min(bar, round(bar * size / limit))
        start = f"{filled:·<{bar}} {size:>6,} {role:<9} "
        lines.append((start + head(content, max(1, width - len(start) - 1))).rstrip())
    if session.room.left_out:
        lines.append(f"The model was not shown the {session.room.left_out} oldest messages.")
    return "\n".join(lines)


def _size(session: ChatSession, text: str) -> int:
    data = TextPrompt(text.encode("utf-8", "surrogateescape"))
    return len(session.voice.engine.encode(data).tokens) if text else 0


def stats(session: ChatSession) -> str:
    """Counts and rates of the last answer."""
    ended = session.last
    if ended is None:
        return "Nothing has been answered yet."
    computed = ended.prompt_tokens - ended.reused_tokens
    return (
        f"prompt:  {ended.prompt_tokens} tokens, {ended.reused_tokens} reused, {rate(computed, ended.prompt_seconds)}\n"
        f"decode:  {ended.completion_tokens} tokens, {rate(ended.completion_tokens - 1, ended.decode_seconds)}\n"
        f"seed:    {ended.seed}\n"
        f"finish:  {ended.reason.value}"
    )
