"""The command tree, and the one place where errors end: `main(arguments, terminal)` returns an exit code."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from typer._click.exceptions import ClickException  # typer >= 0.26 brings its own click, and no public name for this
from typer.core import TyperGroup

from gptcli import __version__
from gptcli.errors import Cancelled, ExitCode, GptcliError
from gptcli.terminal import Terminal

if TYPE_CHECKING:
    from gptcli.llama.model import ModelLoader
    from gptcli.runtime import EngineOptions
    from gptcli.runtime.loader import EngineLoader

_COMMANDS = {
    "complete": "Continue a text.",
    "chat": "Chat with a model, or get one answer.",
    "batch": "Answer every row of a file.",
    "models": "Download and manage models.",
    "chats": "List, search, show and export conversations.",
    "cache": "List and clear the prefix cache.",
    "completions": "Install shell completion.",
    "doctor": "Check the installation and devices.",
}
"""Name and one line for --help; the module gptcli.cli.NAME has a Typer `app`."""


class _LateGroup(TyperGroup):
    """Imports a command when it is called; --help needs only the table of commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            return None
        if ctx.obj is not None and ctx.obj.listing:
            return typer.core.TyperCommand(cmd_name, help=_COMMANDS[cmd_name])
        return load_command(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        if ctx.obj is not None:
            ctx.obj.listing = True
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        ctx.obj.listing = True
        return super().shell_complete(ctx, incomplete)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # caught here, for click would end the process with exit code 1
            return ExitCode.OK  # `| head -1` has what it wanted


def load_command(name: str) -> Any:
    """The command of that name, imported now."""
    command = typer.main.get_command(importlib.import_module(f"gptcli.cli.{name}").app)
    command.name = name
    return command


class CommandContext:
    """What every command is given: the terminal, and a model that may be loading already.

    `process_ends`: the process ends with the command, so nothing need be freed (a model and its context take 15 ms)."""

    def __init__(self, terminal: Terminal, early: ModelLoader | None = None, *, process_ends: bool = False) -> None:
        self.terminal = terminal
        self.early = early
        self.process_ends = process_ends
        self.listing = False
        """Whether --help lists the commands, which need not be imported for that."""

    def loader(self, options: EngineOptions) -> EngineLoader:
        """Start to load a model. Raises ModelNotFound, LoadError."""
        from gptcli.render.progress import DownloadBar
        from gptcli.runtime.loader import EngineLoader

        bar, notify = DownloadBar(self.terminal), self.terminal.notice
        return EngineLoader(options, bar, notify, early=self.early, process_ends=self.process_ends)


app = typer.Typer(
    cls=_LateGroup,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # --help in 40 ms instead of 85
    help="Local GPT models in the terminal.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gptcli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_print_version, is_eager=True),
) -> None:
    pass


def main(
    arguments: Sequence[str], terminal: Terminal, early: ModelLoader | None = None, *, process_ends: bool = False
) -> int:
    """Run one command line and return its exit code. A `GptcliError` becomes two lines on stderr; a bug keeps its
    traceback."""
    root = typer.main.get_command(app)
    try:
        session = CommandContext(terminal, early, process_ends=process_ends)
        code = root.main(args=list(arguments), prog_name="gptcli", standalone_mode=False, obj=session)
    except ClickException as error:
        return _report_usage(error, terminal)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except Cancelled:
        return ExitCode.INTERRUPTED
    except GptcliError as error:
        return _report_error(error, terminal)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return int(code or ExitCode.OK)


def _report_usage(error: Any, terminal: Terminal) -> int:
    path = error.ctx.command_path if getattr(error, "ctx", None) else "gptcli"
    if not error.format_message():  # a group was called without a command: typer has shown its help
        return ExitCode.USAGE
    terminal.report(f"gptcli: error: {error.format_message()}\nTry `{path} --help`.")
    return ExitCode.USAGE


def _report_error(error: GptcliError, terminal: Terminal) -> int:
    lines = [f"gptcli: error: {error.message}"]
    if error.hint:
        lines.append(error.hint)
    if error.log:
        lines += ["llama.cpp's log:", *(f"  {line}" for line in error.log.splitlines())]
    terminal.report("\n".join(lines))
    return error.exit_code
