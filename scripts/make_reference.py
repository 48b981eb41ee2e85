"""Writes docs/reference/: a page for each command, from the program itself. `make docs` runs it and a test compares.

python scripts/make_reference.py
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from command_tree import EXIT_CODES, Command, root

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
_NOTE = "Generated from the program by `make docs`."


def pages() -> dict[str, str]:
    """The text of each page, by its file name."""
    tree = root()
    found = {f"{command.path.rpartition(' ')[2]}.md": _page(command) for command in tree.subcommands}
    return {"index.md": _index(tree), **found}


def _index(tree: Command) -> str:
    rows = [
        f"| [`{command.path}`]({command.path.rpartition(' ')[2]}.md) | {_cell(command.line)} |"
        for command in tree.subcommands
    ]
    commands = "\n".join(["| command | what it does |", "| --- | --- |", *rows])
    codes = "\n".join(f"| {code.value} | {meaning} |" for code, meaning in EXIT_CODES.items())
    return (
        f"# Commands and flags\n\n{_NOTE}\n\n{commands}\n\n{_flags(tree)}\n\n"
        f"## Exit codes\n\n| code | meaning |\n| --- | --- |\n{codes}\n"
    )


def _page(command: Command) -> str:
    first, *others = command.all()
    parts = [f"# {first.path}", _NOTE, *_body(first)]
    for other in others:
        parts += [f"## {other.path}", *_body(other)]
    return "\n\n".join(parts) + "\n"


def _body(command: Command) -> list[str]:
    help = "\n\n".join(" ".join(paragraph.split()) for paragraph in command.help.split("\n\n"))
    example = [f"Example:\n\n```\n{command.example}\n```"] if command.example else []
    usage = [] if command.subcommands else [f"`{command.usage}`"]
    return [help, *usage, *example, _flags(command)]


def _flags(command: Command) -> str:
    tables = []
    groups = list(dict.fromkeys(flag.group for flag in command.flags))
    ordered = sorted(command.flags, key=lambda flag: groups.index(flag.group))
    for group, flags in groupby(ordered, lambda flag: flag.group):
        rows = [
            f"| `{_cell(' '.join([', '.join(flag.names), flag.value]).rstrip())}` | {_cell(flag.help)} |"
            for flag in flags
        ]
        tables.append("\n".join([f"| {group.lower()} | what it does |", "| --- | --- |", *rows]))
    return "\n\n".join(tables)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write() -> None:
    """Write every page, and delete those of commands that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for file in FOLDER.glob("*.md"):
        if file.name not in made:
            file.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write()
