"""Records the terminal session of the README: runs the commands for real and draws what they print as docs/session.svg.

    python scripts/record_session.py [docs/session.svg]

It uses the starter model and temperature 0, so that anybody gets the same session. Run it again when the commands or
their output change.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[1]
COLUMNS = 100
NOTES = "The train to Lisbon leaves at nine o'clock on Monday. Tickets are at the desk. Bring a coat.\n"
REVIEWS = "I love it, it works very well.\nIt broke after one day and nobody answers.\nGood, but slow.\n"
COMMANDS = (
    'gptcli complete --echo --temp 0 --stop "." "The capital of France is"',
    'gptcli chat --temp 0 "When does the train leave?" < notes.txt',
    'gptcli chat --temp 0 --json-schema "people[], city, year int" "Ada and Tom moved to Oslo in 1999."',
    "gptcli classify --labels positive,negative reviews.txt",
    'gptcli filter "is a complaint" reviews.txt',
    'gptcli explain --why --chat -f notes.txt "When does the train leave?"',
)
_COLOURS = "27272a f87171 86efac fde047 93c5fd d8b4fe 67e8f9 e4e4e7"
THEME = TerminalTheme(
    (24, 24, 27), (228, 228, 231), [(int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in _COLOURS.split()]
)
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px;
  line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>{lines}</defs>
<rect fill="#18181b" x="0" y="0" width="{width}" height="{height}" rx="8"/>
<g transform="translate({terminal_x}, 20)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""
"""rich's own, without a window, and without the font that it would load from the network."""


def record() -> str:
    """The session as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "notes.txt").write_text(NOTES, "utf-8")
        Path(folder, "reviews.txt").write_text(REVIEWS, "utf-8")
        for number, command in enumerate(COMMANDS):
            console.print(Text.assemble(("$ ", "green bold"), (command, "bold")), soft_wrap=False)
            if said := run(command, folder):
                console.print(Text(said))
            if number < len(COMMANDS) - 1:
                console.print()
    return console.export_svg(title="", theme=THEME, code_format=FORMAT, unique_id="gptcli")


def run(command: str, folder: str) -> str:
    """What a command prints, in a shell without settings, where nothing of the user's is read."""
    programs = Path(sys.executable).parent
    own = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": str(COLUMNS)}
    own |= {f"GPTCLI_{kind}_DIR": folder for kind in ("DATA", "CONFIG", "RUNTIME")}
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, **own},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stderr}")
    return done.stdout.rstrip("\n")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "session.svg"
    target.write_text(record(), "utf-8")
