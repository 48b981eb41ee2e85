"""`gptcli chats`: list, show, search, export, rename and delete saved conversations."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gptcli.cli import suggestions
from gptcli.errors import UsageError
from gptcli.terminal import Terminal, escape_controls

if TYPE_CHECKING:
    from gptcli.chat.conversation import Conversation
    from gptcli.cli.main import CommandContext

_HELP = "List, show, search, export, rename and delete saved conversations."

app = typer.Typer(epilog="Example: gptcli chats search lisbon", help=_HELP, no_args_is_help=True, add_completion=False)

Reference = Annotated[
    str,
    typer.Argument(metavar="CHAT", autocompletion=suggestions.chats, help="A name, an id, or the start of an id."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Row = tuple[str, ...]


@app.command("list", epilog="Example: gptcli chats list --json")
def list_chats(context: typer.Context, as_json: Json = False) -> None:
    """List conversations, the last used first: id, name, time, messages, title."""
    from gptcli.chat.export import row_record
    from gptcli.chat.store import Store

    terminal = _terminal(context)
    with Store() as store:
        chats = store.summaries()
    records, when = [row_record(chat) for chat in chats], time_text(terminal)
    rows = [(chat.id, chat.name or "", when(chat.updated), str(chat.messages), chat.title) for chat in chats]
    empty = "There are no saved conversations; `gptcli chat` starts one."
    write_listing(terminal, as_json, records, ("ID", "NAME", "USED", "MESSAGES", "TITLE"), rows, empty)


@app.command(epilog="Example: gptcli chats show trip")
def show(
    context: typer.Context,
    chat: Reference,
    everything: Annotated[bool, typer.Option("--all", help="Print all branches.")] = False,
    as_json: Json = False,
) -> None:
    """Print a conversation."""
    from gptcli.chat.export import markdown, record, tree

    terminal = _terminal(context)
    found = _find(chat)
    if as_json:
        terminal.write(json_text(record(found, found.turns.values() if everything else found.path())))
    else:
        terminal.write(tree(found) if everything else markdown(found))


@app.command(epilog="Example: gptcli chats search lisbon hotel")
def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="Words that a message must contain.")],
    as_json: Json = False,
) -> None:
    """Find messages on any branch, newest first: id, name, role, text around the word."""
    from gptcli.chat.export import row_record
    from gptcli.chat.store import Store

    with Store() as store:
        hits = store.search(" ".join(words))
    records = [row_record(hit) for hit in hits]
    rows = [(hit.conversation, hit.name or "", hit.role, hit.snippet) for hit in hits]
    empty = f"No message contains {' and '.join(words)}."
    write_listing(_terminal(context), as_json, records, ("ID", "NAME", "ROLE", "TEXT"), rows, empty)


@app.command(epilog="Example: gptcli chats export trip > trip.md")
def export(
    context: typer.Context,
    chat: Reference,
    form: Annotated[
        Literal["md", "json"],
        typer.Option("--format", help="md: the current branch. json: everything that is stored."),
    ] = "md",
) -> None:
    """Write a conversation to standard output, as Markdown or JSON."""
    from gptcli.chat.export import markdown, record

    terminal = _terminal(context)
    found = _find(chat)
    if form == "json":
        terminal.write(json_text(record(found, found.turns.values())))
    else:
        terminal.write(markdown(found))


@app.command(epilog="Example: gptcli chats rename 7f3a trip")
def rename(
    context: typer.Context,
    chat: Reference,
    name: Annotated[str, typer.Argument(metavar="NAME", help='The new name; "" removes the name.')],
) -> None:
    """Name a conversation."""
    from gptcli.chat.store import Store

    with Store() as store:
        found = store.find(chat)
        store.rename(found.id, name or None)
    _terminal(context).notice(
        f"Conversation {found.id} is now called {name}." if name else f"{found.id} has no name now."
    )


@app.command(epilog="Example: gptcli chats rm trip")
def rm(
    context: typer.Context,
    chats: Annotated[
        list[str],
        typer.Argument(metavar="CHAT...", autocompletion=suggestions.chats, help="Names, ids, or the start of ids."),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete conversations with all their branches."""
    from gptcli.chat.store import Store

    terminal = _terminal(context)
    with Store() as store:
        chosen = {found.id: found for found in map(store.find, chats)}
        if not yes and not _confirmed(terminal, list(chosen.values())):
            terminal.notice("Nothing was deleted.")
            return
        for conversation_id in chosen:
            store.delete(conversation_id)
    terminal.notice(f"Deleted {', '.join(chosen)}.")


def _confirmed(terminal: Terminal, chosen: list[Conversation]) -> bool:
    if not (terminal.stdin_tty and terminal.stderr_tty):
        raise UsageError("deleting needs confirmation, and there is no terminal to ask on.", "Add --yes.")
    for chat in chosen:
        name = chat.name or chat.title or "empty"
        terminal.report(f"{chat.id}  {name}, {len(chat.turns)} messages")
    what = "this conversation" if len(chosen) == 1 else f"these {len(chosen)} conversations"
    terminal.stderr.write(escape_controls(f"Delete {what}? [y/N] "))
    terminal.stderr.flush()
    return terminal.stdin.readline().strip().lower() in (b"y", b"yes")


def _find(reference: str) -> Conversation:
    from gptcli.chat.store import Store

    with Store() as store:
        return store.find(reference)


def _terminal(context: typer.Context) -> Terminal:
    session: CommandContext = context.obj
    return session.terminal


def write_listing(
    terminal: Terminal, as_json: bool, records: Sequence[object], headers: Row, rows: Sequence[Row], empty: str
) -> None:
    """Records as JSON, or the same as rows of a table; `empty` is a notice for a person."""
    from gptcli.render.table import write_table

    if as_json:
        terminal.write(json_text(records))
    elif rows:
        write_table(terminal, headers, rows)
    else:
        terminal.notice(empty)


def time_text(terminal: Terminal) -> Callable[[float], str]:
    """Shows seconds since 1970: in local time on a terminal, else in UTC."""
    from gptcli.chat.export import utc

    return (lambda seconds: time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))) if terminal.stdout_tty else utc


def json_text(value: object) -> str:
    """JSON in UTF-8; bytes that are not become question marks."""
    return json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "replace").decode() + "\n"
