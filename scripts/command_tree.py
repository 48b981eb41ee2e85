"""Every command of gptcli with its flags, as the program itself has them: what the reference and the man pages show."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from gptcli.cli.main import CommandContext, app
from gptcli.errors import ExitCode
from gptcli.terminal import Terminal

EXIT_CODES = {
    ExitCode.OK: "success",
    ExitCode.ERROR: "another error",
    ExitCode.USAGE: "invalid command line",
    ExitCode.MODEL_NOT_FOUND: "the model was not found, is gated, or cannot be downloaded offline",
    ExitCode.LOAD: "the model cannot be loaded: it is damaged or unknown",
    ExitCode.ENGINE: "the engine cannot do what was asked",
    ExitCode.ENDPOINT: "a remote endpoint failed",
    ExitCode.ROWS_FAILED: "some rows of a batch failed",
    ExitCode.MEMORY: "the model or context does not fit in memory",
    ExitCode.INTERRUPTED: "Ctrl-C",
}
"""What each exit code of the program means."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag: its spellings, the long ones first, the name of its value (empty without one), its help and its group."""

    names: tuple[str, ...]
    value: str
    help: str
    group: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its path, such as `gptcli models pull`, its arguments, help text, examples, flags and subcommands."""

    path: str
    arguments: str
    line: str
    help: str
    example: str
    flags: tuple[Flag, ...]
    subcommands: tuple[Command, ...]

    @property
    def usage(self) -> str:
        return f"{self.path} {self.arguments}".rstrip()

    def all(self) -> Iterator[Command]:
        """This command, then all below it."""
        yield self
        for command in self.subcommands:
            yield from command.all()


def root() -> Command:
    """The whole tree."""
    group = typer.main.get_command(app)
    session = CommandContext(Terminal.of_process(), None)
    return _command(typer.Context(group, info_name="gptcli", obj=session, **group.context_settings))


def _command(context: typer.Context) -> Command:
    command: Any = context.command
    flags, arguments = [], []
    for parameter in command.get_params(context):
        if parameter.param_type_name == "argument":
            name = parameter.metavar or parameter.name.upper()
            repeats = parameter.nargs == -1 and not name.rstrip("]").endswith("...")
            arguments.append(f"{name}…" if repeats else name)
        elif not parameter.hidden:
            names = sorted([*parameter.opts, *parameter.secondary_opts], key=lambda name: name[:2] != "--")
            value = "" if parameter.is_flag else parameter.metavar or parameter.name.upper()
            group = getattr(parameter, "rich_help_panel", None) or "Options"
            flags.append(Flag(tuple(names), value, " ".join(parameter.help.split()), group))
    below = [
        _command(typer.Context(command.resolve_command(context, [name])[1], parent=context, info_name=name))
        for name in getattr(command, "list_commands", lambda _: ())(context)
    ]
    return Command(
        path=context.command_path,
        arguments=" ".join(arguments),
        line=" ".join(command.get_short_help_str(100).split()),
        help=inspect.cleandoc(command.help or ""),
        example=(command.epilog or "").removeprefix("Example: "),
        flags=tuple(flags),
        subcommands=tuple(below),
    )
