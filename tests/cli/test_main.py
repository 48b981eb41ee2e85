"""The command tree: what is shown without a command, and what is suggested for a mistyped one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shell import call

from gptcli.cli.main import app, load_command
from gptcli.errors import ExitCode

pytestmark = pytest.mark.usefixtures("home")


def short_flags(command: object) -> Iterator[tuple[str, str]]:
    """The letters of a command and its subcommands, each with the parameter that it sets."""
    for parameter in command.params:
        yield from ((name, parameter.name) for name in getattr(parameter, "opts", []) if len(name) == 2)
    for subcommand in getattr(command, "commands", {}).values():
        yield from short_flags(subcommand)


def test_a_letter_means_the_same_in_every_command() -> None:
    meanings: dict[str, set[str]] = {}
    for command in app.registered_commands:
        if command.name == "filter":  # its letters are grep's
            continue
        for letter, parameter in short_flags(load_command(command.name)):
            meanings.setdefault(letter, set()).add(parameter)
    assert {"-c", "-m", "-n", "-q", "-s"} <= meanings.keys()
    assert {letter: found for letter, found in meanings.items() if len(found) > 1} == {}


def test_the_letters_of_filter_are_greps() -> None:
    letters = dict(short_flags(load_command("filter")))
    assert letters.pop("-t") == "threads"
    greps = {"-v": "invert", "-c": "count", "-n": "number", "-m": "most", "-q": "quiet"}
    assert letters == greps


@pytest.mark.parametrize(("group", "command"), [(("chats",), "export"), (("models",), "pull"), (("cache",), "clear")])
def test_a_group_without_a_command_shows_its_help(
    group: tuple[str, ...], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(*group)
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")
    help = outcome.text + capsys.readouterr().out  # rich writes to the process's own stdout
    assert " ".join(("Usage: gptcli", *group)) in help
    assert f" {command} " in help


def test_gptcli_alone_shows_the_five_things_that_one_can_do() -> None:
    outcome = call()
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")
    examples = [line for line in outcome.text.splitlines() if line.startswith("  ")]
    assert len(examples) == 5
    assert all(len(line) <= 80 for line in outcome.text.splitlines())
    for line in examples:
        command = line.partition("gptcli ")[2].split()[0]
        assert command in {registered.name for registered in app.registered_commands}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("run", "smollm2"), "'chat'"),
        (("list",), "'models list'"),
        (("ls",), "'models list'"),
        (("pull", "smollm2"), "'models pull'"),
        (("complet",), "'complete'"),
        (("model", "list"), "'models'"),
        (("models", "ls"), "'list'"),
        (("chats", "serch", "x"), "'search'"),
        (("complete", "--temprature", "1"), "--temperature"),
        (("chat", "--sytem", "x"), "--system"),
        (("models", "list", "--jsn"), "--json"),
    ],
    ids=" ".join,
)
def test_the_nearest_command_or_flag_is_suggested(typed: tuple[str, ...], meant: str) -> None:
    outcome = call(*typed)
    assert (outcome.code, outcome.out) == (ExitCode.USAGE, b"")
    what, advice = outcome.err.splitlines()
    assert what.startswith("gptcli: error: No such ")
    assert f"Did you mean {meant}" in what
    assert advice.startswith("Try `gptcli")


def test_nothing_is_suggested_for_what_is_near_to_nothing() -> None:
    assert call("zzzz").err == "gptcli: error: No such command 'zzzz'.\nTry `gptcli --help`.\n"
    assert "Did you mean" not in call("complete", "--zzzz").err
