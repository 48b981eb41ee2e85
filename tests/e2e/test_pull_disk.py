"""A full disk: refused before the first byte if that is known, and survived in the middle of a download."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_fixtures import Recorder, hub_of_its_own
from hub_server import HubServer

from gptcli.errors import GptcliError
from gptcli.models.hub.download import RESERVE, download, download_all
from gptcli.models.hub.part_file import BLOCK
from gptcli.models.hub.repository import RemoteFile

SIZE = 40 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MiB, in memory. It takes root and Linux; there is no other honest full disk to be had."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "gptcli-test", str(folder)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_file_that_does_not_fit_is_refused_with_the_numbers(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_of_its_own(disk / "hub", monkeypatch, HubServer()) as server:
        server.put("user/repo", "m.gguf", bytes(SIZE - RESERVE + BLOCK))
        with pytest.raises(GptcliError) as caught:
            download("user/repo", "m.gguf", None, report=Recorder())
        assert caught.value.message.startswith("m.gguf needs 9.4 MB more in ")
        assert caught.value.message.endswith("where 41.9 MB are free and 33.6 MB of them are left to other programs.")
        assert "HF_HUB_CACHE" in caught.value.hint
        files = [RemoteFile(f"{part}.gguf", SIZE // 8, None) for part in "ab"]
        with pytest.raises(GptcliError, match="The model's parts need"):
            download_all("user/repo", files, None, report=Recorder())
        assert server.served == 0


def test_a_disk_that_fills_up_keeps_the_part_for_later(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(4).randbytes(6 * BLOCK)
    with hub_of_its_own(disk / "hub", monkeypatch, HubServer()) as server:
        server.put("user/repo", "m.gguf", data)
        others = disk / "others"

        class Filling(Recorder):
            def start(self, label: str, total: int | None) -> None:
                """Somebody else takes all but two and a half blocks, right after the check."""
                others.write_bytes(bytes(SIZE - 2 * BLOCK - BLOCK // 2))

        with pytest.raises(GptcliError, match="is full") as caught:
            download("user/repo", "m.gguf", None, report=Filling())
        assert "kept" in caught.value.hint
        others.unlink()
        (part,) = disk.rglob("*.gptcli-part")
        record = part.with_name(part.name + ".blocks").read_bytes().splitlines()[-1]
        assert record.count(b"#") in {1, 2}
        assert download("user/repo", "m.gguf", None, report=Recorder()).read_bytes() == data
        ranges = [seen.headers["range"] for seen in server.requests("GET")]
        assert ranges[-1] == f"bytes={record.count(b'#') * BLOCK}-{len(data) - 1}"
