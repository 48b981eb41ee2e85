"""One request to its end: events to a renderer, notices and statistics to stderr, an exit code back.

It knows which renderer goes with which format, and no option beyond those of output.
"""

from __future__ import annotations

from gptcli.cli.options import OutputFlags
from gptcli.errors import ExitCode
from gptcli.render.renderers import choose
from gptcli.render.stats import report_cut_texts, show_stats
from gptcli.runtime.loader import EngineLoader, LoadedEngine
from gptcli.runtime.prefixes import keep
from gptcli.terminal import Terminal
from gptcli.types import Failed, Finished, FinishReason, Request


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
    logprobs = output.logprobs is not None
    renderer = choose(terminal, output.format, opening.model.name, before=before, logprobs=logprobs)
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
        report_cut_texts(terminal, ended)
        if cache_prompt:
            keep(opened.engine, terminal)
        if output.stats:
            show_stats(terminal, ended, opened.load_seconds, opened.backend.model.offload.description)
    cancelled = any(event.reason is FinishReason.CANCELLED for event in ended)
    return ExitCode.INTERRUPTED if cancelled else ExitCode.OK


def _show_tokens(opened: LoadedEngine, request: Request, terminal: Terminal) -> None:
    """The prompt's tokens, one a line: id and text."""
    vocabulary = opened.backend.vocabulary
    for token in opened.engine.tokens(request.prompt):
        terminal.report(f"{token:>7} {vocabulary.name(token)!r}")
