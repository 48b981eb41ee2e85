"""`gptcli cache`: list and clear the prefix cache, with which long prompts start at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gptcli.cli.chats import Json, Row, time_text, write_listing

if TYPE_CHECKING:
    from gptcli.cli.main import CommandContext

app = typer.Typer(
    help="List and clear the prefix cache.",
    epilog="Example: gptcli cache list",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("list", epilog="Example: gptcli cache list")
def list_cache(context: typer.Context, as_json: Json = False) -> None:
    """List saved prefixes, the last used first: tokens, bytes, time, model, start and end of the text."""
    from gptcli.chat.export import utc
    from gptcli.engine.prefix_cache import list_prefixes
    from gptcli.render.progress import bytes_text
    from gptcli.settings import prefix_cache_dir

    session: CommandContext = context.obj
    terminal = session.terminal
    records: list[object] = []
    rows: list[Row] = []
    size, when = bytes_text if terminal.stdout_tty else str, time_text(terminal)
    for prefix in list_prefixes(prefix_cache_dir()):
        record = {"tokens": len(prefix.tokens), "bytes": prefix.size, "used": utc(prefix.used), "model": prefix.model}
        records.append({**record, "text": prefix.text, "path": str(prefix.path)})
        rows.append((str(len(prefix.tokens)), size(prefix.size), when(prefix.used), prefix.model, prefix.text))
    empty = "The prefix cache is empty; saved chats and `gptcli complete --cache-prompt` fill it."
    write_listing(terminal, as_json, records, ("TOKENS", "SIZE", "USED", "MODEL", "TEXT"), rows, empty)


@app.command(epilog="Example: gptcli cache clear")
def clear(context: typer.Context) -> None:
    """Delete all saved prefixes; long prompts are computed again."""
    from gptcli.engine.prefix_cache import delete_prefixes
    from gptcli.render.progress import bytes_text
    from gptcli.settings import prefix_cache_dir

    session: CommandContext = context.obj
    session.terminal.notice(f"Deleted {bytes_text(delete_prefixes(prefix_cache_dir()))}.")
