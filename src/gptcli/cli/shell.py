"""`gptcli shell`: code for a shell's start-up file that binds a key to the role `shell`."""

from __future__ import annotations

import re
from enum import Enum
from importlib.resources import files
from typing import Annotated

import typer

from gptcli.cli import main
from gptcli.errors import UsageError

app = typer.Typer(add_completion=False)

_EPILOG = 'Example: eval "$(gptcli shell bash)"'
_ESCAPE = r"\e"
_CONTROL = {"bash": r"\C-", "zsh": "^", "fish": r"\c"}


class KeyShell(str, Enum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command(epilog=_EPILOG)
def shell(
    ctx: typer.Context,
    name: Annotated[KeyShell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    key: Annotated[
        str, typer.Option("--key", metavar="KEY", help="alt-LETTER or ctrl-LETTER.", rich_help_panel="Key")
    ] = "alt-e",
) -> None:
    """Print code that binds a key to write commands for you.

    Type what you want in plain words and press the key: the line becomes a command. It is shown and never run.
    Load the code where your shell starts: ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish."""
    session: main.CommandContext = ctx.obj
    session.terminal.write(script(name.value, key))


def script(name: str, key: str) -> str:
    """The code for bash, zsh or fish. Raises UsageError for a key that is not one."""
    found = re.fullmatch(r"(alt|ctrl)-([a-z])", key.lower())
    if found is None:
        raise UsageError(f"{key!r} is not a key.", "Such as alt-e or ctrl-g.")
    if found[0] in ("ctrl-c", "ctrl-d", "ctrl-i", "ctrl-j", "ctrl-m", "ctrl-z"):
        raise UsageError(f"{key} has another meaning in every terminal.", "Choose another key, such as alt-e.")
    code = (_ESCAPE if found[1] == "alt" else _CONTROL[name]) + found[2]
    text = files("gptcli.shell").joinpath(f"gptcli.{name}").read_text("utf-8")
    return text.replace("KEY", code)
