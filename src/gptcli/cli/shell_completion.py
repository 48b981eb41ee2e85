"""Answers to a Tab, by Typer's mechanism: its scripts call gptcli with `_GPTCLI_COMPLETE` in the environment.

The classes here mend what Typer lacks: `--flag=value`, colons in bash, quoting in zsh, and speed (Typer renders each
help text with rich, which takes 60 ms to import).
"""

from __future__ import annotations

import os
import shlex

from typer._click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string
from typer._completion_classes import BashComplete, FishComplete, PowerShellComplete, ZshComplete, completion_init
from typer._completion_shared import get_completion_script
from typer.completion import shell_complete
from typer.main import get_command

from gptcli.cli.main import CommandContext, app
from gptcli.cli.suggestions import SAFE
from gptcli.terminal import Terminal

VARIABLE = "_GPTCLI_COMPLETE"

_AUTOLOAD = '\n\n[[ $zsh_eval_context[-1] == loadautofunc ]] && _gptcli_completion "$@"\n'
"""On fpath, zsh runs the script at the first Tab; without this line that Tab would complete nothing."""


def script(shell: str) -> str:
    """Typer's completion script for `shell`."""
    text = get_completion_script(prog_name="gptcli", complete_var=VARIABLE, shell=shell)
    return text + (_AUTOLOAD if shell == "zsh" else "\n")


def answer(instruction: str) -> int:
    """Print what a Tab can complete, such as `complete_bash` asks for, and return the exit code."""
    completion_init()
    for shell in (_Bash, _Zsh, _Fish, _PowerShell):
        add_completion_class(shell, shell.name)
    context = CommandContext(Terminal.of_process(), None)
    try:
        return shell_complete(get_command(app), {"obj": context}, "gptcli", VARIABLE, instruction)
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
