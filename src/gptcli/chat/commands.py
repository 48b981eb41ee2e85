"""The slash commands of the REPL, with ollama's names where it has them. To add one: a function, and its row below."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
from pathlib import Path

from gptcli.chat import explanation, export, formatting
from gptcli.chat import settings as chat_settings
from gptcli.chat.attachments import attach
from gptcli.chat.conversation import Conversation
from gptcli.chat.keyboard import edit
from gptcli.chat.repl import Command, Exit, Repl
from gptcli.errors import GptcliError

_CLIPBOARD_COMMANDS = (("wl-copy",), ("xclip", "-selection", "clipboard"), ("xsel", "-bi"), ("pbcopy",), ("clip.exe",))
_SHOW = ("info", "parameters", "system", "template")
_KEYS = (
    ("Ctrl-J, Alt-Enter", 'New line; """ begins and ends a block of lines'),
    ("Ctrl-G", "Write in your editor"),
    ("Ctrl-R, Up", "Search and browse what you typed"),
    ("Tab", "Complete commands, files, models, names"),
    ("Ctrl-C", "Stop the answer and keep the text so far"),
    ("Ctrl-D", "Leave"),
    ("//…", "Send a message that starts with a slash"),
)


# The session


def _help(repl: Repl, argument: str) -> None:
    if argument in ("set", "/set"):
        repl.write(chat_settings.HELP)
    elif argument in ("show", "/show"):
        repl.write("/show " + " | ".join(_SHOW))
    else:
        rows = [(f"{', '.join(c.names)} {c.argument}".rstrip(), c.help) for c in COMMANDS]
        repl.write(formatting.columns([*rows, ("", ""), *_KEYS], repl.terminal.width))


def _bye(repl: Repl, argument: str) -> None:
    raise Exit


def _model(repl: Repl, argument: str) -> None:
    if not argument:
        repl.write(repl.session.model.name)
        return
    repl.session.change_model(repl.open_model(argument))
    repl.notice(f"The model is now {repl.session.model.name}.")


def _set(repl: Repl, argument: str) -> None:
    name, _, value = argument.partition(" ")
    if not argument:
        repl.write(chat_settings.HELP)
    elif name == "system":
        _set_system(repl, value.strip().strip('"'))
    else:
        repl.notice(repl.session.settings.change(argument))


def _show(repl: Repl, argument: str) -> None:
    model = repl.session.model
    if argument in ("", "info"):
        repl.write(f"{model.name}: {model.description}\n{model.reference}\ncontext: {model.engine.limit:,} tokens")
    elif argument == "parameters":
        repl.write(repl.session.settings.parameters())
    elif argument == "system":
        _system(repl, "")
    elif argument == "template":
        _template(repl, "")
    else:
        raise GptcliError(f"/show cannot show {argument}.", f"It shows {', '.join(_SHOW)}.")


def _template(repl: Repl, argument: str) -> None:
    repl.write(repl.session.model.template or "The model has no chat template; ChatML is used.")


def _system(repl: Repl, argument: str) -> None:
    if argument:
        _set_system(repl, argument)
    else:
        repl.write(repl.session.conversation.system or "There is no system message.")


def _set_system(repl: Repl, text: str) -> None:
    repl.session.set_system(text)
    repl.notice("The system message is set; the messages stay." if text else "The system message is removed.")


# Other conversations


def _clear(repl: Repl, argument: str) -> None:
    system = repl.session.conversation.system
    _open(repl, Conversation())
    repl.session.set_system(system)
    repl.notice("A new conversation with the same system message." if system else "A new conversation.")


def _new(repl: Repl, argument: str) -> None:
    _open(repl, Conversation())
    repl.notice("A new conversation.")


def _load(repl: Repl, argument: str) -> None:
    _open(repl, repl.store().find(argument))
    repl.write(formatting.last_messages(repl.session.conversation, 4))


def _open(repl: Repl, conversation: Conversation) -> None:
    repl.session.open(conversation)
    repl.attachments = []


def _save(repl: Repl, argument: str) -> None:
    if not repl.session.conversation.turns:
        raise GptcliError("There is no message yet.", "Send one first.")
    repl.session.autosave.enable(argument or None, repl.store())
    named = f" as {argument}" if argument else ""
    repl.notice(f"Saved{named}: {repl.session.conversation.id}.")
    if "/" in argument or argument.endswith((".md", ".json", ".txt")):
        kind = "json" if argument.endswith(".json") else "md"
        repl.notice(f"That is the conversation's name; /export {kind} {argument} writes a file.")


def _rename(repl: Repl, argument: str) -> None:
    if not repl.session.autosave.enabled:
        raise GptcliError("This conversation is not being saved.", f"/save {argument} saves it under that name.")
    _save(repl, argument)


def _list(repl: Repl, argument: str) -> None:
    repl.write(formatting.conversations(repl.store().summaries(limit=20), repl.terminal.width))


def _search(repl: Repl, argument: str) -> None:
    hits = repl.store().search(argument, limit=20)
    repl.write(formatting.search_hits(hits, repl.terminal.width))


def _names(repl: Repl) -> list[str]:
    return [summary.name or summary.id for summary in repl.store().summaries()]


# The tree of messages


def _retry(repl: Repl, argument: str) -> None:
    repl.play(repl.session.retry())


def _continue(repl: Repl, argument: str) -> None:
    repl.play(repl.session.resume())


def _undo(repl: Repl, argument: str) -> None:
    repl.notice(f"Back to before: {formatting.shortened(repl.session.undo().content)}")


def _edit(repl: Repl, argument: str) -> None:
    newest = repl.session.conversation.last("user")
    if newest is None:
        raise GptcliError("There is no message yet.", "Ctrl-G writes one in the editor.")
    text = argument or edit(newest.content)
    if not text.strip() or text == newest.content:
        repl.notice("Nothing was changed.")
        return
    repl.play(repl.session.edit(text))


def _branch(repl: Repl, argument: str) -> None:
    if argument:
        _goto(repl, argument)
        return
    newest = repl.session.undo()
    repl.notice(f"Your next message starts a branch beside: {formatting.shortened(newest.content)}")


def _branches(repl: Repl, argument: str) -> None:
    repl.write(formatting.branches(repl.session.conversation, repl.terminal.width))


def _goto(repl: Repl, argument: str) -> None:
    turn = repl.session.goto(argument)
    repl.write(formatting.last_messages(repl.session.conversation, 2))
    if turn.role == "user":
        repl.notice("/retry gets a new answer to it.")


# Messages and files


def _file(repl: Repl, argument: str) -> None:
    if not argument:
        repl.attachments = []
        repl.notice("Your next message has no files attached.")
        return
    added = attach(argument)
    repl.attachments += added
    names = ", ".join(attachment.name for attachment in added)
    repl.notice(f"Attached to your next message: {names} ({sum(len(a.text) for a in added):,} characters).")


def _last(repl: Repl, argument: str) -> None:
    if argument and not (argument.isdecimal() and int(argument)):
        raise GptcliError(f"/last takes a number of messages, not {argument}.", "For example: /last 4")
    repl.write(formatting.last_messages(repl.session.conversation, int(argument or 2), ids=True))


def _copy(repl: Repl, argument: str) -> None:
    newest = repl.session.conversation.last("assistant")
    if newest is None:
        raise GptcliError("There is no answer to copy.", "Send a message first.")
    data = newest.content.encode("utf-8", "replace")
    quiet = subprocess.DEVNULL
    for command in _CLIPBOARD_COMMANDS:
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # not installed, or there is no display
            subprocess.run(command, input=data, stdout=quiet, stderr=quiet, timeout=2, check=True)
            repl.notice(f"Copied with {command[0]}.")
            return
    if repl.terminal.environment.get("TERM") == "dumb" or not repl.terminal.stdout_tty:  # it would print the next
        raise GptcliError("There is no clipboard.", "Install wl-copy, xclip or xsel, or use /export md FILE.")
    repl.terminal.write_styled(f"\x1b]52;c;{base64.b64encode(data).decode()}\x07")  # reaches the local end of SSH too
    repl.notice("Copied with the terminal (OSC 52).")


def _export(repl: Repl, argument: str) -> None:
    kind, *name = argument.split(None, 1) or ["md"]
    conversation = repl.session.conversation
    if kind == "md":
        text = export.markdown(conversation)
    elif kind == "json":
        text = json.dumps(export.record(conversation, conversation.path()), ensure_ascii=False, indent=2)
    else:
        raise GptcliError(f"There is no export format {kind}.", "/export md or /export json")
    if not name:
        repl.write(text)
        return
    path = Path(os.path.expanduser(name[0]))
    try:
        with path.open("x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError as error:
        raise GptcliError(f"{path} cannot be written: {error.strerror}.", "Choose another name.") from error
    repl.notice(f"Written to {path}.")


# Numbers


def _tokens(repl: Repl, argument: str) -> None:
    if argument:
        repl.write(f"{formatting.text_tokens(repl.session, argument):,} tokens")
    else:
        messages = repl.session.conversation.messages()
        repl.write(f"{repl.session.count(messages) if messages else 0:,} tokens so far")


def _context(repl: Repl, argument: str) -> None:
    repl.write(formatting.context(repl.session, repl.terminal.width))


def _stats(repl: Repl, argument: str) -> None:
    repl.write(formatting.stats(repl.session))


def _why(repl: Repl, argument: str) -> None:
    explanation.show_why(repl.session, repl.terminal)


def _surprise(repl: Repl, argument: str) -> None:
    explanation.show_surprise(repl.session, repl.terminal)


COMMANDS = (
    Command(("/help", "/?"), "[set|show]", "Show this list", _help, lambda repl: ("set", "show")),
    Command(("/bye", "/exit"), "", "Leave", _bye),
    Command(("/clear",), "", "Start over with the same system message", _clear),
    Command(("/new",), "", "Start a new conversation", _new),
    Command(("/set",), "[NAME VALUE]", "Change a setting; alone it lists them", _set, lambda repl: chat_settings.WORDS),
    Command(("/show",), "[NAME]", "Show info, parameters, system or template", _show, lambda repl: _SHOW),
    Command(("/load",), "NAME", "Open a saved conversation", _load, _names),
    Command(("/save",), "[NAME]", "Save the conversation, under a name", _save),
    Command(("/system",), "[TEXT]", "Show or change the system message", _system),
    Command(("/model",), "[REF]", "Show or change the model", _model, lambda repl: repl.models()),
    Command(("/retry",), "", "Get another answer; the old one stays on its branch", _retry),
    Command(("/undo",), "", "Take back the last message and its answer", _undo),
    Command(("/edit",), "[TEXT]", "Reword the last message, in your editor without TEXT", _edit),
    Command(("/continue",), "", "Continue an answer that was cut off", _continue),
    Command(("/branch",), "[ID]", "Start a branch at an earlier message", _branch),
    Command(("/branches",), "", "List the branches of the conversation", _branches),
    Command(("/goto",), "ID", "Go to a message", _goto),
    Command(("/list",), "", "List saved conversations", _list),
    Command(("/search",), "WORDS", "Search saved conversations", _search),
    Command(("/rename",), "NAME", "Name the conversation", _rename),
    Command(("/file",), "[PATH|GLOB]", "Attach files to the next message; alone it detaches", _file),
    Command(("/last",), "[N]", "Show the last N messages", _last),
    Command(("/copy",), "", "Copy the last answer to the clipboard", _copy),
    Command(("/export",), "[md|json [FILE]]", "Export the conversation", _export, lambda repl: ("md", "json")),
    Command(("/tokens",), "[TEXT]", "Count the tokens of a text or of the conversation", _tokens),
    Command(("/context",), "", "Show what fills the context", _context),
    Command(("/stats",), "", "Show counts and rates of the last answer", _stats),
    Command(("/why",), "", "Show what the last answer came from", _why),
    Command(("/surprise",), "", "Colour the last answer by how unlikely each token was", _surprise),
    Command(("/template",), "", "Show the model's chat template", _template),
)
