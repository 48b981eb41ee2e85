"""`gptcli cache`: list and clear the computed prefixes that make long prompts begin at once.

It knows options and what is said to whom; the files belong to the engine's shelf.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gptcli.cli.main import CommandContext

app = typer.Typer(
    help="List and clear the computed prompts that are kept on disk.", no_args_is_help=True, add_completion=False
)


@app.command("list")
def list_cache(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List what is kept, the last used first: tokens, bytes, time, model, how the text begins and ends."""
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
                "tokens": len(kept.tokens),
                "bytes": kept.size,
                "used": _time(kept.used),
                "model": kept.model,
                "text": kept.text,
                "path": str(kept.path),
            }
            for kept in found
        ]
        terminal.answer(json.dumps(records, indent=2, ensure_ascii=False) + "\n")
    elif found:
        size = bytes_text if terminal.stdout_tty else str
        rows = [
            (str(len(kept.tokens)), size(kept.size), _time(kept.used, terminal.stdout_tty), kept.model, kept.text)
            for kept in found
        ]
        write_table(terminal, ("TOKENS", "SIZE", "USED", "MODEL", "TEXT"), rows)
    else:
        terminal.notice("Nothing is kept; chats and `gptcli complete --cache-prompt` keep what they computed.")


@app.command()
def clear(context: typer.Context) -> None:
    """Delete all of it; the next long prompts are computed again."""
    from gptcli.engine.prefix_cache import delete_prefixes
    from gptcli.render.progress import bytes_text
    from gptcli.runtime.prefixes import folder

    session: CommandContext = context.obj
    session.terminal.notice(f"Deleted {bytes_text(delete_prefixes(folder()))}.")


def _time(seconds: float, local: bool = False) -> str:
    """For people in their own time, for programs in UTC."""
    from datetime import datetime, timezone

    if local:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
