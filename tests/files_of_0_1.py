"""The files that gptcli 0.1 wrote (data/v0.1, see its README), laid out in a home folder as that version left them.

What depends on the machine is put right here, and nothing else: the paths of the home folder in JSON files, the times
of change by which model files are known, and the tiny model itself, which is made from its seed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import lzma
import os
import shutil
import struct
import tarfile
import zlib
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent / "data/v0.1"
FACTS: dict[str, Any] = json.loads((FILES / "facts.json").read_bytes())
LLAMA = importlib.import_module("llama_cpp.llama_cpp")
"""llama.cpp's functions, loaded without the package around them, as gptcli does."""


@dataclass(frozen=True, slots=True)
class OldHome:
    """Where a user of 0.1 has everything; a context of tests sets `variables`."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def hub(self) -> Path:
        return self.root / "hub"

    @property
    def variables(self) -> dict[str, str]:
        places = {"GPTCLI_DATA_DIR": self.data, "GPTCLI_CACHE_DIR": self.cache, "HF_HUB_CACHE": self.hub}
        return {name: str(path) for name, path in places.items()}

    def moved(self, text: str) -> str:
        """The text with the paths of this home in place of those in which the files were written."""
        home = FACTS["home"]
        for old, new in (
            (f"{home}/.local/share/gptcli", self.data),
            (f"{home}/.cache/gptcli", self.cache),
            (f"{home}/.cache/huggingface/hub", self.hub),
        ):
            text = text.replace(old, str(new))
        return text


def expected(name: str) -> Any:
    """What a command of 0.1 wrote about these files, as JSON."""
    return json.loads((FILES / "expected" / f"{name}.json").read_bytes())


def lay_out(root: Path, tiny: Path) -> OldHome:
    """The home folder in `root`; `tiny` is the model of tiny_gpt2.py with its usual seed."""
    home = OldHome(root.resolve())
    content = tiny.read_bytes()
    assert hashlib.sha256(content).hexdigest() == FACTS["tiny"], "tiny_gpt2.py writes another model than for 0.1"
    for name in ("data", "cache"):
        shutil.copytree(FILES / name, home.root / name)
    for path in (home.data / "models.json", home.cache / "verified.json", home.cache / "headers.json"):
        path.write_text(home.moved(path.read_text("utf-8")), "utf-8")
    with tarfile.open(FILES / "hub.tar.xz") as archive:
        archive.extractall(home.root, filter="data")
    verified = json.loads((home.cache / "verified.json").read_bytes())
    for path in (home.data / "models/tiny.gguf", home.hub / "models--user--tiny-GGUF/blobs" / FACTS["tiny"]):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        size, changed, _ = verified[str(path)]
        assert size == len(content)
        os.utime(path, ns=(changed, changed))
    return home


def stripes() -> bytes:
    """The file whose download was killed."""
    return lzma.decompress((FILES / "stripes-F32.gguf.xz").read_bytes())


# ---- computed prefixes

HEADER = struct.Struct("=8sIIQII")
"""Magic, bytes of the description, tokens, bytes of the state, CRC-32 of description and tokens, of the state."""


def prefix_of(model: str) -> Path:
    """The one file with a prefix of that model, as 0.1 wrote it."""
    (path,) = (FILES / "cache/prefixes" / Path(one["path"]).name for one in expected("cache") if one["model"] == model)
    return path


def library_facts() -> tuple[str, os.stat_result, str]:
    """Path, status and features of this machine's llama.cpp."""
    path = LLAMA._lib._name
    return path, os.stat(path), LLAMA.llama_print_system_info().decode()


def with_facts_of_this_machine(old: bytes, home: OldHome) -> tuple[str, bytes]:
    """The name and the bytes that a prefix file of 0.1 would have, had this machine's llama.cpp computed it here.

    Everything stays as it is but the text of the key, in which the facts are replaced, and the checksums over it."""
    magic, about_size, count, state_size, _, state_sum = HEADER.unpack_from(old)
    about = json.loads(old[HEADER.size : HEADER.size + about_size])
    tokens = old[HEADER.size + about_size :][: 4 * count]
    state = old[-state_size:]
    _, status, features = library_facts()
    old_size, old_changed, old_features = FACTS["library"]
    key = home.moved(about["key"])
    for then, now in (
        (f"{old_size}, {old_changed}", f"{status.st_size}, {status.st_mtime_ns}"),
        (old_features.strip(" |"), features.strip(" |")),
    ):
        assert then in key
        key = key.replace(then, now)
    head = json.dumps({**about, "key": key}).encode() + tokens
    sums = zlib.crc32(key.encode()), zlib.crc32(tokens[: 4 * 64]), zlib.crc32(tokens)
    name = f"{sums[0]:08x}-{sums[1]:08x}-{count}-{sums[2]:08x}.state"
    header = HEADER.pack(magic, len(head) - len(tokens), count, state_size, zlib.crc32(head), state_sum)
    return name, header + head + state


def tokens_of(path: Path) -> list[int]:
    """The tokens of a prefix file."""
    data = path.read_bytes()
    _, about_size, count, *_ = HEADER.unpack_from(data)
    return array("i", data[HEADER.size + about_size :][: 4 * count]).tolist()


# ---- the journals of batches

RECORD = struct.Struct("<IBI")
"""CRC-32 of all that follows, kind, bytes of the payload."""
WRITTEN, HELD = 2, 3
HEADER_ROW = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class OldJournal:
    """What a journal of 0.1 says."""

    settings: dict[str, Any]
    created: int
    written: list[int]
    held: dict[int, bytes]
    """The lines of the rows that wait for their turn."""


def read_journal(path: Path) -> OldJournal:
    """Read a journal by its description of 0.1, every checksum checked."""
    data, start = path.read_bytes(), 0
    payloads: list[tuple[int, bytes]] = []
    while start < len(data):
        crc, kind, size = RECORD.unpack_from(data, start)
        end = start + RECORD.size + size
        assert zlib.crc32(data[start + 4 : end]) == crc
        payloads.append((kind, data[start + RECORD.size : end]))
        start = end
    job = json.loads(payloads[0][1])
    written = [struct.unpack_from("<Q", payload)[0] for kind, payload in payloads if kind == WRITTEN]
    held: dict[int, bytes] = {}
    for kind, payload in payloads:
        if kind == HELD:
            row, _, _, size = struct.unpack_from("<QIBI", payload)
            held[row] = payload[17 : 17 + size]
    for row in written:
        held.pop(row, None)
    return OldJournal(job["settings"], job["created"], [row for row in written if row != HEADER_ROW], held)
