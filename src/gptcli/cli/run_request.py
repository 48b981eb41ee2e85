"""One request to its end: events to a renderer, notices and statistics to stderr, an exit code back.

It knows which renderer goes with which format, and no option beyond those of output.
"""

from __future__ import annotations

from typing import Protocol

from gptcli.cli.options import OutputFlags
from gptcli.cli.values import OutputFormat
from gptcli.errors import ExitCode
from gptcli.render.stats import say_ends, show_stats
from gptcli.runtime.loader import EngineLoader, LoadedEngine
from gptcli.runtime.prefixes import keep
from gptcli.terminal import Terminal
from gptcli.types import Event, Failed, Finished, FinishReason, Request


class Renderer(Protocol):
    def show(self, event: Event) -> None: ...

    def close(self) -> None: ...


def answer(
    opening: EngineLoader,
    request: Request,
    output: OutputFlags,
    terminal: Terminal,
    *,
    before: str,
    show_prompt: bool,
    cache_prompt: bool,
) -> ExitCode:
    """Answer `request` on stdout. Raises the request's own error, LoadError, BrokenPipeError."""
    ended: list[Finished] = []
    renderer = choose_renderer(output, terminal, opening.model.name, before)
    with opening.engine() as opened, opened.interrupt.watch():
        if show_prompt:
            _show_tokens(opened, request, terminal)
        for event in opened.engine.stream([request]):
            if isinstance(event, Failed):
                raise event.error
            renderer.show(event)
            if isinstance(event, Finished):
                ended.append(event)
        renderer.close()
        say_ends(terminal, ended)
        if cache_prompt:
            keep(opened.engine, terminal)
        if output.stats:
            show_stats(terminal, ended, opened.load_seconds, opened.backend.model.offload.description)
    cancelled = any(event.reason is FinishReason.CANCELLED for event in ended)
    return ExitCode.INTERRUPTED if cancelled else ExitCode.OK


def choose_renderer(output: OutputFlags, terminal: Terminal, model: str, before: str) -> Renderer:
    """The renderer of a text completion for a format."""
    if output.format is OutputFormat.TEXT:
        from gptcli.render.plain import PlainText

        return PlainText(terminal, before)
    from gptcli.render.completion import CompletionJson, CompletionLines

    kind = CompletionJson if output.format is OutputFormat.JSON else CompletionLines
    return kind(terminal, model, with_logprobs=output.logprobs is not None, before=before)


def _show_tokens(opened: LoadedEngine, request: Request, terminal: Terminal) -> None:
    """The prompt's tokens, one a line: id and text."""
    for token in opened.engine.encode(request.prompt).tokens:
        terminal.report(f"{token:>7} {opened.engine.token_text(token)!r}")
