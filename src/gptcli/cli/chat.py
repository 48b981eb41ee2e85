"""`gptcli chat`: a REPL on a terminal, or one answer."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from gptcli.chat.context_window import Overflow
from gptcli.cli import suggestions
from gptcli.cli.constraint_options import ConstraintFlags, OnInterrupt
from gptcli.cli.main import CommandContext
from gptcli.cli.options import (
    CHAT_TEMPLATE,
    ModelFlags,
    OutputFlags,
    OutputFormat,
    SamplingCommand,
    SamplingFlags,
    SpeculationFlags,
    groups_for,
    param_option,
    takes,
)
from gptcli.cli.role_options import RoleFlags, read_input
from gptcli.errors import ExitCode, GptcliError, ModelNotFound, UsageError
from gptcli.terminal import Terminal
from gptcli.types import FinishReason

if TYPE_CHECKING:
    from gptcli.chat.conversation import Conversation
    from gptcli.chat.session import ChatSession
    from gptcli.chat.settings import Settings
    from gptcli.chat.store import Store
    from gptcli.cli.model_switcher import ModelSwitcher
    from gptcli.roles.prompt import RolePrompt
    from gptcli.runtime import EngineOptions
    from gptcli.runtime.loader import EngineLoader

app = typer.Typer(add_completion=False)

_option = functools.partial(typer.Option, rich_help_panel="Conversation")


@dataclasses.dataclass(slots=True)
class ChatFlags:
    """Which conversation, and how it is answered."""

    system: Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="The system message.")] = None
    resume: Annotated[bool, _option("--continue", "-c", help="Continue the last conversation.")] = False
    chat: Annotated[
        str | None,
        _option("--chat", metavar="NAME|ID", autocompletion=suggestions.chats, help="Continue this conversation."),
    ] = None
    no_save: Annotated[bool, _option("--no-save/--save", help="Do not save anything.")] = False
    overflow: Annotated[
        Overflow | None,
        _option("--overflow", help="When the context is full. (default: ask, or refuse in a pipe)", show_default=False),
    ] = None
    max_tokens: Annotated[int, param_option("max_tokens")] = -1
    stop: Annotated[list[str] | None, param_option("stop")] = None
    extract: Annotated[bool, typer.Option("--extract", "-x", help="Print only the first code block.")] = False
    extract_last: Annotated[bool, typer.Option("--xl", help="Print only the last code block.")] = False
    plain: Annotated[bool, typer.Option("--plain/--markdown", help="Do not format Markdown.")] = False
    no_think: Annotated[bool, typer.Option("--no-think/--think", help="Disable thinking.")] = False
    hide_thinking: Annotated[
        bool, typer.Option("--hide-thinking/--show-thinking", help="Do not show the model's reasoning.")
    ] = False
    chat_template: Annotated[str | None, CHAT_TEMPLATE] = None
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="Do not read standard input.")] = False

    def check(self, output: OutputFlags) -> None:
        """Raises UsageError for flags that contradict each other."""
        for one, other, flags in (
            (self.resume, self.chat is not None, "--continue and --chat"),
            (self.extract, self.extract_last, "--extract and --xl"),
            (self.extract or self.extract_last, output.format is not OutputFormat.TEXT, "--extract and --format"),
        ):
            if one and other:
                raise UsageError(f"{flags} contradict each other.", "Drop one.")


@app.command(cls=SamplingCommand, epilog="Example: git diff | gptcli chat 'write a commit message'")
@takes(
    flags=ChatFlags,
    role=RoleFlags,
    model=ModelFlags,
    speculation=SpeculationFlags,
    structure=ConstraintFlags,
    sampling=SamplingFlags,
    output=OutputFlags,
)
def chat(
    ctx: typer.Context,
    flags: ChatFlags,
    role: RoleFlags,
    model: ModelFlags,
    speculation: SpeculationFlags,
    structure: ConstraintFlags,
    sampling: SamplingFlags,
    output: OutputFlags,
    message: Annotated[
        list[str] | None, typer.Argument(help="The message; without it, a REPL.", show_default=False)
    ] = None,
) -> int:
    """Chat with a model, or get one answer to standard input, an empty line and the message."""
    for group in (model, structure, sampling, output):
        group.check()
    flags.check(output)
    structure.check_stop(flags.stop)
    structure.check_items(output.stream_items)
    context: CommandContext = ctx.obj
    terminal = context.terminal
    terminal.quiet = output.quiet
    prompt = role.prompt(ctx)
    _take_extract(flags, prompt)
    interactive = _is_interactive(message, flags, output, terminal)
    constraint = structure.constraint(terminal.report)

    from gptcli.chat.session import ChatSession
    from gptcli.chat.store import Store
    from gptcli.cli.model_switcher import ModelSwitcher

    with contextlib.ExitStack() as stack:

        @functools.cache
        def store() -> Store:  # opened when it is first needed
            return stack.enter_context(Store())

        conversation = _find_conversation(flags, store)
        if model.model is None and conversation.model is not None:  # it may have settings of its own
            groups = groups_for(ctx, conversation.model)
            flags, model, sampling, output = (groups[name] for name in ("flags", "model", "sampling", "output"))
            speculation = groups["speculation"]
            _take_extract(flags, prompt)

        def options_for(reference: str) -> "EngineOptions":  # each model may have settings of its own
            groups = groups_for(ctx, reference)
            template = groups["flags"].chat_template
            options: EngineOptions = groups["model"].engine_options(chat_template=template, verbose=output.verbose)
            options = groups["speculation"].applied(options)
            return dataclasses.replace(options, constrained=bool(structure.given))

        options = speculation.applied(model.engine_options(chat_template=flags.chat_template, verbose=output.verbose))
        options = dataclasses.replace(options, constrained=bool(structure.given))
        loader = _loader(options, conversation, context)
        if interactive:
            text = ""
            if prompt is not None:
                prompt.check_complete()
        elif prompt is None:
            text = _read_message(message, flags, terminal)
        else:
            text = read_input(prompt, message or [], [], terminal, use_stdin=not flags.no_stdin)
        switcher = stack.enter_context(ModelSwitcher(loader, options_for, context))
        switcher.saves_prefixes = not flags.no_save
        settings = _settings(flags, sampling, output, interactive)
        settings.constraint = constraint
        settings.close = structure.on_interrupt is OnInterrupt.CLOSE and not interactive
        save_to = None if flags.no_save else store()
        session = ChatSession(switcher.model, conversation, save_to, settings, terminal.report)
        session.role = prompt
        if flags.system is not None:
            session.set_system(flags.system)
        code = ExitCode.OK
        if interactive:
            from gptcli.chat.commands import COMMANDS
            from gptcli.chat.repl import Repl

            interrupt, models = switcher.loaded.interrupt, suggestions.model_names
            Repl(session, terminal, interrupt, COMMANDS, store, switcher.change, models).run()
        else:
            code = _answer(session, text, switcher, flags, output, terminal)
        switcher.save_prefix()
        return code


def _is_interactive(message: list[str] | None, flags: ChatFlags, output: OutputFlags, terminal: Terminal) -> bool:
    """Whether to run the REPL. Raises UsageError for flags that only the other one has."""
    on_terminal = terminal.stdin_tty and terminal.stdout_tty
    interactive = message is None and on_terminal and output.format is OutputFormat.TEXT
    if interactive and (flags.extract or flags.extract_last):
        raise UsageError("--extract needs a message.", "Add one or omit --extract.")
    if flags.overflow is Overflow.ASK and not interactive:
        raise UsageError("--overflow ask needs a terminal to ask on.", "Use refuse, oldest or summarize.")
    return interactive


def _take_extract(flags: ChatFlags, prompt: "RolePrompt | None") -> None:
    """The code block that a role wants, unless the command line says which."""
    extract = "" if prompt is None else prompt.role.extract
    if extract and not (flags.extract or flags.extract_last):
        flags.extract, flags.extract_last = extract == "first", extract == "last"


def _find_conversation(flags: ChatFlags, store: "Callable[[], Store]") -> "Conversation":
    from gptcli.chat.conversation import Conversation

    if flags.chat is not None:
        return store().find(flags.chat)
    if not flags.resume:
        return Conversation()
    last = store().last()
    if last is None:
        raise GptcliError("There is no conversation to continue.", "Start one with `gptcli chat`.")
    return last


def _loader(options: "EngineOptions", conversation: "Conversation", context: CommandContext) -> "EngineLoader":
    """Loads the model of the flags, else the one that answered last."""
    if options.model is not None or conversation.model is None:
        return context.loader(options)
    try:
        return context.loader(dataclasses.replace(options, model=conversation.model))
    except ModelNotFound as error:
        hint = f"The conversation used {conversation.model}; `-m MODEL` continues it with another model."
        raise ModelNotFound(error.message, hint) from error


def _read_message(message: list[str] | None, flags: ChatFlags, terminal: Terminal) -> str:
    """Standard input, an empty line, the argument. Raises UsageError if there is neither."""
    from gptcli.cli.prompt import read_prompt

    hint = "Give it as an argument or on standard input."
    if message is None and (terminal.stdin_tty or flags.no_stdin):
        raise UsageError("there is no message.", f"{hint} The REPL needs a terminal for input and output.")
    parts = read_prompt(message or [], [], terminal, use_stdin=not flags.no_stdin)
    text = b"\n\n".join(part for part in parts if part).decode("utf-8", "surrogateescape")
    if not text.strip():
        raise UsageError("the message is empty.", hint)
    return text


def _settings(flags: ChatFlags, sampling: SamplingFlags, output: OutputFlags, interactive: bool) -> "Settings":
    from gptcli.chat.settings import Settings

    return Settings(
        sampling=sampling.sampling(),
        max_tokens=None if flags.max_tokens < 0 else flags.max_tokens,
        stop=tuple(flags.stop or ()),
        logprobs=output.logprobs,
        template_options=(("enable_thinking", False),) if flags.no_think else (),
        overflow=Overflow(flags.overflow) if flags.overflow else (Overflow.ASK if interactive else Overflow.REFUSE),
        stats=output.stats,
        markdown=not flags.plain,
        show_thinking=not flags.hide_thinking,
    )


def _answer(
    session: "ChatSession",
    text: str,
    switcher: "ModelSwitcher",
    flags: ChatFlags,
    output: OutputFlags,
    terminal: Terminal,
) -> ExitCode:
    """Write one answer to stdout."""
    from gptcli.render.renderers import choose, report_cut_texts, show_stats

    loaded = switcher.loaded
    renderer = choose(
        terminal,
        output.format,
        session.model.name,
        chat=True,
        markdown=session.settings.markdown,
        thinking=session.settings.show_thinking,
        report_reused=flags.resume or flags.chat is not None,
        extract=0 if flags.extract else -1 if flags.extract_last else None,
        logprobs=output.logprobs is not None,
        items=output.stream_items,
    )
    with contextlib.closing(session.send(text)) as events, loaded.interrupt.watch():
        for event in events:
            renderer.show(event)
    renderer.close()
    finished = session.last_finished
    if finished is None:
        return ExitCode.INTERRUPTED  # before anything was computed
    report_cut_texts(terminal, [finished])
    if output.stats:
        show_stats(terminal, [finished], loaded)
    if finished.reason is FinishReason.CANCELLED:
        return ExitCode.INTERRUPTED
    return ExitCode.ERROR if session.autosave.failed else ExitCode.OK
