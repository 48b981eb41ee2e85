"""The command tree, and the one place where errors end: `main(arguments, terminal)` returns an exit code."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from typer._click import HelpFormatter
from typer._click.core import Command, Context  # typer >= 0.26 brings its own click, and no public names for these
from typer._click.exceptions import ClickException, NoArgsIsHelpError, NoSuchOption, UsageError
from typer.core import TyperGroup

from gptcli import __version__
from gptcli.errors import Cancelled, ExitCode, GptcliError
from gptcli.terminal import Terminal

if TYPE_CHECKING:
    from gptcli.llama.model import ModelLoader
    from gptcli.models.resolve import ModelFile
    from gptcli.runtime import EngineOptions
    from gptcli.runtime.loader import EngineLoader

_COMMANDS = {
    "complete": "Continue a text.",
    "chat": "Chat with a model, or get one answer.",
    "batch": "Answer every row of a file.",
    "classify": "Give lines, rows or files a label.",
    "filter": "Let the lines through for which something is true.",
    "eval": "Measure a model on tasks.",
    "explain": "Show what an answer came from.",
    "serve": "Answer OpenAI's API for other programs.",
    "score": "Measure how likely texts are.",
    "models": "Download and manage models.",
    "chats": "List, search, show and export conversations.",
    "roles": "List, write and check roles.",
    "schema": "Infer a JSON Schema from examples, or check one.",
    "config": "Show and change settings.",
    "cache": "List and clear the prefix cache.",
    "completions": "Install shell completion.",
    "shell": "Bind a key that writes shell commands.",
    "bench": "Measure this machine and recommend settings.",
    "doctor": "Check the installation and devices.",
}
"""Name and one line for --help; the module gptcli.cli.NAME has a Typer `app`."""

_SECTIONS = {
    "Generate text": ("complete", "chat", "batch", "serve"),
    "Judge text": ("score", "classify", "filter", "eval", "explain"),
    "Models and conversations": ("models", "chats", "cache"),
}
"""How --help groups the commands; the others follow as the last group."""
_OVERVIEW = """\
gptcli runs GPT models on this machine, in the terminal and in pipes.

  gptcli chat                                       talk with a model
  git diff | gptcli chat "write a commit message"   get one answer
  gptcli complete "Once upon a time"                continue a text
  gptcli batch questions.csv --chat -o answers.csv  answer every row of a file
  gptcli models pull qwen2.5-0.5b                   get another model

`gptcli --help` lists every command, and `gptcli COMMAND --help` explains one.
"""
"""What `gptcli` alone prints: the five things that one can do."""
_SYNONYMS = {"pull": "models pull", "download": "models pull", "show": "models show", "history": "chats list"}
_SYNONYMS |= dict.fromkeys(("run", "ask", "prompt"), "chat") | dict.fromkeys(("generate", "gen"), "complete")
_SYNONYMS |= dict.fromkeys(("list", "ls"), "models list") | dict.fromkeys(("rm", "remove", "delete"), "models rm")
"""What other programs' commands are called here."""


class _LateGroup(TyperGroup):
    """Imports a command when it is called; until then, and for --help, it is a stub with its name and line."""

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        try:
            name, command, rest = super().resolve_command(ctx, args)
        except UsageError as error:
            if args[0] in _SYNONYMS:
                error.message = f"No such command {args[0]!r}. Did you mean '{_SYNONYMS[args[0]]}'?"
            raise
        return name, command and load_command(args[0]), rest

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        listed = {name for names in _SECTIONS.values() for name in names}
        others = tuple(name for name in _COMMANDS if name not in listed)
        for title, names in {**_SECTIONS, "Set up": others}.items():
            rows = [(name, _COMMANDS[name]) for name in names if name in _COMMANDS]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_spacing=max(2, 14 - max(len(name) for name, _ in rows)))

    def invoke(self, ctx: Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # caught here, for click would end the process with exit code 1
            return ExitCode.OK  # `| head -1` has what it wanted


def load_command(name: str) -> Command:
    """The command of that name, imported now."""
    command: Command = typer.main.get_command(importlib.import_module(f"gptcli.cli.{name}").app)
    command.name = name
    return command


class CommandContext:
    """What every command is given: the terminal, and a model that may be loading already.

    `process_ends`: the process ends with the command, so nothing need be freed (a model and its context take 15 ms).
    `arguments`: the whole command line, to start the same in another process."""

    def __init__(
        self,
        terminal: Terminal,
        early: ModelLoader | None = None,
        *,
        process_ends: bool = False,
        arguments: Sequence[str] = (),
    ) -> None:
        self.terminal = terminal
        self.arguments = arguments
        self.early = early
        self.process_ends = process_ends

    def find_model(self, options: EngineOptions) -> ModelFile:
        """The file of a model, downloaded if it is not stored. Raises ModelNotFound."""
        from gptcli.models.resolve import resolve
        from gptcli.render.progress import DownloadBar

        return resolve(options.model, offline=options.offline, report=DownloadBar(self.terminal))

    def loader(self, options: EngineOptions) -> EngineLoader:
        """Start to load a model. Raises ModelNotFound, LoadError."""
        from gptcli.render.progress import DownloadBar
        from gptcli.runtime.loader import EngineLoader

        bar, notify = DownloadBar(self.terminal), self.terminal.notice
        return EngineLoader(options, bar, notify, early=self.early, process_ends=self.process_ends)


app = typer.Typer(
    cls=_LateGroup,
    add_completion=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # --help in 40 ms instead of 85
    help="Local GPT models in the terminal.",
    epilog='Example: git diff | gptcli chat "write a commit message"',
)
for _name, _line in _COMMANDS.items():
    app.command(_name, help=_line)(lambda: None)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gptcli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_print_version, is_eager=True),
) -> None:
    if context.invoked_subcommand is None:
        session: CommandContext = context.obj
        session.terminal.write(_OVERVIEW)


def main(
    arguments: Sequence[str], terminal: Terminal, early: ModelLoader | None = None, *, process_ends: bool = False
) -> int:
    """Run one command line and return its exit code. A `GptcliError` becomes two lines on stderr; a bug keeps its
    traceback."""
    root = typer.main.get_command(app)
    try:
        session = CommandContext(terminal, early, process_ends=process_ends, arguments=arguments)
        code = root.main(args=list(arguments), prog_name="gptcli", standalone_mode=False, obj=session)
    except NoArgsIsHelpError as error:  # a group without a command; rich has written its help already
        terminal.write(f"{error.message}\n" if error.message else "")
        return ExitCode.OK
    except ClickException as error:
        return _report_usage(error, terminal)
    except (typer.Abort, KeyboardInterrupt, Cancelled):
        return ExitCode.INTERRUPTED
    except GptcliError as error:
        return report_error(error, terminal)
    return int(code or ExitCode.OK)


def _report_usage(error: ClickException, terminal: Terminal) -> int:
    path = error.ctx.command_path if isinstance(error, UsageError) and error.ctx else "gptcli"
    message = error.format_message()
    if isinstance(error, NoSuchOption):
        near = f" Did you mean {' or '.join(error.possibilities)}?" if error.possibilities else ""
        message = f"{error.message}.{near}"
    terminal.report(f"gptcli: error: {message}\nTry `{path} --help`.")
    return ExitCode.USAGE


def report_error(error: GptcliError, terminal: Terminal) -> int:
    """Print an error as the user sees it; its exit code."""
    lines = [f"gptcli: error: {error.message}"]
    if error.hint:
        lines.append(error.hint)
    if error.log:
        lines += ["llama.cpp's log:", *(f"  {line}" for line in error.log.splitlines())]
    terminal.report("\n".join(lines))
    return error.exit_code
