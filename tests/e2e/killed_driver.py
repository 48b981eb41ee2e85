"""Runs downloads of `m.gguf` in forks, each killed by SIGKILL before or after one of its last steps.

Reads lines of `CACHE STEP`: at the step of that number, counted from 0, the fork kills itself; -1 lets it live. Prints
the status of each fork. A step is the end of a block, or just before or after an update of the digest, a sync to the
disk, a renaming, a link, a record, or the deletion of the part's record.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import httpx2  # noqa: F401
import huggingface_hub.utils  # noqa: F401 - what each fork would import again

from gptcli.models.hub.download import download
from gptcli.models.hub.part_file import PartFile
from gptcli.models.progress import Silent
from gptcli.models.store import integrity

LOCK = threading.Lock()
steps = 0


def at_step(wanted: int) -> None:
    global steps
    with LOCK:
        if steps == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1


def watch(owner: object, name: str, wanted: int) -> None:
    """Make the calls of that function steps."""
    original = getattr(owner, name)

    def watched(*arguments: object, **options: object) -> object:
        at_step(wanted)
        result = original(*arguments, **options)
        at_step(wanted)
        return result

    setattr(owner, name, watched)


def run(cache: str, wanted: int) -> None:
    os.environ |= {"HF_HUB_CACHE": f"{cache}/hub", "GPTCLI_CACHE_DIR": f"{cache}/gptcli"}
    for name in ("fsync", "replace", "symlink"):
        watch(os, name, wanted)
    watch(integrity.Digest, "update", wanted)
    watch(integrity, "record", wanted)
    watch(PartFile, "delete_record", wanted)
    advance = PartFile.advance

    def advanced(part: PartFile, claimed: object, count: int) -> bool:
        completed = advance(part, claimed, count)
        if completed:
            at_step(wanted)
        return completed

    PartFile.advance = advanced
    path = download("user/repo", "m.gguf", None, report=Silent())
    Path(cache, "path").write_text(str(path))


for line in sys.stdin:
    cache, step = line.split()
    child = os.fork()
    if child == 0:
        run(cache, int(step))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
    sys.stdout.flush()
