"""`gptcli cache`: list and clear the prefix cache, with which long prompts start at once."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gptcli.cli.main import CommandContext

app = typer.Typer(help="List and clear the prefix cache.", no_args_is_help=True, add_completion=False)


@app.command("list")
def list_cache(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List saved prefixes, the last used first: tokens, bytes, time, model, start and end of the text."""
    from gptcli.engine.prefix_cache import list_prefixes
    from gptcli.render.progress import bytes_text
    from gptcli.render.table import write_table
    from gptcli.runtime.prefixes import folder

    session: CommandContext = context.obj
    terminal = session.terminal
    found = list_prefixes(folder())
    if as_json:
        records = [
            {
                "tokens": len(prefix.tokens),
                "bytes": prefix.size,
                "used": _utc(prefix.used),
                "model": prefix.model,
                "text": prefix.text,
                "path": str(prefix.path),
            }
            for prefix in found
        ]
        terminal.write(json.dumps(records, indent=2, ensure_ascii=False) + "\n")
    elif found:
        size, time = (bytes_text, _local) if terminal.stdout_tty else (str, _utc)
        rows = [(str(len(p.tokens)), size(p.size), time(p.used), p.model, p.text) for p in found]
        write_table(terminal, ("TOKENS", "SIZE", "USED", "MODEL", "TEXT"), rows)
    else:
        terminal.notice("The prefix cache is empty; saved chats and `gptcli complete --cache-prompt` fill it.")


@app.command()
def clear(context: typer.Context) -> None:
    """Delete all saved prefixes; long prompts are computed again."""
    from gptcli.engine.prefix_cache import delete_prefixes
    from gptcli.render.progress import bytes_text
    from gptcli.runtime.prefixes import folder

    session: CommandContext = context.obj
    session.terminal.notice(f"Deleted {bytes_text(delete_prefixes(folder()))}.")


def _local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
