"""`gptcli completions`: print a shell's completion script, or put it where that shell looks for it.

It knows the shells' folders and what is left to do by hand; what the scripts say is the business of shells/.
"""

from __future__ import annotations

import os
import shlex
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gptcli import settings
from gptcli.errors import GptcliError, UsageError

if TYPE_CHECKING:
    from gptcli.cli.main import CommandContext

app = typer.Typer(
    help="Complete commands, flags and model names in bash, zsh, fish and PowerShell.",
    no_args_is_help=True,
    add_completion=False,
)

MARK = "# Written by `gptcli completions`;"
"""How a script of ours begins, within its first three lines."""


class Shell(str, Enum):
    """The shells there are scripts for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


@app.command()
def show(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell.")],
) -> None:
    """Print the script."""
    session: CommandContext = context.obj
    session.terminal.write(script(shell))


@app.command()
def install(
    context: typer.Context,
    shell: Annotated[
        Shell | None,
        typer.Argument(metavar="[SHELL]", help="bash, zsh, fish or powershell. (default: the shell you are in)"),
    ] = None,
) -> None:
    """Write the script into your folder for it, and say what is left to do."""
    session: CommandContext = context.obj
    shell = shell or _detect()
    path = _place(shell)
    text = script(shell)
    before = _read(path)
    if before is not None and MARK not in "".join(before.splitlines()[:3]):
        raise GptcliError(f"{path} exists and was not written by gptcli.", "Move it away and run this again.")
    if before == text:
        said = f"{path} is up to date."
    else:
        _write(path, text)
        said = f"Wrote {path}." if before is None else f"Brought {path} up to date."
    session.terminal.write(f"{said}\n{_next_step(shell, path)}\n")


def script(shell: Shell) -> str:
    """The completion script for this version of gptcli. It needs every command, so it imports them all."""
    from gptcli.cli.main import app as root
    from gptcli.cli.shells import bash, fish, powershell, tree, zsh
    from gptcli.models.refs import catalog

    described = tree.describe(typer.main.get_command(root), tuple(catalog.entries()))
    generators = {
        Shell.BASH: bash.script,
        Shell.ZSH: zsh.script,
        Shell.FISH: fish.script,
        Shell.POWERSHELL: powershell.script,
    }
    return generators[shell](described)


def _detect() -> Shell:
    """The shell that gptcli was started from, else the user's login shell. Raises UsageError."""
    import shellingham  # type: ignore[import-untyped]  # typer brings it

    try:
        name = shellingham.detect_shell()[0]
    except shellingham.ShellDetectionFailure:
        name = Path(os.environ.get("SHELL", "")).name
    try:
        return Shell({"pwsh": "powershell"}.get(name, name))
    except ValueError:
        found = f"{name} is a shell without a script here" if name else "It is not clear which shell this is"
        raise UsageError(f"{found}.", "Name one: gptcli completions install bash|zsh|fish|powershell.") from None


def _place(shell: Shell) -> Path:
    """Where the shell looks of its own accord, or is commonly told to; else a folder of gptcli's."""
    data = _folder("XDG_DATA_HOME", "~/.local/share")
    if shell is Shell.BASH:
        own = os.environ.get("BASH_COMPLETION_USER_DIR")
        return (Path(own) if own else data / "bash-completion") / "completions" / "gptcli"
    if shell is Shell.ZSH:
        return data / "zsh" / "site-functions" / "_gptcli"
    if shell is Shell.FISH:
        return _folder("XDG_CONFIG_HOME", "~/.config") / "fish" / "completions" / "gptcli.fish"
    return settings.data_dir() / "completions" / "gptcli.ps1"


def _folder(variable: str, otherwise: str) -> Path:
    return Path(os.environ.get(variable) or otherwise).expanduser()


def _next_step(shell: Shell, path: Path) -> str:
    if shell is Shell.BASH:
        return (
            "The bash-completion package loads it in every new shell. Without that package, add to ~/.bashrc:\n"
            f"  source {shlex.quote(str(path))}"
        )
    if shell is Shell.ZSH:
        return (
            "Unless that folder is on fpath already, add to ~/.zshrc, above any line with compinit:\n"
            f"  fpath=({shlex.quote(str(path.parent))} $fpath)\n"
            "and below it, if there is no such line:\n"
            "  autoload -U compinit && compinit\n"
            "Then start a new shell."
        )
    if shell is Shell.FISH:
        return "fish loads it by itself."
    quoted = str(path).replace("'", "''")
    return f"Add to your profile (its path is in $PROFILE):\n  . '{quoted}'"


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> GptcliError:
    return GptcliError(f"{path} cannot be written: {error.strerror}.", "`gptcli completions show` prints the script.")
