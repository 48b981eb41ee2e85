"""The slash commands of the REPL: their names, what they want, and how a line finds one.

It knows commands and what they tell, and neither streams nor keys; those that change the conversation are in moves.py.
Names are ollama's where it has one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from gptcli.chat import formatting as reports
from gptcli.chat import settings_commands as tuning
from gptcli.chat import tree_commands as moves
from gptcli.chat.attachments import attach
from gptcli.errors import GptcliError

if TYPE_CHECKING:
    from gptcli.chat.repl import Repl


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """`run` gets what stands after the name."""

    names: tuple[str, ...]
    argument: str
    help: str
    run: Callable[[Repl, str], None]


class Leave(Exception):
    """/bye: the talk is over."""


class Unknown(GptcliError):
    """No such command."""


def run(talk: Repl, line: str) -> None:
    """Do what a line that begins with a slash says. Raises Unknown for what is no command, and never sends it;
    GptcliError where a command cannot be obeyed."""
    name, *rest = line.split(None, 1)
    command = by_name().get(name)
    if command is None:
        import difflib

        near = difflib.get_close_matches(name, by_name(), n=2)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        advice = f"/help lists them; a message that begins with a slash wants two.{meant}"
        raise Unknown(f"There is no command {name}; nothing was sent.", advice)
    command.run(talk, rest[0].rstrip() if rest else "")


def by_name() -> dict[str, Command]:
    """Every name of every command."""
    return {name: command for command in COMMANDS for name in command.names}


def _help(talk: Repl, argument: str) -> None:
    if argument in ("set", "/set"):
        talk.say(tuning.HELP)
        return
    if argument in ("show", "/show"):
        talk.say("/show " + " | ".join(tuning.SHOWN))
        return
    rows = [(f"{', '.join(c.names)} {c.argument}".rstrip(), c.help) for c in COMMANDS]
    talk.say(_columns([*rows, ("", ""), *_KEYS], talk.terminal.width))


def _columns(rows: list[tuple[str, str]], width: int) -> str:
    """Names beside what they mean, or above it where a terminal is too narrow for that."""
    left = max(len(name) for name, _ in rows)
    if left + _BESIDE <= width:
        return "\n".join(f"{name:<{left}}  {meaning}".rstrip() for name, meaning in rows)
    import textwrap

    lines = []
    for name, meaning in rows:
        lines.append(name)
        lines += textwrap.wrap(meaning, width - 1, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def _leave(talk: Repl, argument: str) -> None:
    raise Leave


def _model(talk: Repl, argument: str) -> None:
    if not argument:
        talk.say(talk.session.voice.name)
        return
    talk.change_model(argument)
    talk.notice(f"{talk.session.voice.name} answers from now on.")


def _list(talk: Repl, argument: str) -> None:
    talk.say(reports.conversations(talk.store().summaries(limit=20), talk.terminal.width))


def _search(talk: Repl, argument: str) -> None:
    talk.say(reports.hits(talk.store().search(moves.needed(argument, "/search WORDS"), limit=20), talk.terminal.width))


def _file(talk: Repl, argument: str) -> None:
    if not argument:
        talk.attachments = []
        talk.notice("No file goes with your next message.")
        return
    added = attach(argument)
    talk.attachments += added
    names = ", ".join(attachment.name for attachment in added)
    talk.notice(f"Goes with your next message: {names} ({sum(len(a.text) for a in added):,} characters).")


def _last(talk: Repl, argument: str) -> None:
    if argument and not (argument.isdecimal() and int(argument)):
        raise GptcliError(f"/last wants a number of messages, not {argument}.", "For example: /last 4")
    talk.say(reports.tail(talk.session.conversation, int(argument or 2), ids=True))


def _copy(talk: Repl, argument: str) -> None:
    from gptcli.chat.clipboard import copy

    newest = talk.session.conversation.last("assistant")
    if newest is None:
        raise GptcliError("There is no answer to copy.", "Say something first.")
    talk.notice(f"Copied through {copy(newest.content, talk.terminal)}.")


def _export(talk: Repl, argument: str) -> None:
    kind, *path = argument.split(None, 1) or ["md"]
    text = reports.exported(talk.session.conversation, kind)
    if path:
        talk.write_file(path[0], text)
    else:
        talk.say(text)


def _tokens(talk: Repl, argument: str) -> None:
    talk.say(reports.tokens(talk.session, argument))


def _context(talk: Repl, argument: str) -> None:
    talk.say(reports.context(talk.session, talk.terminal.width))


def _stats(talk: Repl, argument: str) -> None:
    talk.say(reports.stats(talk.session))


def _template(talk: Repl, argument: str) -> None:
    talk.say(tuning.shown(talk, "template"))


def _set(talk: Repl, argument: str) -> None:
    if argument:
        talk.notice(tuning.change(talk, argument))
    else:
        talk.say(tuning.HELP)


def _show(talk: Repl, argument: str) -> None:
    talk.say(tuning.shown(talk, argument))


_BESIDE = 56
"""Columns that the longest meaning takes."""
_KEYS = (
    ("Ctrl-J, Alt-Enter", 'A new line; """ begins and ends a block of them'),
    ("Ctrl-G", "Write in your editor"),
    ("Ctrl-R, Up", "Search and go through what you typed"),
    ("Tab", "Complete commands, files, models, names"),
    ("Ctrl-C", "Stop the answer; what was said is kept"),
    ("Ctrl-D", "Leave"),
    ("//…", "Send a message that begins with a slash"),
)

COMMANDS = (
    Command(("/help", "/?"), "[set|show]", "This list", _help),
    Command(("/bye", "/exit"), "", "Leave; what is saved stays", _leave),
    Command(("/clear",), "", "Begin anew, with the same system message", moves.clear),
    Command(("/new",), "", "Begin anew, with nothing", moves.new),
    Command(("/set",), "WHAT VALUE", "Change a setting; alone it lists them", _set),
    Command(("/show",), "[WHAT]", "info, parameters, system or template", _show),
    Command(("/load",), "NAME", "Go on with a saved conversation", moves.load),
    Command(("/save",), "[NAME]", "Save it, under a name", moves.save),
    Command(("/system",), "[TEXT]", "Show or change the system message", moves.system),
    Command(("/model",), "[REF]", "Show or change who answers", _model),
    Command(("/retry",), "", "Another answer; the old one stays on its branch", moves.retry),
    Command(("/undo",), "", "Take the newest message and its answer back", moves.undo),
    Command(("/edit",), "[TEXT]", "Another wording of it, in the editor if none is given", moves.edit),
    Command(("/continue",), "", "Go on with an answer that was cut", moves.resume),
    Command(("/branch",), "[ID]", "Go on from an earlier message, beside what followed", moves.branch),
    Command(("/branches",), "", "Every end that the conversation has", moves.branches),
    Command(("/goto",), "ID", "Go on after that message", moves.goto),
    Command(("/list",), "", "Saved conversations", _list),
    Command(("/search",), "WORDS", "Find them in what was said", _search),
    Command(("/rename",), "NAME", "Name this conversation", moves.rename),
    Command(("/file",), "[PATH|GLOB]", "Put files into the next message; alone it takes them out", _file),
    Command(("/last",), "[N]", "Show the last N messages again", _last),
    Command(("/copy",), "", "Copy the last answer", _copy),
    Command(("/export",), "[md|json [FILE]]", "The conversation as a document", _export),
    Command(("/tokens",), "[TEXT]", "Count the tokens of a text, or of the conversation", _tokens),
    Command(("/context",), "", "What takes the room", _context),
    Command(("/stats",), "", "Counts and rates of the last answer", _stats),
    Command(("/template",), "", "The model's chat template", _template),
)
