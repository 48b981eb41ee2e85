"""Downloads in their own processes: killed at random moments, and two at once."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
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


def test_kills_at_the_end_of_a_download_leave_it_to_the_next_run(tmp_path: Path) -> None:
    """A kill at every step late in the transfer, while hashing, syncing, renaming, linking and recording."""
    from huggingface_hub import scan_cache_dir

    def fork(cache: Path, step: int) -> int:
        cache.mkdir(exist_ok=True)
        driver.stdin.write(f"{cache} {step}\n")
        driver.stdin.flush()
        return int(driver.stdout.readline())

    data = random.Random(9).randbytes(5 * BLOCK + 99)
    program = [sys.executable, str(Path(__file__).with_name("killed_driver.py"))]
    with HubServer() as server:
        server.put("user/repo", "m.gguf", data)
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES, "HF_ENDPOINT": server.endpoint}
        with subprocess.Popen(
            program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as driver:
            for step in itertools.count():  # how many steps there are depends on how the blocks arrive
                cache = tmp_path / str(step)
                status = fork(cache, step)
                assert status in {0, -signal.SIGKILL}
                for found in cache.rglob("m.gguf"):
                    assert found.read_bytes() == data, "a file has its name before it is whole"
                assert fork(cache, -1) == 0
                path = Path((cache / "path").read_text())
                assert path.read_bytes() == data
                assert not list(cache.rglob("*gptcli-part*"))
                (repo,) = scan_cache_dir(cache / "hub").repos
                assert [file.file_name for revision in repo.revisions for file in revision.files] == ["m.gguf"]
                verified = cache / "gptcli" / "verified.json"  # lost by a kill just before it; a load checks then
                records = json.loads(verified.read_text()) if verified.exists() else {}
                assert [record[2] for record in records.values()] in ([], [path.resolve().name])
                if status == 0:
                    break
            assert step >= 30


def test_two_downloads_at_once_download_it_once(tmp_path: Path) -> None:
    data = random.Random(7).randbytes(8 << 20)
    with HubServer(rate=16e6) as server:
        server.put("user/repo", "m.gguf", data)
        first, second = start(server, tmp_path), start(server, tmp_path)
        assert finish(first) == finish(second)
        assert finish(start(server, tmp_path)).read_bytes() == data
        assert server.served == len(data)
        assert len(server.requests("GET")) == 1
