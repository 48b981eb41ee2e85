"""`gptcli chats`: list, show, search, export, rename and delete the conversations that were saved.

It knows options and what is said to whom; the conversations themselves belong to `chat/`.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from gptcli.cli import suggestions
from gptcli.errors import UsageError
from gptcli.terminal import Terminal, escape_controls

if TYPE_CHECKING:
    from gptcli.chat.conversation import Conversation
    from gptcli.cli.main import CommandContext

app = typer.Typer(
    help="List, show, search, export, rename and delete saved conversations.",
    no_args_is_help=True,
    add_completion=False,
)

Reference = Annotated[
    str,
    typer.Argument(
        metavar="CHAT", autocompletion=suggestions.chats, help="Its name, its id, or the beginning of its id."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class ExportFormat(str, Enum):
    """What a conversation can be exported as."""

    MD = "md"
    JSON = "json"


@app.command("list")
def list_chats(context: typer.Context, as_json: Json = False) -> None:
    """List the saved conversations, the last used first: id, name, time, messages, title."""
    from gptcli.chat.export import summary_record, utc
    from gptcli.chat.store import Store
    from gptcli.render.table import write_table

    terminal = _terminal(context)
    with Store() as store:
        chats = store.summaries()
    if as_json:
        _write_json(terminal, [summary_record(chat) for chat in chats])
        return
    if not chats:
        terminal.notice("No conversation is saved yet; `gptcli chat` begins one.")
        return
    when = _local_time if terminal.stdout_tty else utc
    rows = [(chat.id, chat.name or "", when(chat.updated), str(chat.messages), chat.title) for chat in chats]
    write_table(terminal, ("ID", "NAME", "USED", "MESSAGES", "TITLE"), rows)


@app.command()
def show(
    context: typer.Context,
    chat: Reference,
    everything: Annotated[bool, typer.Option("--all", help="Every branch, not only the current one.")] = False,
    as_json: Json = False,
) -> None:
    """Print a conversation."""
    from gptcli.chat.export import markdown, record, tree

    terminal = _terminal(context)
    found = _find(chat)
    if as_json:
        _write_json(terminal, record(found, found.turns.values() if everything else found.path()))
    else:
        terminal.write(tree(found) if everything else markdown(found))


@app.command()
def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="Words that a message must all have.")],
    as_json: Json = False,
) -> None:
    """Find messages by their words, on every branch, newest first: id, role, text around the word."""
    from gptcli.chat.export import utc
    from gptcli.chat.store import Store
    from gptcli.render.table import write_table

    terminal = _terminal(context)
    with Store() as store:
        hits = store.search(" ".join(words))
    if as_json:
        records = [
            {
                "conversation": hit.conversation,
                "name": hit.name,
                "title": hit.title,
                "message": hit.turn,
                "role": hit.role,
                "created": utc(hit.created),
                "snippet": hit.snippet,
            }
            for hit in hits
        ]
        _write_json(terminal, records)
    elif hits:
        rows = [(hit.conversation, hit.name or "", hit.role, hit.snippet) for hit in hits]
        write_table(terminal, ("ID", "NAME", "ROLE", "TEXT"), rows)
    else:
        terminal.notice(f"No message has {' and '.join(words)}.")


@app.command()
def export(
    context: typer.Context,
    chat: Reference,
    form: Annotated[
        ExportFormat,
        typer.Option("--format", help="md: the current branch, as Markdown. json: everything that is stored."),
    ] = ExportFormat.MD,
) -> None:
    """Write a conversation to standard output, as Markdown or JSON."""
    from gptcli.chat.export import markdown, record

    terminal = _terminal(context)
    found = _find(chat)
    if form is ExportFormat.JSON:
        _write_json(terminal, record(found, found.turns.values()))
    else:
        terminal.write(markdown(found))


@app.command()
def rename(
    context: typer.Context,
    chat: Reference,
    name: Annotated[str, typer.Argument(metavar="NAME", help='The new name; "" takes the old one away.')],
) -> None:
    """Give a conversation a name."""
    from gptcli.chat.store import Store

    with Store() as store:
        found = store.find(chat)
        store.rename(found.id, name or None)
    _terminal(context).notice(f"Conversation {found.id} is now called {name}." if name else f"{found.id} has no name.")


@app.command()
def rm(
    context: typer.Context,
    chats: Annotated[
        list[str],
        typer.Argument(metavar="CHAT...", autocompletion=suggestions.chats, help="Names, ids, or beginnings of ids."),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete conversations, with all their branches, for good."""
    from gptcli.chat.store import Store

    terminal = _terminal(context)
    with Store() as store:
        doomed = {found.id: found for found in map(store.find, chats)}
        if not yes and not _agreed(terminal, list(doomed.values())):
            terminal.notice("Nothing was deleted.")
            return
        for conversation_id in doomed:
            store.delete(conversation_id)
    terminal.notice(f"Deleted {', '.join(doomed)}.")


def _agreed(terminal: Terminal, doomed: list[Conversation]) -> bool:
    if not (terminal.stdin_tty and terminal.stderr_tty):
        raise UsageError("Deleting needs a yes, and there is no terminal to ask on.", "Add --yes if you mean it.")
    for chat in doomed:
        name = chat.name or chat.title or "nothing said"
        terminal.report(f"{chat.id}  {name}, {len(chat.turns)} messages")
    what = "this conversation" if len(doomed) == 1 else f"these {len(doomed)} conversations"
    terminal.stderr.write(escape_controls(f"Delete {what} for good? [y/N] "))
    terminal.stderr.flush()
    return terminal.stdin.readline().strip().lower() in (b"y", b"yes")


def _find(reference: str) -> Conversation:
    from gptcli.chat.store import Store

    with Store() as store:
        return store.find(reference)


def _terminal(context: typer.Context) -> Terminal:
    session: CommandContext = context.obj
    return session.terminal


def _local_time(seconds: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _write_json(terminal: Terminal, value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "replace").decode()  # JSON is UTF-8
    terminal.write(text + "\n")
