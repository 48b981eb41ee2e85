"""A chat from its flags to its end: the conversation, the engine, and the REPL or the one answer.

It joins chat/, the engine and the renderers; what each does is theirs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gptcli.chat.context_window import Overflow
from gptcli.chat.conversation import Conversation
from gptcli.chat.fences import blocks
from gptcli.chat.model import Settings
from gptcli.chat.session import ChatSession
from gptcli.chat.store import Store
from gptcli.cli.main import CommandContext
from gptcli.cli.model_switcher import ModelSwitcher, names
from gptcli.cli.options import ModelFlags, OutputFlags, SamplingFlags
from gptcli.cli.prompt import read_prompt
from gptcli.cli.run_request import Renderer
from gptcli.cli.values import OutputFormat
from gptcli.errors import ExitCode, GptcliError, ModelNotFound, UsageError
from gptcli.render.stats import say_ends, show_stats
from gptcli.runtime.loader import EngineLoader
from gptcli.terminal import Terminal
from gptcli.types import Channel, Delta, Event, FinishReason

if TYPE_CHECKING:
    from gptcli.cli.chat import ChatFlags


def converse(
    message: str | None,
    flags: ChatFlags,
    model: ModelFlags,
    sampling: SamplingFlags,
    output: OutputFlags,
    session: CommandContext,
) -> int:
    """One answer where there is a message or no terminal, else the REPL. Raises every GptcliError there is."""
    terminal = session.terminal
    talks = _talks(message, flags, output, terminal)
    with contextlib.ExitStack() as stack:
        shelf = _Shelf(stack)
        conversation = _conversation(flags, shelf)
        opening = _opening(model, conversation, output, session)
        text = "" if talks else _message(message, flags, terminal)
        voices = stack.enter_context(ModelSwitcher(opening, model, output, session))
        voices.keeping = not flags.no_save
        store = None if flags.no_save else shelf.store()
        talking = ChatSession(
            voices.voice, conversation, store, _settings(flags, sampling, output, talks), terminal.report
        )
        if flags.system is not None:
            talking.set_system(flags.system)
        if talks:
            _talk(talking, voices, flags, output, terminal, shelf)
            code = ExitCode.OK
        else:
            code = _answer(talking, text, voices, flags, output, terminal)
        voices.keep()
        return code


class _Shelf:
    """The conversations file, opened when it is first needed."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._store: Store | None = None

    def store(self) -> Store:
        if self._store is None:
            self._store = self._stack.enter_context(Store())
        return self._store


def _talks(message: str | None, flags: ChatFlags, output: OutputFlags, terminal: Terminal) -> bool:
    """Whether this is a talk, and not one answer. Raises UsageError for what only the other can do."""
    both = terminal.stdin_tty and terminal.stdout_tty
    talks = message is None and both and output.format is OutputFormat.TEXT
    if talks and (flags.extract or flags.extract_last):
        raise UsageError("--extract wants a message.", "Give one, or leave it away.")
    if flags.overflow is Overflow.ASK and not talks:
        raise UsageError("--overflow ask needs somebody to ask.", "Take refuse, oldest or summarize.")
    return talks


def _conversation(flags: ChatFlags, shelf: _Shelf) -> Conversation:
    if flags.chat is not None:
        return shelf.store().find(flags.chat)
    if not flags.resume:
        return Conversation()
    last = shelf.store().last()
    if last is None:
        raise GptcliError("There is no conversation to go on with.", "`gptcli chat` begins one.")
    return last


def _opening(
    model: ModelFlags, conversation: Conversation, output: OutputFlags, session: CommandContext
) -> EngineLoader:
    """The model that was asked for, else the one that answered last in the conversation; never silently another."""
    if model.model is not None or conversation.model is None:
        return EngineLoader(model, output, session)
    model.model = conversation.model
    try:
        return EngineLoader(model, output, session)
    except ModelNotFound as error:
        advice = f"The conversation was with {conversation.model}; `-m MODEL` lets another one go on with it."
        raise ModelNotFound(error.message, advice) from error


def _message(message: str | None, flags: ChatFlags, terminal: Terminal) -> str:
    """Standard input, a blank line, the argument. Raises UsageError where there is neither."""
    if message is None and (terminal.stdin_tty or flags.no_stdin):
        raise UsageError(
            "there is no message.",
            "Give it as an argument or on standard input; talking needs a terminal on both ends.",
        )
    parts = read_prompt([message] if message else [], [], terminal, use_stdin=not flags.no_stdin)
    text = b"\n\n".join(part for part in parts if part).decode("utf-8", "surrogateescape")
    if not text.strip():
        raise UsageError("the message is empty.", "Give it as an argument or on standard input.")
    return text


def _settings(flags: ChatFlags, sampling: SamplingFlags, output: OutputFlags, talks: bool) -> Settings:
    return Settings(
        sampling=sampling.sampling(),
        max_tokens=None if flags.max_tokens < 0 else flags.max_tokens,
        stop=tuple(flags.stop or ()),
        template_options=(("enable_thinking", False),) if flags.no_think else (),
        overflow=flags.overflow or (Overflow.ASK if talks else Overflow.REFUSE),
        logprobs=output.logprobs,
    )


def _talk(
    talking: ChatSession,
    voices: ModelSwitcher,
    flags: ChatFlags,
    output: OutputFlags,
    terminal: Terminal,
    shelf: _Shelf,
) -> None:
    from gptcli.chat.repl import Repl

    talk = Repl(talking, terminal, voices.opened.interrupt, shelf.store, voices.change, names)
    talk.markdown = not flags.plain
    talk.show_thinking = not flags.hide_thinking
    talk.stats = output.stats
    talk.run()


class _Extract:
    """Keeps an answer and prints one fenced block of it; the whole answer where there is none."""

    def __init__(self, terminal: Terminal, which: int) -> None:
        self._terminal = terminal
        self._which = which
        self._pieces: list[str] = []

    def show(self, event: Event) -> None:
        if isinstance(event, Delta) and event.channel is Channel.ANSWER:
            self._pieces.append(event.text)

    def close(self) -> None:
        text = "".join(self._pieces)
        found = blocks(text)
        if not found:
            self._terminal.notice("The answer has no fenced block; this is all of it.")
        shown = found[self._which] if found else text
        self._terminal.answer(shown + "\n" * (self._terminal.stdout_tty and not shown.endswith("\n")))


def _renderer(flags: ChatFlags, output: OutputFlags, terminal: Terminal, model: str) -> Renderer:
    if flags.extract or flags.extract_last:
        return _Extract(terminal, 0 if flags.extract else -1)
    if output.format is OutputFormat.TEXT:
        from gptcli.render.chat import ChatText

        resumed = flags.resume or flags.chat is not None
        return ChatText(terminal, markdown=not flags.plain, think=not flags.hide_thinking, tell_reused=resumed)
    from gptcli.render.json import json_renderer

    lines, logprobs = output.format is OutputFormat.JSONL, output.logprobs is not None
    return json_renderer(terminal, model, lines=lines, chat=True, logprobs=logprobs)


def _answer(
    talking: ChatSession, text: str, voices: ModelSwitcher, flags: ChatFlags, output: OutputFlags, terminal: Terminal
) -> ExitCode:
    opened = voices.opened
    renderer = _renderer(flags, output, terminal, opened.model.name)
    with contextlib.closing(talking.say(text)) as events, opened.interrupt.watch():
        for event in events:
            renderer.show(event)
    renderer.close()
    if talking.last is None:
        return ExitCode.INTERRUPTED  # before anything was computed
    say_ends(terminal, [talking.last])
    if output.stats:
        show_stats(terminal, [talking.last], opened.load_seconds, opened.backend.model.offload.description)
    if talking.last.reason is FinishReason.CANCELLED:
        return ExitCode.INTERRUPTED
    return ExitCode.ERROR if talking.book.behind else ExitCode.OK
