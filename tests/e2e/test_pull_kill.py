"""Downloads in their own processes: killed at random moments, and two at once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from hub_server import HubServer

from gptcli.models.hub.part_file import BLOCK

SOURCES = str(Path(__file__).parents[2] / "src")
PULL = """
import sys
from gptcli.models.hub.download import download
from gptcli.models.progress import Silent
print(download("user/repo", "m.gguf", None, report=Silent()))
"""


def start(server: HubServer, cache: Path) -> subprocess.Popen[str]:
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    environment = {**kept, "PYTHONPATH": SOURCES, "HF_ENDPOINT": server.endpoint, "HF_HOME": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", PULL], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> Path:
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    return Path(out.strip())


def test_thirty_kills_cost_at_most_a_block_each(tmp_path: Path) -> None:
    """Every kill comes after a random number of bytes, up to two blocks, so that all of them hit the transfer."""
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    data = rng.randbytes(64 << 20)
    with HubServer(rate=40e6) as server:
        server.put("user/repo", "m.gguf", data)
        for _ in range(30):
            process = start(server, tmp_path)
            server.wait_served(server.served + rng.randrange(1, 2 * BLOCK))
            process.kill()
            process.communicate()
            assert not list(tmp_path.rglob("m.gguf")), "a file has its name before it is whole"
        before_the_last = server.served
        path = finish(start(server, tmp_path))
        assert path.read_bytes() == data, f"seed {seed}"
        assert 0 < before_the_last < len(data), "the kills did not fall into the transfer"
        assert len(data) <= server.served <= len(data) + 30 * BLOCK, f"seed {seed}"
        assert not list(tmp_path.rglob("*gptcli-part*"))


def test_two_downloads_at_once_download_it_once(tmp_path: Path) -> None:
    data = random.Random(7).randbytes(8 << 20)
    with HubServer(rate=16e6) as server:
        server.put("user/repo", "m.gguf", data)
        first, second = start(server, tmp_path), start(server, tmp_path)
        assert finish(first) == finish(second)
        assert finish(start(server, tmp_path)).read_bytes() == data
        assert server.served == len(data)
        assert len(server.requests("GET")) == 1
