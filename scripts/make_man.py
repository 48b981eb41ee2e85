"""Writes man/: a man page for each command, from the program itself. `make docs` runs it and a test compares.

    python scripts/make_man.py

The wheel carries the pages, so `man gptcli-chat` works where the environment's share/man is on the manual's path; pipx
puts it there. The macros are those of man(7).
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from command_tree import EXIT_CODES, Command, root

from gptcli import __version__

FOLDER = Path(__file__).parents[1] / "man"


def pages() -> dict[str, str]:
    """The source of each page, by its file name."""
    tree = root()
    names = [_name(command) for command in tree.subcommands]
    found = {f"{_name(command)}.1": _page(command, ["gptcli"]) for command in tree.subcommands}
    return {"gptcli.1": _page(tree, names), **found}


def _name(command: Command) -> str:
    return command.path.replace(" ", "-")


def _page(command: Command, see_also: list[str]) -> str:
    is_root = command.path == "gptcli"
    lines = [
        '.\\" Written by `make docs` from the program itself.',
        f'.TH {_name(command).upper()} 1 "" "gptcli {__version__}" "gptcli"',
        ".SH NAME",
        f"{_text(_name(command))} \\- {_text(command.line.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_text(command.path)}",
        "[options] " + (_text(command.arguments) or ("command" if command.subcommands else "")),
        ".SH DESCRIPTION",
        *_paragraphs(command.help),
        ".SH OPTIONS",
        *_flags(command, ".SS"),
    ]
    if command.subcommands:
        lines.append(".SH COMMANDS")
    for below in command.subcommands:
        lines += _brief(below) if is_root else _subcommand(below)
    if command.example:
        lines += [".SH EXAMPLES", ".EX", _text(command.example), ".EE"]
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXIT_CODES.items():
        lines += [".TP", f".B {code.value}", _text(meaning)]
    lines += [".SH SEE ALSO", *(f".BR {_text(name)} (1)" for name in see_also)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _brief(command: Command) -> list[str]:
    return [".TP", f".BR {_text(_name(command))} (1)", _text(command.line)]


def _subcommand(command: Command) -> list[str]:
    lines = [f'.SS "{_text(command.usage)}"', *_paragraphs(command.help), *_flags(command, "")]
    if command.example:
        lines += [".PP", "Example:", ".PP", ".EX", _text(command.example), ".EE"]
    return lines


def _paragraphs(text: str) -> list[str]:
    paragraphs = [_text(" ".join(paragraph.split())) for paragraph in text.split("\n\n")]
    return "\n.PP\n".join(filter(None, paragraphs)).split("\n")


def _flags(command: Command, heading: str) -> list[str]:
    """The flags, each group under a heading of its own where there is one."""
    groups = list(dict.fromkeys(flag.group for flag in command.flags))
    lines = []
    for group, flags in groupby(sorted(command.flags, key=lambda flag: groups.index(flag.group)), lambda f: f.group):
        if heading and len(groups) > 1:
            lines.append(f'{heading} "{_text(group)}"')
        for flag in flags:
            value = f" \\fI{_text(flag.value)}\\fR" if flag.value else ""
            lines += [".TP", f"\\fB{_text(', '.join(flag.names))}\\fR{value}", _text(flag.help)]
    return lines


def _text(text: str) -> str:
    """`text` with what roff would read as commands escaped."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace('"', "\\(dq")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


def write() -> None:
    """Write every page, and delete those of commands that are gone."""
    FOLDER.mkdir(exist_ok=True)
    made = pages()
    for file in FOLDER.glob("*.1"):
        if file.name not in made:
            file.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write()
