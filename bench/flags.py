"""The flags that all comparisons with other programs take.

It knows their words, and nothing of what is measured.
"""

from __future__ import annotations

import argparse


def parser(name: str, doc: str) -> argparse.ArgumentParser:
    """For `python -m bench.NAME`; the first line of `doc` says what it does."""
    made = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=doc.splitlines()[0])
    made.add_argument("--model", metavar="MODEL", help="what gptcli would take as -m (default: the starter model)")
    made.add_argument("--threads", type=int, default=2, help="threads on both sides (default: 2)")
    made.add_argument("--write", action="store_true", help="put the table into bench/RESULTS.md")
    return made
