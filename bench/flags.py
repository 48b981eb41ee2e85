"""The flags of all comparisons with other programs."""

from __future__ import annotations

import argparse


def parser(name: str, doc: str) -> argparse.ArgumentParser:
    """For `python -m bench.NAME`, described by the first line of `doc`."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=doc.splitlines()[0])
    parser.add_argument("--model", metavar="MODEL", help="as gptcli's -m (default: the starter model)")
    parser.add_argument("--threads", type=int, default=2, help="threads on both sides (default: 2)")
    parser.add_argument("--write", action="store_true", help="update bench/RESULTS.md")
    return parser
