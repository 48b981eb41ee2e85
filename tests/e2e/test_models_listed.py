"""The short way of `gptcli models list` says what the usual way says, whatever has changed since."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from shell import Shell

from gptcli.models.store import listing

FORMS = (["models", "list"], ["models", "list", "--json"])
LONG_AGO = time.time_ns() - 10**12


@pytest.fixture
def listed(shell: Shell, tmp_path: Path, tiny: Path) -> Shell:
    """A machine with models in the hub's cache, in LM Studio, in ollama and under a name, and nothing new."""
    home = tmp_path / "home"
    put(home, tiny, "user/one", "a-F32.gguf")
    put(home, tiny, "user/two", "deep/b-F32.gguf")
    other = home / ".lmstudio/models/u/r/c-F32.gguf"
    other.parent.mkdir(parents=True)
    shutil.copy(tiny, other)
    blob = home / ".ollama/models/blobs" / f"sha256-{'a' * 64}"
    blob.parent.mkdir(parents=True)
    shutil.copy(tiny, blob)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{'a' * 64}"}
    manifest = home / ".ollama/models/manifests/registry.ollama.ai/library/tiny/latest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"layers": [layer]}))
    kept = home / "own.gguf"
    shutil.copy(tiny, kept)
    assert shell.run("models", "alias", "mine", kept).code == 0
    settle(home)
    return shell


def put(home: Path, tiny: Path, repo: str, file: str, commit: str = "c" * 40) -> Path:
    """Store a copy of `tiny` as the hub's clients do."""
    folder = home / ".cache/huggingface/hub" / f"models--{repo.replace('/', '--')}"
    blob = folder / "blobs" / f"{abs(hash((repo, file, commit))):064x}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tiny, blob)
    link = folder / "snapshots" / commit / file
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs/main").write_text(commit)
    return link


def settle(home: Path) -> None:
    """Let everything below `home` be old, but for gptcli's own cache."""
    for folder, folders, files in os.walk(home, topdown=False):
        for name in (*files, *folders, "."):
            path = Path(folder, name)
            if path.exists() and path.stat().st_mtime_ns > LONG_AGO:
                os.utime(path, ns=(LONG_AGO, LONG_AGO))


def usual(shell: Shell, form: list[str]) -> bytes:
    """What the command says where it remembers nothing."""
    place = f"{shell.environment['HOME']}/elsewhere"
    return Shell(Path(shell.environment["HOME"]), GPTCLI_CACHE_DIR=place).run(*form).out


def remembered(shell: Shell) -> Path:
    return Path(shell.environment["HOME"]) / ".cache/gptcli/listing"


def test_a_second_listing_is_remembered_and_the_same(listed: Shell) -> None:
    first = [listed.run(*form).out for form in FORMS]
    assert [line.split(b"\t")[0] for line in first[0].splitlines()] == [
        b"lmstudio:u/r/c-F32.gguf",
        b"mine",
        b"ollama:tiny:latest",
        b"user/one:F32",
        b"user/two:F32",
    ]
    assert remembered(listed).exists()
    trace = listed.run(*FORMS[0], program=("-X", "importtime", "-m", "gptcli"))
    assert trace.out == first[0]
    assert "typer" not in trace.err
    assert "pathlib" not in trace.err.replace("_pathlib", "")
    assert [listed.run(*form).out for form in FORMS] == first == [usual(listed, form) for form in FORMS]


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "a repository comes": lambda home, tiny: put(home, tiny, "user/three", "x-F32.gguf"),
    "a file comes": lambda home, tiny: put(home, tiny, "user/one", "x-F32.gguf"),
    "a commit comes": lambda home, tiny: put(home, tiny, "user/two", "y-Q8_0.gguf", "d" * 40),
    "a repository goes": lambda home, _: shutil.rmtree(home / ".cache/huggingface/hub/models--user--one"),
    "a link goes": lambda home, _: next(home.glob(".cache/huggingface/hub/*/snapshots/*/deep/*.gguf")).unlink(),
    "a blob goes": lambda home, _: next(home.glob(".cache/huggingface/hub/*one/blobs/*")).unlink(),
    "a file is damaged": lambda home, _: (home / "own.gguf").write_bytes(b"GGUF"),
    "a file is read": lambda home, _: os.utime(home / "own.gguf", ns=(LONG_AGO + 10**10, LONG_AGO)),
    "a named file goes": lambda home, _: (home / "own.gguf").unlink(),
    "the names go": lambda home, _: next(home.glob(".local/share/gptcli/models.json")).unlink(),
    "LM Studio's model goes": lambda home, _: (home / ".lmstudio/models/u/r/c-F32.gguf").unlink(),
    "ollama's name goes": lambda home, _: next(home.glob(".ollama/models/manifests/*/*/*/latest")).unlink(),
    "ollama's file goes": lambda home, _: next(home.glob(".ollama/models/blobs/*")).unlink(),
    "all goes": lambda home, _: shutil.rmtree(home / ".cache/huggingface"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_change_is_seen(
    listed: Shell, tmp_path: Path, tiny: Path, change: Callable[[Path, Path], object]
) -> None:
    before = listed.run(*FORMS[1]).out
    assert remembered(listed).exists()
    change(tmp_path / "home", tiny)
    after = listed.run(*FORMS[1]).out
    assert after != before
    assert after == usual(listed, FORMS[1])


def test_what_changed_just_now_is_not_remembered(listed: Shell, tmp_path: Path, tiny: Path) -> None:
    put(tmp_path / "home", tiny, "user/three", "x-F32.gguf")
    listed.run(*FORMS[0])
    assert not remembered(listed).exists()


def test_a_damaged_memory_is_ignored(listed: Shell) -> None:
    right = listed.run(*FORMS[0]).out
    for damage in (b"", b"\0\0\0\0", remembered(listed).read_bytes()[:-3], b"\xff" * 100):
        remembered(listed).write_bytes(damage)
        assert listed.run(*FORMS[0]).out == right


def test_a_terminal_gets_the_table_both_times(listed: Shell) -> None:
    shown = []
    for _ in range(2):
        command = ["-m", "gptcli", "models", "list"]
        child = pexpect.spawn(os.sys.executable, command, env=listed.environment, dimensions=(24, 40), timeout=30)
        shown.append(child.read().decode())
        child.close()
        assert child.exitstatus == 0
    assert shown[0] == shown[1]
    lines = shown[0].splitlines()
    assert lines[0].startswith(listing.COLUMNS[0])
    assert max(map(len, lines)) <= 40


def test_a_closed_pipe_and_a_full_disk_end_as_everywhere(listed: Shell) -> None:
    listed.run(*FORMS[0])
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        outcome = listed.run(*FORMS[0], stdout=closed)
    assert (outcome.code, outcome.err) == (0, "")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb") as full:
            outcome = listed.run(*FORMS[0], stdout=full)
        assert outcome.code == 1
        assert "cannot be written" in outcome.err
