"""How long a download takes, hashing included, against curl's time for the same file from the same local server.

    python bench/pull.py [--mib 1024] [--rate 200] [--connection-rate 20] [--trials 3]

The server limits the rate of all connections together (--rate), or of each one (--connection-rate). Each trial runs
curl, gptcli, gptcli with a single connection and huggingface_hub by turns, in a fresh process each. Prints a table, and
one JSON line with the medians. curl checks nothing; gptcli verifies SHA-256 and stores the file in the cache's layout.
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
from gptcli.models.hub.download import download
from gptcli.models.progress import Silent
download("bench/model", "m.gguf", None, report=Silent())
"""
PEERS = {
    "gptcli": PULL,
    "one connection": f"from gptcli.models.hub import connections\nconnections.MAX_CONNECTIONS = 1\n{PULL}",
    "huggingface_hub": "from huggingface_hub import hf_hub_download as get; get('bench/model', 'm.gguf')",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file in MiB")
    parser.add_argument("--rate", type=float, default=200.0, help="the server's limit in MB/s, 0 for none")
    parser.add_argument("--connection-rate", type=float, help="the limit of each connection instead, in MB/s")
    parser.add_argument("--trials", type=int, default=3)
    options = parser.parse_args()
    data = os.urandom(1 << 20) * options.mib
    times: dict[str, list[float]] = {}
    if options.connection_rate:
        limit = f"{options.connection_rate:g} MB/s per connection"
        hub = HubServer(connection_rate=options.connection_rate * 1e6)
    else:
        limit = f"{options.rate:g} MB/s"
        hub = HubServer(rate=options.rate * 1e6 or None)
    with hub as server, tempfile.TemporaryDirectory() as folder:
        commit = server.put("bench/model", "m.gguf", data)
        for _ in range(options.trials):
            for name in ("curl", *PEERS):
                cache = Path(folder) / name
                times.setdefault(name, []).append(run(name, server, commit, cache))
                shutil.rmtree(cache)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    print(f"{options.mib} MiB from a server limited to {limit}, median of {options.trials}")
    for name, seconds in medians.items():
        speed = len(data) / 1e6 / seconds
        print(f"{name:16} {seconds:7.2f} s {speed:8.0f} MB/s {seconds / medians['curl']:6.2f} x curl")
    machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "mib": options.mib, "limit": limit}
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
