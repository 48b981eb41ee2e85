"""Formats what the slash commands print, as plain text."""

from __future__ import annotations

from collections.abc import Iterable

from gptcli.chat import export
from gptcli.chat.conversation import SHORT_ID, Conversation, Summary
from gptcli.chat.search import Hit
from gptcli.chat.session import ChatSession
from gptcli.render.renderers import rate
from gptcli.types import FinishReason, TextPrompt

_PREFIXES = {"user": ">>> ", "assistant": "", "system": "system: "}
_HELP_COLUMNS = 56
_MAX_BAR, _BESIDE_BAR = 40, 45  # columns


def shortened(text: str, width: int = 60) -> str:
    """The start of a text, on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(1, width) - 1] + "…"


def columns(rows: list[tuple[str, str]], width: int) -> str:
    """Names beside their help, or above it if the terminal is too narrow for that."""
    left = max(len(name) for name, _ in rows)
    if left + _HELP_COLUMNS <= width:
        return "\n".join(f"{name:<{left}}  {help}".rstrip() for name, help in rows)
    import textwrap

    return "\n".join(
        f"{name}\n{textwrap.indent(textwrap.fill(help, width - 5), '    ')}".rstrip() for name, help in rows
    )


def last_messages(conversation: Conversation, count: int, *, ids: bool = False) -> str:
    """The last `count` messages as they were on the screen; `ids`: with the ids that /goto and /branch take."""
    lines = []
    for turn in [turn for turn in conversation.path() if turn.role != "system"][-count:]:
        stopped = " [stopped]" if turn.finish is FinishReason.CANCELLED else ""
        label = f"[{turn.short_id}] " if ids else ""
        lines.append(f"{label}{_PREFIXES.get(turn.role, '')}{turn.content.rstrip()}{stopped}")
    return "\n".join(lines) or "There are no messages yet."


def branches(conversation: Conversation, width: int) -> str:
    """The end of every branch: id, length, its last question and answer; a star marks the current branch."""
    current = {turn.id for turn in conversation.path()}
    lines = []
    for path in conversation.branches():
        last = path[-1]
        question = next((turn.content for turn in reversed(path) if turn.role == "user"), "")
        answer = last.content if last.role == "assistant" else "(no answer)"
        start = f"{'*' if last.id in current else ' '} {last.short_id} {len(path):>3}  "
        space = width - len(start) - 1
        lines.append(start + shortened(f"{shortened(question, space // 2)} → {answer}", space))
    return "\n".join(lines) or "There are no messages yet."


def conversations(summaries: Iterable[Summary], width: int) -> str:
    """Saved conversations, a line each."""
    lines = []
    for summary in summaries:
        name = f"{summary.name}: " if summary.name else ""
        start = f"{summary.id}  {export.utc(summary.updated)[:10]}  {summary.messages:>3}  "
        lines.append(start + shortened(name + summary.title, width - len(start) - 1))
    return "\n".join(lines) or "There are no saved conversations."


def search_hits(hits: Iterable[Hit], width: int) -> str:
    """Search results, a line each: the name for /load, the id for /goto, the text around the words."""
    lines = []
    for hit in hits:
        start = f"{hit.name or hit.conversation}  {hit.message[:SHORT_ID]}  "
        lines.append(start + shortened(f"{hit.role}: {hit.snippet}", width - len(start) - 1))
    return "\n".join(lines) or "Nothing was found."


def context(session: ChatSession, width: int) -> str:
    """What fills the context: a bar and a count for each message; the rest is the template's."""
    path = session.conversation.path()
    limit = session.model.engine.limit
    if not path:
        return f"0 of {limit:,} tokens"
    total = session.count(session.conversation.messages())
    rows = [(turn.role, turn.content, text_tokens(session, turn.content)) for turn in path]
    rows.append(("template", "", max(0, total - sum(size for *_, size in rows))))
    bar = max(4, min(_MAX_BAR, width - _BESIDE_BAR))
    lines = [f"{total:,} of {limit:,} tokens ({total / limit:.0%})"]
    for role, content, size in rows:
        filled = "█" * min(bar, round(bar * size / limit))
        start = f"{filled:·<{bar}} {size:>6,} {role:<9} "
        lines.append((start + shortened(content, max(1, width - len(start) - 1))).rstrip())
    if left_out := session.window.left_out:
        lines.append(f"The {left_out} oldest messages were left out of the last prompt.")
    return "\n".join(lines)


def text_tokens(session: ChatSession, text: str) -> int:
    """The number of tokens of a text without a template."""
    prompt = TextPrompt(text.encode("utf-8", "surrogateescape"))
    return len(session.model.engine.encode(prompt).tokens) if text else 0


def stats(session: ChatSession) -> str:
    """Counts and rates of the last answer."""
    last = session.last_finished
    if last is None:
        return "There is no answer yet."
    computed = last.prompt_tokens - last.reused_tokens
    return (
        f"prompt:  {last.prompt_tokens} tokens, {last.reused_tokens} reused, {rate(computed, last.prompt_seconds)}\n"
        f"decode:  {last.completion_tokens} tokens, {rate(last.completion_tokens - 1, last.decode_seconds)}\n"
        f"seed:    {last.seed}\n"
        f"finish:  {last.reason.value}"
    )
