"""Heat maps of texts: colours behind words on a terminal, and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from gptcli.terminal import escape_controls

_SHADES = (None, 194, 229, 222, 215, 209)
"""Colours of the 256 that terminals have, from cool to hot; dark text on them can be read on any background."""
_AGAINST = 153
"""The colour of what spoke against an answer."""
_CSS = """\
body{font:16px/1.9 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}
h1{font-size:1.1rem}main{white-space:pre-wrap;overflow-wrap:anywhere;font-family:ui-monospace,monospace}
span.t{position:relative;border-radius:2px}span.t:hover,span.t:focus{outline:2px solid #555}
span.n{display:none;position:absolute;left:0;top:1.7em;z-index:1;background:#222;color:#fff;padding:.4em .6em;\
border-radius:4px;font:13px/1.5 ui-monospace,monospace;white-space:pre;pointer-events:none}
span.t:hover span.n,span.t:focus span.n{display:block}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.1rem .8rem .1rem 0;text-align:left;vertical-align:top}
.k span{padding:.1em .5em;margin-right:.3em;border-radius:2px}
"""


@dataclass(frozen=True, slots=True)
class Heat:
    """A piece of a text, how hot it is from -1 to 1 (below 0: against), and what is known of it."""

    text: str
    heat: float
    note: str = ""


def styled(pieces: Sequence[Heat]) -> str:
    """The text with its heat as colours, for a terminal that has 256."""
    return "".join(_styled(piece) for piece in pieces)


def _styled(piece: Heat) -> str:
    color = _AGAINST if piece.heat < -0.15 else _SHADES[_level(piece.heat)]
    if color is None:
        return escape_controls(piece.text)
    lines = escape_controls(piece.text).split("\n")  # a colour would run on to the end of the line
    return "\n".join(f"\x1b[38;5;16;48;5;{color}m{line}\x1b[0m" if line else "" for line in lines)


def _level(heat: float) -> int:
    return min(len(_SHADES) - 1, max(0, int(heat * (len(_SHADES) - 1) + 0.5)))


def html_page(title: str, subtitle: str, pieces: Sequence[Heat], rows: Sequence[tuple[str, str]] = ()) -> str:
    """A page of its own: no script, no network. Notes appear under the pointer and with the keyboard's Tab.

    `rows` are shown as a table under the text."""
    body = "".join(_span(piece) for piece in pieces)
    table = "".join(f"<tr><td>{escape(left)}</td><td>{escape(right)}</td></tr>" for left, right in rows)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>\n{_CSS}</style></head>\n<body>'
        f'<h1>{escape(title)}</h1><p class="k">{escape(subtitle)}</p>\n<main>{body}</main>\n'
        f"{f'<table>{table}</table>' if table else ''}</body></html>\n"
    )


def _span(piece: Heat) -> str:
    if piece.heat < 0:
        color = f"rgba(60,130,240,{min(1, -piece.heat) * 0.55:.2f})"
    else:
        color = f"rgba(250,110,20,{min(1, piece.heat) * 0.75:.2f})"
    note = f'<span class="n">{escape(piece.note)}</span>' if piece.note else ""
    focus = ' tabindex="0"' if piece.note else ""
    return f'<span class="t" style="background:{color}"{focus}>{escape(piece.text)}{note}</span>'
