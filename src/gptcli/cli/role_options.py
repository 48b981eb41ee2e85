"""The options `--role` and `-p`, and the role that they name."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option
from typer._click import Context

from gptcli.errors import UsageError
from gptcli.terminal import Terminal, escape_controls

if TYPE_CHECKING:
    from gptcli.roles.prompt import RolePrompt
    from gptcli.roles.role import Role

_option = functools.partial(Option, rich_help_panel="Role")
_ROLE = "gptcli.role"


def _names() -> list[tuple[str, str]]:
    from gptcli.errors import GptcliError
    from gptcli.roles import library

    found: dict[str, str] = {}
    for entry in library.entries():
        try:
            found.setdefault(entry.name, library.read(entry).description)
        except GptcliError:
            continue
    return [*found.items()]


@dataclasses.dataclass(slots=True)
class RoleFlags:
    """Which role, and the values of its variables."""

    role: Annotated[
        str | None,
        _option("--role", metavar="NAME", help="Use a role; `gptcli roles list` shows them.", autocompletion=_names),
    ] = None
    variables: Annotated[
        list[str] | None, _option("--param", "-p", metavar="KEY=VALUE", help="A variable of the role; repeatable.")
    ] = None

    def prompt(self, context: Context) -> "RolePrompt | None":
        """The role with its variables. Raises UsageError."""
        role = find_role(context, self.role)
        if role is None:
            if self.variables:
                raise UsageError("-p sets a variable of a role, and there is no --role.", "Add --role NAME.")
            return None
        from gptcli.roles.prompt import RolePrompt

        return RolePrompt(role, dict(map(_pair, self.variables or [])))


def read_input(
    prompt: "RolePrompt", arguments: Sequence[str], files: Sequence[str], terminal: Terminal, *, use_stdin: bool
) -> str:
    """The text that a role works on: files, standard input and the arguments, with empty lines between them. Where the
    role has a variable for the arguments, they are that.

    Raises UsageError for a variable or a text that is missing, GptcliError for a file that cannot be read."""
    from gptcli.cli.prompt import check_prompt, read_prompt

    name = prompt.role.argument
    if arguments and name and name not in prompt.given:
        prompt.variables[name], arguments = " ".join(arguments), ()
    prompt.check_complete()
    if not prompt.uses_input and not arguments and not files:
        return ""
    try:
        check_prompt(arguments, files, terminal, use_stdin=use_stdin)
        parts = read_prompt(arguments, files, terminal, use_stdin=use_stdin)
    except UsageError:
        message = f"The role {prompt.role.name} needs a text."
        raise UsageError(message, "Give it on standard input, or as an argument.") from None
    return b"\n\n".join(filter(None, parts)).decode("utf-8", "surrogateescape")


def find_role(context: Context, name: object) -> "Role | None":
    """The role of that name, read once for each command. Raises UsageError."""
    if not isinstance(name, str):
        return None
    if _ROLE not in context.meta:
        from gptcli.roles import library

        terminal: Terminal = context.obj.terminal
        context.meta[_ROLE] = found = library.find(name, functools.partial(_ask, terminal))
        if hidden := [entry for entry in library.entries() if entry.name == name and not entry.allowed]:
            where = "the shipped role" if found.path.parent == library.SHIPPED else "your own role"
            terminal.report(f"gptcli: using {where} {name}; {hidden[0].path} is not allowed (`gptcli roles allow`).")
    role: Role = context.meta[_ROLE]
    return role


def role_values(role: "Role", values: Mapping[str, object], given: set[str]) -> dict[str, object]:
    """What a role sets of a command's options and the command line does not; a constraint only if none is given."""
    from gptcli.roles.role import CONSTRAINTS

    own = {*CONSTRAINTS, "json", "grammar_file"}
    constrained = any(name in given for name in own)
    found = {name: value for name, value in role.options if name in values and name not in given}
    return {name: value for name, value in found.items() if not (constrained and name in own)}


def role_settings(role: "RolePrompt | None") -> dict[str, object]:
    """What must be the same of a role for a job to be resumed."""
    return {} if role is None else {"role": role.role.source, "role's variables": role.variables}


def _ask(terminal: Terminal, folder: Path) -> bool:
    if not (terminal.stdin_tty and terminal.stderr_tty):
        return False
    text = f"{folder} has roles: prompts that somebody else may have written. Use the roles of this folder? [y/N] "
    terminal.stderr.write(escape_controls(text))
    terminal.stderr.flush()
    return terminal.stdin.readline().strip().lower() in (b"y", b"yes")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"-p {text}: a variable needs a name and a value.", "For example: -p language=German")
    return name, value
