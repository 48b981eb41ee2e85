"""The time of a download, hashing included, against curl with the same file from the same rate-limited local server.

    python bench/pull.py [--mib 1024] [--rate 200] [--trials 3]

Each trial runs curl and `gptcli.models.hub.repository.fetch` in turn, each in a new process. Prints a table, and one
JSON line with the medians. curl checks nothing; gptcli verifies SHA-256 and stores the file in the cache's layout.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from hub_server import HubServer  # noqa: E402

PULL = """
from gptcli.models.hub import repository as hub
from gptcli.models.report import Silent
hub.fetch("bench/model", "m.gguf", None, report=Silent())
"""
PEERS = {
    "gptcli": PULL,
    "huggingface_hub": "from huggingface_hub import hf_hub_download as get; get('bench/model', 'm.gguf')",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file in MiB")
    parser.add_argument("--rate", type=float, default=200.0, help="the server's limit in MB/s (0: none)")
    parser.add_argument("--trials", type=int, default=3)
    options = parser.parse_args()
    data = os.urandom(1 << 20) * options.mib
    times: dict[str, list[float]] = {}
    with HubServer(rate=options.rate * 1e6 or None) as server, tempfile.TemporaryDirectory() as folder:
        commit = server.put("bench/model", "m.gguf", data)
        for _ in range(options.trials):
            for name in ("curl", *PEERS):
                cache = Path(folder) / name
                times.setdefault(name, []).append(run(name, server, commit, cache))
                shutil.rmtree(cache)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    print(f"{options.mib} MiB from a server limited to {options.rate:g} MB/s, median of {options.trials}")
    for name, seconds in medians.items():
        speed = len(data) / 1e6 / seconds
        print(f"{name:16} {seconds:7.2f} s {speed:8.0f} MB/s {seconds / medians['curl']:6.2f} x curl")
    machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "mib": options.mib, "rate": options.rate}
    ratio = round(medians["gptcli"] / medians["curl"], 3)
    print(json.dumps({"bench": "pull", "ratio": ratio, "seconds": times, **machine}))


def run(name: str, server: HubServer, commit: str, cache: Path) -> float:
    """Wall time of the whole process in seconds."""
    cache.mkdir()
    environment = {**os.environ, "HF_ENDPOINT": server.endpoint, "HF_HOME": str(cache), "PYTHONPATH": str(ROOT / "src")}
    if name == "curl":
        url = f"{server.endpoint}/bench/model/resolve/{commit}/m.gguf"
        command = ["curl", "--silent", "--fail", "--location", "--output", str(cache / "m.gguf"), url]
    else:
        command = [sys.executable, "-c", PEERS[name]]
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
