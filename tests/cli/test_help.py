"""Every --help fits into 80 columns, groups what it lists and shows an example."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shell import call
from typer.main import get_command

from gptcli.cli.main import app, load_command

pytestmark = pytest.mark.usefixtures("home")


def paths(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A command and all below it."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from paths(below, (*path, name))


COMMANDS = [
    (),
    *(path for command in app.registered_commands for path in paths(load_command(command.name), (command.name,))),
]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "gptcli")
def test_help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = call(*path, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    text = outcome.text + capsys.readouterr().out  # rich writes to the process's own stdout
    lines = text.splitlines()
    assert f"Usage: {' '.join(('gptcli', *path))}" in " ".join(text.split())
    assert [line for line in lines if len(line) > 80] == []
    assert "Example:" in text, "give the command an epilog, as `complete` has one"


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "gptcli")
def test_a_long_help_groups_its_options(path: tuple[str, ...]) -> None:
    command = get_command(app)
    for name in path:
        command = load_command(name) if command.name != name and name == path[0] else command.commands[name]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
    groups = {getattr(option, "rich_help_panel", None) for option in options}
    assert len(options) <= 8 or len(groups) > 1, f"{len(options)} options in one group"
