"""The time of `gptcli models list` with 20 stored models, against `gptcli --version`, pair by pair.

    python -m bench.models_list [--pairs 30] [--model FILE.gguf] [--write]

FILE (the stored starter model) gets 20 names in its own cache, as links. Measured are a usual listing, and the first
one, which reads all 20 headers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import results
from bench.pairs import Comparison, run
from gptcli.models.gguf import header as gguf
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

GPTCLI = [shutil.which("gptcli", path=os.path.dirname(sys.executable)) or "gptcli"]
LIST, VERSION = [*GPTCLI, "models", "list"], [*GPTCLI, "--version"]
COUNT = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--write", action="store_true", help="update bench/RESULTS.md")
    options = parser.parse_args()
    model = options.model or resolve("smollm2", offline=True, report=Silent()).path
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store(model.resolve(), home / "hub")
        os.environ.update(HOME=folder, HF_HUB_CACHE=str(home / "hub"), GPTCLI_CACHE_DIR=str(home / "cache"))
        lines = run(LIST).output.splitlines()
        if len(lines) != COUNT:
            raise SystemExit(f"{len(lines)} models are listed instead of {COUNT}")
        rows = [
            compare("models list", options.pairs, lambda: None),
            compare("models list, first time", options.pairs // 3 or 1, lambda: shutil.rmtree(home / "cache")),
        ]
        headers = sorted((home / "hub").glob("*/snapshots/*/*.gguf"))
        taken = statistics.median(read(headers) for _ in range(5))
    facts = {"reading 20 headers": f"{taken * 1000:.0f} ms", **results.machine(), **results.versions()}
    results.publish("models_list", rows, facts, write=options.write)


def store(model: Path, hub: Path) -> None:
    """Build a cache with `model` as the file of 20 repositories."""
    for number in range(COUNT):
        folder = hub / f"models--user--model-{number}-GGUF"
        commit, sha256 = f"{number:040x}", f"{number:064x}"
        for place in ("blobs", "refs", f"snapshots/{commit}"):
            (folder / place).mkdir(parents=True)
        link(model, folder / "blobs" / sha256)
        (folder / "refs/main").write_text(commit)
        (folder / f"snapshots/{commit}/model-{number}-Q4_1.gguf").symlink_to(f"../../blobs/{sha256}")


def link(model: Path, place: Path) -> None:
    """A hard link to the file, or a copy if it is on another file system."""
    try:
        os.link(model, place)
    except OSError:
        shutil.copyfile(model, place)


def compare(name: str, pairs: int, before: Callable[[], object]) -> Comparison:
    """Run both by turns; `before` is called ahead of every listing, unmeasured."""
    ours, theirs = [], []
    for _ in range(pairs):
        before()
        ours.append(run(LIST).seconds * 1000)
        theirs.append(run(VERSION).seconds * 1000)
    return Comparison(name, "--version", "ms", ours, theirs)


def read(paths: list[Path]) -> float:
    """Seconds to read all headers completely."""
    started = time.perf_counter()
    for path in paths:
        gguf.read_header(path)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
