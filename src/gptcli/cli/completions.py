"""`gptcli completions`: a shell's completion script, printed or installed, and the answers to a Tab.

Typer's scripts call gptcli with `_GPTCLI_COMPLETE` in the environment. The classes here mend what Typer lacks:
`--flag=value`, colons in bash, quoting in zsh, and speed (Typer renders each help text with rich: 60 ms to import)."""

from __future__ import annotations

import os
import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from typer._click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string
from typer._completion_classes import BashComplete, FishComplete, PowerShellComplete, ZshComplete, completion_init
from typer._completion_shared import get_completion_script
from typer.completion import shell_complete

from gptcli import settings
from gptcli.cli import main
from gptcli.cli.suggestions import SAFE
from gptcli.errors import GptcliError, UsageError
from gptcli.terminal import Terminal

app = typer.Typer(
    help="Complete commands, flags and model names in your shell.",
    epilog="Example: gptcli completions install",
    no_args_is_help=True,
    add_completion=False,
)

VARIABLE = "_GPTCLI_COMPLETE"
_MARK = "# Written by `gptcli completions`;"
"""How a script of ours begins, within its first three lines."""
_AUTOLOAD = '\n\n[[ $zsh_eval_context[-1] == loadautofunc ]] && _gptcli_completion "$@"\n'
"""On fpath, zsh runs the script at the first Tab; without this line that Tab would complete nothing."""


class Shell(str, Enum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


@app.command(epilog="Example: gptcli completions show fish | source")
def show(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell.")],
) -> None:
    """Print the script."""
    session: main.CommandContext = context.obj
    session.terminal.write(script(shell))


@app.command(epilog="Example: gptcli completions install zsh")
def install(
    context: typer.Context,
    shell: Annotated[
        Shell | None, typer.Argument(metavar="[SHELL]", help="bash, zsh, fish or powershell. (default: your shell)")
    ] = None,
) -> None:
    """Write the script into your folder for it, and print what is left to do."""
    session: main.CommandContext = context.obj
    shell = shell or _detect()
    path, next_step = _place(shell)
    text = script(shell)
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
    session.terminal.write(f"{done}\n{next_step}\n")


def script(shell: Shell) -> str:
    """The completion script for `shell`."""
    text = get_completion_script(prog_name="gptcli", complete_var=VARIABLE, shell=shell.value)
    mark = f"{_MARK} changes made here are lost.\n"
    if shell is not Shell.ZSH:
        return f"{mark}{text}\n"
    compdef, newline, rest = text.partition("\n")  # zsh wants #compdef in the first line
    return compdef + newline + mark + rest + _AUTOLOAD


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


def _place(shell: Shell) -> tuple[Path, str]:
    """Where the shell looks by default or by common configuration, else a folder of gptcli's; and the next step."""
    data = _folder("XDG_DATA_HOME", "~/.local/share")
    if shell is Shell.BASH:
        path = _folder("BASH_COMPLETION_USER_DIR", str(data / "bash-completion")) / "completions" / "gptcli"
        step = "The bash-completion package loads it in every new shell. Without that package, add to ~/.bashrc:"
        return path, f"{step}\n  source {shlex.quote(str(path))}"
    if shell is Shell.ZSH:
        path = data / "zsh" / "site-functions" / "_gptcli"
        return path, (
            "Unless that folder is on fpath already, add to ~/.zshrc, above any line with compinit:\n"
            f"  fpath=({shlex.quote(str(path.parent))} $fpath)\n"
            "and below it, if there is no such line:\n  autoload -U compinit && compinit\nThen start a new shell."
        )
    if shell is Shell.FISH:
        path = _folder("XDG_CONFIG_HOME", "~/.config") / "fish" / "completions" / "gptcli.fish"
        return path, "New fish shells load it."
    path = settings.data_dir() / "completions" / "gptcli.ps1"
    quoted = str(path).replace("'", "''")
    return path, f"Add to your profile (its path is in $PROFILE):\n  . '{quoted}'"


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or default).expanduser()


def answer(instruction: str) -> int:
    """Print what a Tab can complete, such as `complete_bash` asks for, and return the exit code."""
    completion_init()
    for shell in (_Bash, _Zsh, _Fish, _PowerShell):
        add_completion_class(shell, shell.name)
    context = main.CommandContext(Terminal.of_process(), None)
    try:
        return shell_complete(typer.main.get_command(main.app), {"obj": context}, "gptcli", VARIABLE, instruction)
    except SystemExit as end:  # how Typer answers fish
        return int(end.code or 0)


class _FullWords(ShellComplete):
    """Suggests whole words: `--flag=value` where that is what is being typed."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        flag, equals, _ = incomplete.partition("=")
        before = flag + equals if equals and flag.startswith("--") else ""
        items = [item for item in super().get_completions(args, incomplete) if SAFE.fullmatch(item.value)]
        for item in items:
            item.value = before + item.value
            item.help = " ".join((item.help or "").split())
        return items


class _Bash(_FullWords, BashComplete):
    """bash splits words at `=` and `:` and replaces only the last piece."""

    def complete(self) -> str:
        pieces = os.environ["COMP_WORDS"].split("\n")[: int(os.environ["COMP_CWORD"]) + 1]
        words = [""]
        for piece in pieces:
            if piece and (not piece.strip("=:") or words[-1].endswith(("=", ":"))):
                words[-1] += piece
            else:
                words.append(piece)
        args = split_arg_string("\n".join(words[2:-1]))
        incomplete = "".join(split_arg_string(words[-1]))
        kept = len(words[-1]) - len(pieces[-1].lstrip("=:"))
        return "\n".join(item.value[kept:] for item in self.get_completions(args, incomplete))


class _Zsh(_FullWords, ZshComplete):
    """zsh evaluates what is printed here."""

    def complete(self) -> str:
        args, incomplete = self.get_completion_args()
        items = self.get_completions(args, incomplete)
        if not items:
            return "compset -P '--*='; _files"
        described = (item.value.replace(":", "\\:") + (f":{item.help}" if item.help else "") for item in items)
        return f"local -a items=({' '.join(map(shlex.quote, described))}); _describe value items"


class _Fish(_FullWords, FishComplete):
    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.value}\t{item.help}" if item.help else str(item.value)


class _PowerShell(_FullWords, PowerShellComplete):
    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.value}:::{item.help or ' '}"
