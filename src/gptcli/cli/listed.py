"""A short way for `gptcli models list`: what was listed before is said again where nothing has changed.

It knows two command lines, whole, and whether stdout is a terminal; for all else the usual way is taken.
"""

from __future__ import annotations

import sys

from gptcli.models.store import listing

_FORMS = (["models", "list"], ["models", "list", "--json"])


def answered(arguments: list[str]) -> bool:
    """Whether the command line was one of these, and is answered. OSError where stdout takes nothing more."""
    if arguments not in _FORMS or sys.stdout is None:
        return False
    remembered = listing.recall()
    if remembered is None or not remembered[0]:
        return False
    rows, text = remembered
    as_json = len(arguments) == 3
    if sys.stdout.isatty():
        _draw(rows.decode("utf-8", "surrogateescape"), text.decode(), as_json)
    else:
        sys.stdout.buffer.write(text if as_json else rows)
        sys.stdout.flush()
    return True


def _draw(rows: str, text: str, as_json: bool) -> None:
    from gptcli.render.table import write_table
    from gptcli.terminal import Terminal

    if as_json:
        Terminal.of_process().write(text)
    else:
        cells = [line.split("\t") for line in rows.splitlines()]
        write_table(Terminal.of_process(), listing.COLUMNS, cells)
