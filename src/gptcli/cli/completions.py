"""`gptcli completions`: print a shell's completion script, or write it where that shell looks for it."""

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
    help="Complete commands, flags and model names in your shell.", no_args_is_help=True, add_completion=False
)

_MARK = "# Written by `gptcli completions`;"
"""How a script of ours begins, within its first three lines."""


class Shell(str, Enum):
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
    session.terminal.write(_script(shell))


@app.command()
def install(
    context: typer.Context,
    shell: Annotated[
        Shell | None, typer.Argument(metavar="[SHELL]", help="bash, zsh, fish or powershell. (default: your shell)")
    ] = None,
) -> None:
    """Write the script into your folder for it, and print what is left to do."""
    session: CommandContext = context.obj
    shell = shell or _detect()
    path = _path(shell)
    text = _script(shell)
    try:
        before = path.read_bytes().decode("utf-8", "replace") if path.exists() else None
        if before is not None and _MARK not in "".join(before.splitlines()[:3]):
            raise GptcliError(f"{path} exists and was not written by gptcli.", "Move it away and run this again.")
        if before != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
    except OSError as error:
        hint = "`gptcli completions show` prints the script."
        raise GptcliError(f"{path} cannot be written: {error.strerror}.", hint) from error
    done = f"Wrote {path}." if before is None else f"{path} is up to date." if before == text else f"Updated {path}."
    session.terminal.write(f"{done}\n{_next_step(shell, path)}\n")


def _script(shell: Shell) -> str:
    from gptcli.cli.shell_completion import script

    first, newline, rest = script(shell.value).partition("\n")
    mark = f"{_MARK} changes made here are lost.\n"
    return first + newline + mark + rest if shell is Shell.ZSH else mark + first + newline + rest


def _detect() -> Shell:
    """The shell that gptcli was started from, else the user's login shell. Raises UsageError."""
    import shellingham  # type: ignore[import-untyped]

    try:
        name = shellingham.detect_shell()[0]
    except shellingham.ShellDetectionFailure:
        name = Path(os.environ.get("SHELL", "")).name
    try:
        return Shell({"pwsh": "powershell"}.get(name, name))
    except ValueError:
        problem = f"There is no completion script for {name}." if name else "The shell cannot be detected."
        raise UsageError(problem, "Name one: gptcli completions install bash|zsh|fish|powershell.") from None


def _path(shell: Shell) -> Path:
    """Where the shell looks by default, or by common configuration; else a folder of gptcli's."""
    data = _folder("XDG_DATA_HOME", "~/.local/share")
    if shell is Shell.BASH:
        return _folder("BASH_COMPLETION_USER_DIR", str(data / "bash-completion")) / "completions" / "gptcli"
    if shell is Shell.ZSH:
        return data / "zsh" / "site-functions" / "_gptcli"
    if shell is Shell.FISH:
        return _folder("XDG_CONFIG_HOME", "~/.config") / "fish" / "completions" / "gptcli.fish"
    return settings.data_dir() / "completions" / "gptcli.ps1"


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or default).expanduser()


def _next_step(shell: Shell, path: Path) -> str:
    if shell is Shell.BASH:
        step = "The bash-completion package loads it in every new shell. Without that package, add to ~/.bashrc:"
        return f"{step}\n  source {shlex.quote(str(path))}"
    if shell is Shell.ZSH:
        return (
            "Unless that folder is on fpath already, add to ~/.zshrc, above any line with compinit:\n"
            f"  fpath=({shlex.quote(str(path.parent))} $fpath)\n"
            "and below it, if there is no such line:\n  autoload -U compinit && compinit\nThen start a new shell."
        )
    if shell is Shell.FISH:
        return "New fish shells load it."
    quoted = str(path).replace("'", "''")
    return f"Add to your profile (its path is in $PROFILE):\n  . '{quoted}'"
