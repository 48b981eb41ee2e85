"""The slash commands that change the conversation: other answers, other branches, other conversations.

It knows what each does to the session; what makes the model speak goes through `Repl.play`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gptcli.chat import formatting as reports
from gptcli.chat.conversation import Conversation
from gptcli.errors import GptcliError

if TYPE_CHECKING:
    from gptcli.chat.repl import Repl


def needed(argument: str, usage: str) -> str:
    """The argument. Raises GptcliError where there is none."""
    if not argument:
        raise GptcliError(f"Something is missing: {usage}", "/help says what each command wants.")
    return argument


def clear(talk: Repl, argument: str) -> None:
    """/clear: as ollama has it, the system message stays."""
    path = talk.session.conversation.path()
    kept = path[0].content if path and path[0].role == "system" else ""
    _begin(talk, Conversation())
    talk.session.set_system(kept)
    talk.notice("A new conversation, with the same system message." if kept else "A new conversation.")


def new(talk: Repl, argument: str) -> None:
    """/new: nothing stays, but for what was said being saved."""
    _begin(talk, Conversation())
    talk.notice("A new conversation.")


def _begin(talk: Repl, conversation: Conversation) -> None:
    talk.session.begin(conversation)
    talk.attachments = []


def save(talk: Repl, argument: str) -> None:
    """/save: keep it from now on, though --no-save said otherwise."""
    if not talk.session.conversation.turns:
        raise GptcliError("Nothing has been said yet.", "Say something first.")
    talk.session.book.keep(argument or None, talk.store())
    named = f" as {argument}" if argument else ""
    talk.notice(f"Saved{named}: {talk.session.conversation.id}.")


def rename(talk: Repl, argument: str) -> None:
    """/rename: a name for what is saved."""
    needed(argument, "/rename NAME")
    if not talk.session.book.saving:
        raise GptcliError("This conversation is not being saved.", f"/save {argument} does, under that name.")
    save(talk, argument)


def load(talk: Repl, argument: str) -> None:
    """/load: another conversation, by name or id."""
    _begin(talk, talk.store().find(needed(argument, "/load NAME")))
    talk.say(reports.tail(talk.session.conversation, 4))


def system(talk: Repl, argument: str) -> None:
    """/system: shown, or another one."""
    if argument:
        talk.session.set_system(argument)
        talk.notice("The system message is set; what was said stays.")
    else:
        talk.say(reports.system(talk.session.conversation))


def retry(talk: Repl, argument: str) -> None:
    """/retry"""
    talk.play(talk.session.retry())


def resume(talk: Repl, argument: str) -> None:
    """/continue"""
    talk.play(talk.session.resume())


def undo(talk: Repl, argument: str) -> None:
    """/undo"""
    talk.notice(f"Back to before: {reports.head(talk.session.undo().content)}")


def edit(talk: Repl, argument: str) -> None:
    """/edit: another wording, given or written in the editor."""
    newest = talk.session.conversation.last("user")
    if newest is None:
        raise GptcliError("Nothing has been said yet.", "Ctrl-G writes a message in the editor.")
    text = argument or talk.compose(newest.content)
    if not text.strip() or text == newest.content:
        talk.notice("Nothing was changed.")
        return
    talk.play(talk.session.edit(text))


def branch(talk: Repl, argument: str) -> None:
    """/branch: go on from an earlier message; without an id, from before the newest one."""
    if not argument:
        newest = talk.session.undo()
        talk.notice(f"What you say now stands beside: {reports.head(newest.content)}")
        return
    goto(talk, argument)


def branches(talk: Repl, argument: str) -> None:
    """/branches"""
    talk.say(reports.branches(talk.session.conversation, talk.terminal.width))


def goto(talk: Repl, argument: str) -> None:
    """/goto: the place is shown, so that one knows where one is."""
    turn = talk.session.goto(needed(argument, "/goto ID"))
    talk.say(reports.tail(talk.session.conversation, 2))
    if turn.role == "user":
        talk.notice("/retry has this answered anew.")
