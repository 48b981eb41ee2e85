"""Writes answers: `choose` picks the renderer (text, a chat, one code block, JSON), and statistics go to stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gptcli.render.fences import code_block
from gptcli.terminal import Terminal
from gptcli.types import Channel, Delta, Event, Finished, FinishReason, Prefill, Started

if TYPE_CHECKING:
    from gptcli.render.progress import PromptProgress
    from gptcli.runtime.loaded import LoadedEngine


_ONE_STEP = 512
"""Prompt tokens that are computed in one step, which has no progress."""


class Renderer(Protocol):
    """Turns the events of one request into output."""

    def show(self, event: Event) -> None: ...

    def close(self) -> None: ...


def choose(
    terminal: Terminal,
    format: str,
    model: str,
    *,
    chat: bool = False,
    markdown: bool = True,
    thinking: bool = True,
    report_reused: bool = False,
    extract: int | None = None,
    logprobs: bool = False,
    items: bool = False,
) -> Renderer:
    """The renderer for a format (text, json, jsonl).

    The options of a chat are those of `ChatText`; `extract` is the index of the only code block to print. `items`: the
    items of a JSON answer as lines, not the chunks of its text."""
    if extract is not None:
        return CodeBlock(terminal, extract)
    if items:
        from gptcli.render.items import ItemLines

        return ItemLines(terminal)
    if format == "text" and chat:
        from gptcli.render.chat import ChatText

        return ChatText(terminal, markdown=markdown, thinking=thinking, report_reused=report_reused)
    if format == "text":
        return PlainText(terminal)
    from gptcli.render.json import json_renderer

    return json_renderer(terminal, model, lines=format == "jsonl", chat=chat, logprobs=logprobs)


class PlainText:
    """Streams sample 0 and writes the others at the end, each after an empty line."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._others: dict[int, list[str]] = {}
        self._last = ""
        self._progress: PromptProgress | None = None

    def show(self, event: Event) -> None:
        if isinstance(event, Started):
            self._start_progress(event)
        elif isinstance(event, Prefill) and self._progress is not None:
            self._progress.show(event)
        elif isinstance(event, Delta | Finished):
            if self._progress is not None:
                self._progress.end()
            text = event.text if isinstance(event, Delta) else ""
            if event.index == 0:
                self._write(text)
            else:
                self._others.setdefault(event.index, []).append(text)

    def close(self) -> None:
        """Write the other samples; on a terminal, end the line."""
        for _, pieces in sorted(self._others.items()):
            self._write("\n\n" + "".join(pieces))
        if self._terminal.stdout_tty and not self._last.endswith("\n"):
            self._terminal.write("\n")

    def _start_progress(self, event: Started) -> None:
        if event.prompt_tokens - event.reused_tokens > _ONE_STEP:
            from gptcli.render.progress import PromptProgress

            self._progress = PromptProgress(self._terminal)
            self._progress.show(event)

    def _write(self, text: str) -> None:
        if text:
            self._terminal.write(text)
            self._last = text


class CodeBlock:
    """Prints one fenced block of an answer, or the whole answer where there is none."""

    def __init__(self, terminal: Terminal, index: int) -> None:
        self._terminal, self._index = terminal, index
        self._pieces: list[str] = []

    def show(self, event: Event) -> None:
        if isinstance(event, Delta) and event.channel is Channel.ANSWER:
            self._pieces.append(event.text)

    def close(self) -> None:
        text = "".join(self._pieces)
        if (block := code_block(text, self._index)) is not None:
            text = block
        else:
            self._terminal.notice("The answer has no fenced block; this is all of it.")
        self._terminal.write(text + "\n" * (self._terminal.stdout_tty and not text.endswith("\n")))


def rate(tokens: int, seconds: float) -> str:
    """Tokens a second."""
    return f"{tokens / seconds:,.1f} tokens/s" if seconds > 0 and tokens > 0 else "-"


def show_stats(terminal: Terminal, ended: list[Finished], loaded: LoadedEngine) -> None:
    """Print what `--stats` shows: rates of load, prompt and decode, reused tokens, seeds and finish reasons."""
    if not ended:
        return
    first = ended[0]
    computed = first.prompt_tokens - first.reused_tokens
    # the first token of each sample comes from the prefill
    decoded = sum(max(0, event.completion_tokens - 1) for event in ended)
    decode_seconds = max(event.decode_seconds for event in ended)
    lines = [
        f"load:    {loaded.load_seconds:.3f} s on {loaded.device}",
        f"prompt:  {first.prompt_tokens} tokens, {first.reused_tokens} reused, {rate(computed, first.prompt_seconds)}",
        f"decode:  {sum(event.completion_tokens for event in ended)} tokens, {rate(decoded, decode_seconds)}",
        f"seed:    {', '.join(str(event.seed) for event in ended)}",
        f"finish:  {', '.join(_reason(event) for event in ended)}",
    ]
    if drafted := sum(event.drafted for event in ended):
        accepted = sum(event.accepted for event in ended)
        lines.insert(3, f"drafts:  {drafted} tokens, {accepted} accepted ({accepted / drafted:.0%})")
    if (threads := loaded.decode_threads) is not None:
        lines.insert(3, f"threads: {threads.count} of {threads.most}, which waited {threads.waited:.1f} s for a core")
    terminal.report("\n".join(lines))


def _reason(event: Finished) -> str:
    if event.stop is not None:
        return f"stop ({event.stop!r})"
    return event.reason.value + " (closed)" * event.closed


def report_cut_texts(terminal: Terminal, ended: list[Finished]) -> None:
    """Print a notice where a limit cut a text short."""
    for event in ended:
        if event.reason is FinishReason.LENGTH and event.completion_tokens:
            how = "Closed" if event.closed else "Stopped"
            terminal.notice(f"{how} after {event.completion_tokens} tokens (-n; -1 goes on until the end).")
        elif event.reason is FinishReason.CONTEXT and not terminal.quiet:
            held = event.prompt_tokens + event.completion_tokens - 1  # the last token needed no place in it any more
            terminal.report(f"Stopped: the context of {held:,} tokens is full (--ctx-size).")
        if event.dropped_bytes:
            terminal.notice(
                f"The last token left a character unfinished; its {event.dropped_bytes} bytes are left out."
            )
