"""`gptcli models`: every command, on its own files and its own hub."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_fixtures import hub_of_its_own
from hub_server import HubServer
from huggingface_hub import hf_hub_download

from gptcli import settings
from gptcli.cli.main import CommandContext
from gptcli.cli.models import app
from gptcli.errors import GptcliError, LoadError, ModelNotFound, OfflineError, UsageError
from gptcli.llama.devices import repacks_q4_0
from gptcli.models.refs import aliases, catalog
from gptcli.models.store import integrity, store
from gptcli.terminal import Terminal

COMMIT = "c" * 40
REPO = "user/tiny-GGUF"


@pytest.fixture(autouse=True)
def places(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, offline."""
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setenv("GPTCLI_CACHE_DIR", str(home / "cache"))
    monkeypatch.setenv("GPTCLI_DATA_DIR", str(home / "data"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    return home


@pytest.fixture
def server(places: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_of_its_own(places / "hub", monkeypatch, HubServer()) as running:
        yield running


def gptcli_models(*arguments: str, typed: str | None = None, tty: bool = False) -> tuple[str, str]:
    """Standard output and standard error; a `tty` is one on all three streams."""
    stdin = io.BytesIO((typed or "").encode())
    terminal = Terminal(stdin, io.BytesIO(), io.StringIO(), stdin_tty=tty, stdout_tty=tty, stderr_tty=tty)
    app(list(arguments), obj=CommandContext(terminal, None), standalone_mode=False)
    assert isinstance(terminal.stdout, io.BytesIO)
    assert isinstance(terminal.stderr, io.StringIO)
    return terminal.stdout.getvalue().decode("utf-8", "surrogateescape"), terminal.stderr.getvalue()


def keep(content: bytes, filename: str = "tiny-F32.gguf", repo: str = REPO, commit: str = COMMIT) -> Path:
    """Store a file as gptcli itself would."""
    sha256 = hashlib.sha256(content).hexdigest()
    part = store.blob_path(repo, sha256).with_suffix(".part")
    part.write_bytes(content)
    return store.publish(part, repo=repo, commit=commit, filename=filename, sha256=sha256)


# ---- list


def test_list(tiny: Path) -> None:
    path = keep(tiny.read_bytes())
    out, _ = gptcli_models("list")
    name, quantization, size, architecture, parameters, context, used = out.rstrip("\n").split("\t")
    assert (name, quantization, size) == (f"{REPO}:F32", "F32", "1.01 MB")
    assert (architecture, parameters, context) == ("gpt2", "249k", "512")
    assert used
    [record] = json.loads(gptcli_models("list", "--json")[0])
    assert record["path"] == str(path)
    assert record["parameters"] == 248512
    assert record["licence"] == "MIT"
    assert record["damage"] is None


def test_list_gives_unambiguous_names(tiny: Path) -> None:
    keep(tiny.read_bytes(), "a-F32.gguf")
    keep(tiny.read_bytes() + b"b", "b-F32.gguf")
    listed = [line.split("\t")[0] for line in gptcli_models("list")[0].splitlines()]
    assert listed == [f"{REPO}:a-F32.gguf", f"{REPO}:b-F32.gguf"]
    for name in listed:
        assert gptcli_models("path", name)[0].endswith(f"{name.rpartition(':')[2]}\n")


def test_list_shows_damaged_files_and_omits_incomplete_models(tiny: Path) -> None:
    keep(b"GGUF\3\0\0\0", "broken.gguf")
    keep(tiny.read_bytes(), "part-00001-of-00002.gguf")
    [record] = json.loads(gptcli_models("list", "--json")[0])
    assert record["file"] == "broken.gguf"
    assert "truncated" in record["damage"]


def test_an_empty_list_has_a_hint() -> None:
    assert gptcli_models("list") == ("", "")
    assert "models pull smollm2" in gptcli_models("list", tty=True)[1]


def test_a_second_listing_reads_no_header(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keep(tiny.read_bytes())
    first = gptcli_models("list")
    status = path.stat()
    path.resolve().write_bytes(bytes(status.st_size))  # no GGUF any more, and nobody can tell
    os.utime(path.resolve(), ns=(status.st_atime_ns, status.st_mtime_ns))
    assert gptcli_models("list") == first
    os.utime(path.resolve())
    assert "damaged" in gptcli_models("list")[0]


def test_models_in_external_stores_are_used_in_place(places: Path, tiny: Path) -> None:
    lm = places / ".lmstudio/models/user/repo/x-Q8_0.gguf"
    lm.parent.mkdir(parents=True)
    lm.write_bytes(tiny.read_bytes())
    blob = places / ".ollama/models/blobs" / ("sha256-" + "a" * 64)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(tiny.read_bytes())
    manifest = places / ".ollama/models/manifests/registry.ollama.ai/library/tiny/latest"
    manifest.parent.mkdir(parents=True)
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + "a" * 64}]
    manifest.write_text(json.dumps({"layers": layers}))
    (manifest.parent / "broken").write_text("{")
    listed = [line.split("\t")[0] for line in gptcli_models("list")[0].splitlines()]
    assert listed == ["lmstudio:user/repo/x-Q8_0.gguf", "ollama:tiny:latest"]
    assert gptcli_models("path", "ollama:tiny")[0] == f"{blob}\n"
    assert gptcli_models("path", listed[0])[0] == f"{lm}\n"
    with pytest.raises(GptcliError, match="does not own"):
        gptcli_models("rm", "--yes", "ollama:tiny")
    assert blob.exists()


def test_the_catalog_shows_what_fits_and_what_is_stored() -> None:
    records = {record["name"]: record for record in json.loads(gptcli_models("list", "--catalog", "--json")[0])}
    assert {"smollm2", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "gpt-oss-20b", "gpt-oss-120b"} <= set(records)
    assert records["smollm2"]["fits"] is True
    assert records["smollm2"]["stored"] is False
    assert records["gpt-oss-120b"]["memory"] > 63e9
    assert records["gpt2-xl"]["fits"] is None


# ---- show, path


def test_show(tiny: Path) -> None:
    out, _ = gptcli_models("show", str(tiny), "--ctx-size", "256")
    lines = dict(line.split("  ", 1) for line in out.splitlines())
    assert lines["architecture"].strip() == "gpt2"
    assert lines["parameters"].strip() == "249k"
    assert "memory for 256 tokens" in out
    assert "197 kB KV cache" in out
    facts = json.loads(gptcli_models("show", str(tiny), "--json", "--ctx-size", "256")[0])
    assert facts["memory"]["kv_cache"] == 3 * 64 * 2 * 2 * 256
    assert facts["vocabulary"] == 513


def test_show_template(tiny: Path, tmp_path: Path) -> None:
    from tiny_gpt2 import write_tiny_gpt2

    chatty = write_tiny_gpt2(tmp_path / "chatty.gguf", chat_template="{{ 'hi' }}")
    assert gptcli_models("show", "--template", str(chatty))[0] == "{{ 'hi' }}\n"
    with pytest.raises(ModelNotFound, match="no chat template"):
        gptcli_models("show", "--template", str(tiny))


@pytest.mark.parametrize("tty", [True, False])
def test_show_escapes_invisible_characters(tmp_path: Path, tty: bool) -> None:
    from tiny_gpt2 import write_tiny_gpt2

    licence = "MIT \x1b[2J \x9b2J \u202eevil\u2066 \u200b 通"
    evil = write_tiny_gpt2(tmp_path / "evil.gguf", more=lambda writer: writer.add_string("general.license", licence))
    text = gptcli_models("show", str(evil), tty=tty)[0]
    document = gptcli_models("show", str(evil), "--json", tty=tty)[0]
    assert "通" in text
    assert text.replace("\n", "").isprintable()
    assert document.replace("\n", "").isprintable()
    assert json.loads(document)["licence"] == licence


def test_path_is_one_line_without_the_network(tiny: Path) -> None:
    path = keep(tiny.read_bytes())
    assert gptcli_models("path", f"{REPO}:F32") == (f"{path}\n", "")
    with pytest.raises(ModelNotFound, match="not stored") as refused:
        gptcli_models("path", "user/other")
    assert "models pull user/other" in refused.value.hint


# ---- verify


def rot(path: Path) -> None:
    """Damage a quarter of the weights, and nobody can tell by the size or the time."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[status.st_size // 2 : status.st_size * 3 // 4] = bytes(status.st_size // 4)
    path.resolve().write_bytes(content)
    os.utime(path.resolve(), ns=(status.st_atime_ns, status.st_mtime_ns))


def test_damage_after_storing_is_noticed_by_verify_and_pull(server: HubServer, tiny: Path) -> None:
    server.put(REPO, "tiny-Q8_0.gguf", tiny.read_bytes())
    gptcli_models("pull", REPO, "-q")
    path = Path(gptcli_models("path", REPO)[0].strip())
    rot(path)
    with pytest.raises(LoadError, match="1 of 1 models are damaged"):
        gptcli_models("verify", "-q")
    with pytest.raises(LoadError, match="has other content than when it was checked"):
        gptcli_models("pull", str(path))
    _, err = gptcli_models("pull", REPO)
    assert "The stored tiny-Q8_0.gguf is damaged; downloading it again." in err
    assert path.read_bytes() == tiny.read_bytes()
    assert gptcli_models("verify", "-q")[0] == f"{REPO}:Q8_0: intact\n"


def test_a_record_without_samples_gets_them(tiny: Path) -> None:
    """Version 0.1 kept none."""
    path = keep(tiny.read_bytes())
    record = settings.cache_dir() / "verified.json"
    record.write_text(json.dumps({name: entry[:3] for name, entry in json.loads(record.read_text()).items()}))
    assert integrity.recorded(path) == hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert not integrity.has_rotted(path)
    rot(path)
    assert integrity.has_rotted(path)


def test_verify_hashes_every_file(tiny: Path) -> None:
    keep(tiny.read_bytes())
    wrong = keep(tiny.read_bytes() + b"x", "other-F32.gguf")
    assert gptcli_models("verify", "-q")[0].count(": intact\n") == 2
    content = bytearray(wrong.read_bytes())
    content[-100] ^= 1  # in the weights, where no structure can tell
    wrong.resolve().write_bytes(content)
    with pytest.raises(LoadError, match="1 of 2 models are damaged"):
        gptcli_models("verify", "-q")
    assert integrity.recorded(wrong) == integrity.CHECKED


# ---- rm


def test_rm_keeps_shared_content(tiny: Path) -> None:
    mine = keep(tiny.read_bytes(), "a-F32.gguf")
    same = keep(tiny.read_bytes(), "copy/a-F32.gguf")  # the same blob
    other = keep(tiny.read_bytes() + b"o", "b-Q8_0.gguf")
    elsewhere = keep(tiny.read_bytes(), "a-F32.gguf", repo="user/second")
    gptcli_models("rm", "--yes", f"{REPO}:a-F32.gguf")
    assert not mine.exists()
    assert same.exists()
    assert other.exists()
    assert elsewhere.exists()
    gptcli_models("rm", "--yes", f"{REPO}:copy/a-F32.gguf", f"{REPO}:Q8_0")
    assert not store.repo_dir(REPO).exists()
    assert elsewhere.exists()


def test_rm_keeps_a_blob_shared_between_repositories(places: Path, tiny: Path) -> None:
    """As huggingface_hub shares content between repositories: each repository's blob is a link to one file."""
    from huggingface_hub.utils import _shared_blobs as shared

    first, second = keep(tiny.read_bytes()), keep(tiny.read_bytes(), repo="user/second")
    hub = places / "hub"
    common = shared.shared_blob_path(hub, "d" * 64)
    common.parent.mkdir(parents=True, exist_ok=True)
    (hub / "blobs" / shared.SHARED_BLOBS_MARKER_NAME).write_text(shared.SHARED_BLOBS_LAYOUT_VERSION)
    for path in (first, second):
        blob = path.parent / path.readlink()
        if not common.exists():
            common.write_bytes(blob.read_bytes())
        blob.unlink()
        blob.symlink_to(os.path.relpath(common, blob.parent))
    gptcli_models("rm", "--yes", f"{REPO}:F32")
    assert not first.exists()
    assert second.read_bytes() == tiny.read_bytes()


def test_rm_confirms_on_a_terminal_and_refuses_without_one(tiny: Path) -> None:
    path = keep(tiny.read_bytes())
    with pytest.raises(UsageError, match="needs a confirmation"):
        gptcli_models("rm", f"{REPO}:F32")
    _, err = gptcli_models("rm", f"{REPO}:F32", typed="n\n", tty=True)
    assert "Delete this model?" in err
    assert path.exists()
    gptcli_models("rm", f"{REPO}:F32", typed="y\n", tty=True)
    assert not path.exists()


# ---- names


def test_alias_and_default(tiny: Path) -> None:
    path = keep(tiny.read_bytes())
    gptcli_models("alias", "mine", REPO)
    assert gptcli_models("alias")[0] == f"mine\t{REPO}\n"
    assert gptcli_models("path", "mine")[0] == f"{path}\n"
    gptcli_models("alias", "again", "mine")
    assert aliases.load().aliases["again"] == REPO
    assert gptcli_models("default")[0] == "smollm2\n"
    gptcli_models("default", "mine")
    assert gptcli_models("default")[0] == "mine\n"
    gptcli_models("alias", "--remove", "mine")
    assert gptcli_models("default")[0] == "smollm2\n"
    assert path.exists()


def test_a_default_that_is_not_stored_is_reported(tiny: Path) -> None:
    keep(tiny.read_bytes())
    assert gptcli_models("default", f"{REPO}:F32") == ("", "")
    for ref in ("nonexist/zz", "smollm2"):
        out, err = gptcli_models("default", ref)
        assert (out, err) == ("", f"{ref} is not stored here yet; the first command that uses it downloads it.\n")
        assert gptcli_models("default")[0] == f"{ref}\n"


@pytest.mark.parametrize("name", ["smollm2", "a/b", "x.gguf", "../x", "a b", "-x"])
def test_invalid_aliases(name: str) -> None:
    with pytest.raises(UsageError):
        gptcli_models("alias", "--", name, REPO)


def test_an_alias_needs_an_existing_model(tmp_path: Path) -> None:
    for ref in ("nothing", str(tmp_path / "none.gguf")):
        with pytest.raises(ModelNotFound):
            gptcli_models("alias", "mine", ref)
        with pytest.raises(ModelNotFound):
            gptcli_models("default", ref)
    assert aliases.load() == aliases.Names()


# ---- import


def test_import_makes_no_copy_and_rm_keeps_the_original(tiny: Path, tmp_path: Path) -> None:
    source = tmp_path / "My Model.gguf"
    source.write_bytes(tiny.read_bytes())
    assert gptcli_models("import", str(source))[0] == "My-Model\n"
    [path] = gptcli_models("path", "My-Model")[0].splitlines()
    assert os.path.samefile(path, source)
    assert "My-Model" in gptcli_models("list")[0]
    gptcli_models("rm", "--yes", "My-Model")
    assert source.exists()
    assert not Path(path).exists()
    with pytest.raises(ModelNotFound):
        gptcli_models("path", "My-Model")


def test_import_of_a_folder_imports_complete_models(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.gguf", "b-00001-of-00002.gguf", "mmproj-x.gguf", "readme.txt"):
        (folder / name).write_bytes(tiny.read_bytes())
    assert gptcli_models("import", str(folder))[0] == "a\n"


def test_import_of_a_wheel(tiny: Path, tmp_path: Path) -> None:
    import zipfile

    wheel = tmp_path / "x-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("x/tiny.gguf", tiny.read_bytes())
    gptcli_models("import", str(wheel), "--name", "packed", "-q")
    assert Path(gptcli_models("path", "packed")[0].strip()).read_bytes() == tiny.read_bytes()


def test_import_and_quantization_of_long_names(tiny: Path, tmp_path: Path) -> None:
    source = tmp_path / ("m" * 250 + ".gguf")
    source.write_bytes(tiny.read_bytes())
    assert gptcli_models("import", str(source))[0] == "m" * 200 + "\n"
    with pytest.raises(UsageError, match="is not a valid name"):
        gptcli_models("import", str(source), "--name", "n" * 201)
    with pytest.raises(UsageError, match="is not a valid name"):
        gptcli_models("quantize", str(source), "Q8_0")  # before the work


def test_import_of_an_invalid_file_keeps_nothing(places: Path, tmp_path: Path) -> None:
    source = tmp_path / "x.gguf"
    source.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(LoadError):
        gptcli_models("import", str(source))
    with pytest.raises(ModelNotFound):
        gptcli_models("import", str(tmp_path / "none"))
    assert aliases.load().aliases == {}
    assert not (places / "data" / "models").exists()


# ---- with a hub


def test_pull_chooses_and_shares_a_file(server: HubServer, tiny: Path, places: Path) -> None:
    server.put(REPO, "tiny-Q4_K_M.gguf", tiny.read_bytes())
    server.put(REPO, "tiny-Q4_0.gguf", tiny.read_bytes() + b"8")
    _, err = gptcli_models("pull", REPO)
    assert "chose Q4_K_M (1 MB)" in err
    assert "It also has Q4_0 (1 MB)" in err
    assert (f"{REPO}:Q4_0 reads prompts 1.7 times as fast" in err) is repacks_q4_0()
    theirs = hf_hub_download(REPO, "tiny-Q4_K_M.gguf", local_files_only=True, cache_dir=places / "hub")
    assert gptcli_models("path", REPO)[0] == f"{theirs}\n"
    assert integrity.recorded(Path(theirs)) == hashlib.sha256(tiny.read_bytes()).hexdigest()


def test_pull_downloads_all_parts(server: HubServer, tiny: Path) -> None:
    for number in (1, 2, 3):
        server.put(REPO, f"x-Q8_0-0000{number}-of-00003.gguf", tiny.read_bytes() + bytes(number))
    gptcli_models("pull", f"{REPO}:Q8_0", "-q")
    path = Path(gptcli_models("path", REPO)[0].strip())
    assert path.name == "x-Q8_0-00001-of-00003.gguf"
    assert len(list(path.parent.iterdir())) == 3


def test_pull_refuses_what_is_not_a_model(server: HubServer, tiny: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("milk, eggs")
    with pytest.raises(LoadError, match="is not a GGUF file"):
        gptcli_models("pull", str(notes))
    server.put(REPO, "tiny-Q8_0.gguf", b"<!doctype html>")
    with pytest.raises(LoadError, match="is not a GGUF file: it looks like a web page"):
        gptcli_models("pull", REPO)
    damaged = tiny.read_bytes().replace(b"gpt2.block_count\x04\0\0\0\x03", b"gpt2.block_count\x04\0\0\0\0")
    server.put(REPO, "tiny-Q8_0.gguf", damaged)
    with pytest.raises(LoadError, match="block_count is 0"):
        gptcli_models("pull", REPO)
    assert f"{tiny} is stored" in gptcli_models("pull", str(tiny))[1]


def test_pull_of_missing_files(server: HubServer, tiny: Path) -> None:
    server.put(REPO, "tiny-Q8_0.gguf", tiny.read_bytes())
    with pytest.raises(ModelNotFound, match="no Q4_K_M") as refused:
        gptcli_models("pull", f"{REPO}:Q4_K_M")
    assert "Q8_0" in refused.value.hint
    with pytest.raises(ModelNotFound, match=r"no file tiny-Q8\.gguf") as refused:
        gptcli_models("pull", f"{REPO}:tiny-Q8.gguf")
    assert "tiny-Q8_0.gguf" in refused.value.hint


def test_outdated(server: HubServer, tiny: Path) -> None:
    server.put(REPO, "tiny-Q8_0.gguf", tiny.read_bytes())
    gptcli_models("pull", REPO, "-q")
    assert gptcli_models("outdated") == ("", "")
    server.put(REPO, "README.md", b"new")
    assert gptcli_models("outdated") == ("", "")
    server.put(REPO, "tiny-Q8_0.gguf", tiny.read_bytes() + b"2")
    assert gptcli_models("outdated")[0] == f"{REPO}:Q8_0\n"
    gptcli_models("pull", REPO, "-q")
    assert gptcli_models("outdated") == ("", "")


def test_search(server: HubServer, tiny: Path) -> None:
    server.put(REPO, "tiny-Q8_0.gguf", tiny.read_bytes())
    server.put(REPO, "mmproj-F16.gguf", b"x")
    server.put("user/text", "README.md", b"x")
    [record] = json.loads(gptcli_models("search", "tiny", "--json")[0])
    assert record["repo"] == REPO
    assert record["quantizations"] == {"Q8_0": tiny.stat().st_size}
    assert "Q8_0 1.01 MB" in gptcli_models("search", "tiny")[0]


# ---- offline


def test_pull_without_the_hub_keeps_the_stored_model(
    server: HubServer, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(REPO, "tiny-Q4_K_M.gguf", tiny.read_bytes())
    gptcli_models("pull", REPO)
    asked = len(server.requests("GET"))
    _, err = gptcli_models("pull", REPO, "--offline")
    assert f"{REPO} is stored in" in err
    assert len(server.requests("GET")) == asked
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    _, err = gptcli_models("pull", REPO)
    assert "127.0.0.1 cannot be reached" in err
    assert f"{REPO} is stored in" in err
    with pytest.raises(OfflineError):
        gptcli_models("pull", "user/absent-GGUF")


@pytest.mark.parametrize("words", [["pull", "user/absent-GGUF"], ["search", "gpt2"], ["outdated"]], ids=" ".join)
def test_offline_refuses_commands_that_need_the_hub(server: HubServer, words: list[str]) -> None:
    with pytest.raises(OfflineError, match="network is switched off"):
        gptcli_models(*words, "--offline")
    assert server.requests("GET") == []


# ---- names of imports


def test_an_import_does_not_reuse_a_name(tiny: Path, places: Path) -> None:
    assert gptcli_models("import", str(tiny))[0] == "tiny\n"
    assert gptcli_models("import", str(tiny))[0] == "tiny\n"  # the same file again
    other = places / "other" / "tiny.gguf"
    other.parent.mkdir()
    other.write_bytes(tiny.read_bytes())
    with pytest.raises(UsageError, match="another model"):
        gptcli_models("import", str(other))
    assert gptcli_models("import", str(other), "--name", "second")[0] == "second\n"


def test_an_import_of_a_catalog_model_is_stored_as_that_model(
    tiny: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    entry = catalog.Entry(
        "known", "Known", REPO, "tiny-F32.gguf", "MIT", "1M", "tests", commit=COMMIT, size=len(data), sha256=digest
    )
    monkeypatch.setattr(catalog, "entries", lambda: {"known": entry})
    assert gptcli_models("import", str(tiny))[0] == "known\n"
    assert Path(gptcli_models("path", "known")[0].rstrip("\n")) == store.snapshot_path(REPO, COMMIT, "tiny-F32.gguf")
    assert tiny.read_bytes() == data
    assert gptcli_models("import", str(tiny), "--name", "mine")[0] == "mine\n"


def test_the_only_name_of_an_import_cannot_be_removed(tiny: Path, places: Path) -> None:
    gptcli_models("import", str(tiny), "--name", "mine")
    with pytest.raises(UsageError, match="only name"):
        gptcli_models("alias", "--remove", "mine")
    with pytest.raises(UsageError, match="only name"):
        gptcli_models("alias", "mine", "user/other")
    gptcli_models("alias", "again", "mine")
    gptcli_models("alias", "--remove", "mine")
    assert [record["name"] for record in json.loads(gptcli_models("list", "--json")[0])] == ["again"]
