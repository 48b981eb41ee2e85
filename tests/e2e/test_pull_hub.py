"""Downloads from a hub that is slow, broken, changed, gated or hostile, and the cache shared with huggingface_hub."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_fixtures import Recorder, hub_of_its_own
from hub_server import Fault, HubServer, etag_of

from gptcli.errors import ExitCode, GatedError, GptcliError, LoadError, ModelNotFound, OfflineError, UsageError
from gptcli.models.hub import connections
from gptcli.models.hub import repository as hub
from gptcli.models.hub.download import download, download_all
from gptcli.models.hub.part_file import BLOCK, PartFile
from gptcli.models.hub.repository import HubFile
from gptcli.models.hub.session import Backoff, HubSession
from gptcli.models.store.store import lock

DATA = random.Random(1).randbytes(2 * BLOCK + 1000)
OTHER = random.Random(2).randbytes(2 * BLOCK + 500)
NOW = {"Retry-After": "0"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_of_its_own(tmp_path / "hub", monkeypatch, HubServer()) as server:
        server.put("user/repo", "m.gguf", DATA)
        yield server


@pytest.fixture
def report() -> Recorder:
    return Recorder()


def pull(report: Recorder, name: str = "m.gguf", revision: str | None = None, **expected: object) -> Path:
    return download("user/repo", name, revision, report=report, **expected)


def blobs(server_cache: Path) -> set[str]:
    return {path.name for path in (server_cache / "hub" / "models--user--repo" / "blobs").iterdir()}


# --- without failures


def test_a_download_takes_two_requests(server: HubServer, report: Recorder, tmp_path: Path) -> None:
    path = pull(report)
    assert path.read_bytes() == DATA
    assert path.is_symlink()
    assert [(seen.host, seen.method) for seen in server.seen] == [("hub", "HEAD"), ("cdn", "GET")]
    assert report.done == server.served == len(DATA)
    assert report.notes == [f"Downloading m.gguf (2.1 MB) from {server.endpoint[7:]}."]
    assert blobs(tmp_path) == {etag_of(DATA)}
    assert pull(report) == path
    assert server.served == len(DATA)


def test_a_hub_without_a_cdn(server: HubServer, report: Recorder) -> None:
    server.redirect = False
    assert pull(report).read_bytes() == DATA
    assert {seen.host for seen in server.seen} == {"hub"}


@pytest.mark.parametrize("redirect", [True, False])
def test_a_server_without_ranges_sends_the_file_once(server: HubServer, report: Recorder, redirect: bool) -> None:
    server.ranges, server.redirect = False, redirect
    assert pull(report).read_bytes() == DATA
    assert server.served == len(DATA)


def test_a_file_in_a_folder_of_a_branch(server: HubServer, report: Recorder) -> None:
    commit = server.put("user/repo", "q4/ä 1.gguf", OTHER)
    path = pull(report, "q4/ä 1.gguf", commit)
    assert path.read_bytes() == OTHER
    assert path.parts[-3:] == (commit, "q4", "ä 1.gguf")
    assert report.labels == ["ä 1.gguf"]


def test_list_files_search_and_latest_commit(server: HubServer) -> None:
    commit = server.put("user/repo", "README.md", b"hello")
    assert hub.latest_commit("user/repo") == commit
    assert hub.list_files("user/repo") == [
        hub.RemoteFile("m.gguf", len(DATA), etag_of(DATA)),
        hub.RemoteFile("README.md", 5, etag_of(b"hello")),
    ]
    assert hub.search("Repo") == [hub.Found("user/repo", 7, False, ("m.gguf",), "gpt2", 124_000_000)]
    assert hub.search("nothing like it") == []
    query = server.requests("GET")[-1].path
    assert "filter=gguf" in query


def test_all_parts_of_a_split_model_are_of_one_commit(server: HubServer, report: Recorder, tmp_path: Path) -> None:
    names = [f"s-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    for number, name in enumerate(names):
        commit = server.put("user/repo", name, DATA[number:])
    files = [file for file in hub.list_files("user/repo") if file.name in names]
    paths = download_all("user/repo", files, None, report=report)
    assert [path.name for path in paths] == names
    assert {path.parent.name for path in paths} == {commit}
    assert [path.read_bytes() for path in paths] == [DATA, DATA[1:], DATA[2:]]
    assert (tmp_path / "hub/models--user--repo/refs/main").read_text() == commit


# --- the shared cache


def test_huggingface_hub_finds_our_downloads(server: HubServer, report: Recorder, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download, scan_cache_dir

    path = pull(report)
    assert hf_hub_download("user/repo", "m.gguf", local_files_only=True) == str(path)
    assert hf_hub_download("user/repo", "m.gguf") == str(path)  # with the hub's consent: nothing is fetched again
    assert server.served == len(DATA)
    (repo,) = scan_cache_dir(tmp_path / "hub").repos
    assert (repo.repo_id, repo.size_on_disk) == ("user/repo", len(DATA))


def test_downloads_of_huggingface_hub_are_found(server: HubServer, report: Recorder) -> None:
    from huggingface_hub import hf_hub_download

    path = hf_hub_download("user/repo", "m.gguf")
    assert pull(report) == Path(path)
    assert server.served == len(DATA)
    assert report.notes == []


def test_stored_content_of_another_commit_is_linked(server: HubServer, report: Recorder) -> None:
    first = pull(report)
    server.put("user/repo", "README.md", b"new")
    second = pull(report)
    assert first != second
    assert first.samefile(second)
    assert server.served == len(DATA)


def test_a_download_of_main_updates_the_ref_and_one_of_a_commit_does_not(
    server: HubServer, report: Recorder, tmp_path: Path
) -> None:
    reference = tmp_path / "hub/models--user--repo/refs/main"
    pull(report)
    old = reference.read_text()
    new = server.put("user/repo", "m.gguf", OTHER)
    assert pull(report, revision=old).read_bytes() == DATA
    assert reference.read_text() == old
    assert pull(report).read_bytes() == OTHER
    assert reference.read_text() == new


@pytest.mark.parametrize("name", ["m" * 240 + ".gguf", "ä" * 125 + ".gguf", "f" * 255 + "/m.gguf"])
def test_the_longest_names_of_files_are_stored(server: HubServer, report: Recorder, name: str, tmp_path: Path) -> None:
    server.put("user/repo", name, DATA)
    assert pull(report, name).read_bytes() == DATA
    assert blobs(tmp_path) == {etag_of(DATA)}
    assert not list(tmp_path.rglob(".gptcli-*"))


def test_a_name_that_is_too_long_is_refused_before_the_download(
    server: HubServer, report: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.put("user/repo", "m" * 256 + ".gguf", DATA)
    with pytest.raises(ModelNotFound, match="is not the name of a file"):
        pull(report, "m" * 256 + ".gguf")
    server.put("user/repo", "m" * 250 + ".gguf", DATA)
    deep = tmp_path.joinpath(*["d" * 250] * 15)
    monkeypatch.setenv("HF_HUB_CACHE", str(deep)[: 4096 - 150])
    with pytest.raises(GptcliError, match="File name too long") as caught:
        pull(report, "m" * 250 + ".gguf")
    assert "shorter path" in caught.value.hint
    assert server.served == 0


# --- interruptions


def interrupted(server: HubServer, report: Recorder, after: int = BLOCK + 5) -> None:
    """A pull that ends after so many bytes, as if the network had gone for good."""
    server.faults.append(Fault("cut", after=after))
    server.faults.append(Fault("status", status=429, headers={"Retry-After": "9999"}))
    with pytest.raises(OfflineError, match="asks to wait"):
        pull(report)


def test_a_second_run_downloads_only_the_rest(server: HubServer, report: Recorder) -> None:
    interrupted(server, report)
    before = server.served
    assert pull(report).read_bytes() == DATA
    assert server.served - before == len(DATA) - BLOCK


@pytest.mark.parametrize("redirect", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=429, headers=NOW),
        Fault("status", status=503, headers=NOW),
        Fault("status", status=500),
        Fault("cut", after=0),
        Fault("cut", after=BLOCK + 77),
        Fault("stall", after=BLOCK + 77),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.after}",
)
def test_temporary_failures_are_retried(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, redirect: bool
) -> None:
    import hashlib

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    server.redirect = redirect
    server.faults.extend([fault, fault])
    remote, digest = HubFile(HubSession(), "user/repo", "m.gguf", "main"), hashlib.sha256()
    with PartFile(tmp_path / "x", remote.size, "x") as part:
        connections.download(remote, part, digest, Recorder(), Backoff(tries=5, first=0.001))
    assert digest.hexdigest() == etag_of(DATA)
    assert server.served == len(DATA)
    ranges = [seen.headers["range"] for seen in server.requests("GET")]
    assert ranges[-1] == f"bytes={2 * fault.after}-{len(DATA) - 1}"


def test_queries_are_retried_only_if_the_hub_responds(server: HubServer, report: Recorder) -> None:
    server.faults.append(Fault("status", method="HEAD", status=503, headers=NOW))
    assert pull(report).read_bytes() == DATA
    server.faults.extend(Fault("status", "HEAD", 503, NOW) for _ in range(9))
    with pytest.raises(OfflineError, match="status 503"):
        pull(report)


def test_an_expired_link_is_renewed(server: HubServer, tmp_path: Path) -> None:
    import hashlib

    remote = HubFile(HubSession(), "user/repo", "m.gguf", "main")
    server.oldest_link = 2
    with PartFile(tmp_path / "x", remote.size, "x") as part:
        connections.download(remote, part, hashlib.sha256(), Recorder(), Backoff(first=0.001))
    assert (tmp_path / "x").read_bytes() == DATA
    assert len(server.requests("HEAD")) == 2


def test_a_cdn_without_stable_etags(server: HubServer, report: Recorder) -> None:
    server.stable_etags = False
    server.faults.append(Fault("cut", after=BLOCK + 9))
    assert pull(report).read_bytes() == DATA


def test_a_renamed_repository_is_followed_on_the_same_host(server: HubServer, report: Recorder, tmp_path: Path) -> None:
    server.redirect = False
    there = {"Location": "/user/repo/resolve/main/m.gguf", "X-Linked-Etag": '"of-the-redirect"'}
    server.faults.append(Fault("status", "HEAD", 307, there))
    assert download("user/old", "m.gguf", None, report=report).read_bytes() == DATA
    assert (tmp_path / "hub/models--user--old/refs/main").read_text() == server.repos["user/repo"].head


def test_a_slow_drip_is_no_stall(server: HubServer, report: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kilobyte every 30 ms, for four times as long as a stall may last."""
    import hub_server
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    monkeypatch.setattr(hub_server, "CHUNK", 256)  # four of them make a piece
    server.connection_rate = 1024 / 0.03
    server.put("user/repo", "m.gguf", DATA[:65_536])
    started = time.monotonic()
    assert pull(report).read_bytes() == DATA[:65_536]
    assert time.monotonic() - started > 1.5
    assert len(server.requests("GET")) == 1
    assert report.done == 65_536


def test_a_redirect_from_https_to_http_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2
    from huggingface_hub import constants

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(302, headers={"location": "http://cdn.invalid/m.gguf"})

    asked: list[str] = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    session = HubSession()
    session._client = httpx2.Client(transport=httpx2.MockTransport(answer))
    with pytest.raises(OfflineError, match="redirects from https to http"):
        session.head("/user/repo/resolve/main/m.gguf", "user/repo")
    with (
        pytest.raises(OfflineError, match="redirects from https to http"),
        session.stream("https://hub.invalid/m.gguf", {}),
    ):
        pass
    assert asked == ["https://hub.invalid/user/repo/resolve/main/m.gguf", "https://hub.invalid/m.gguf"]


# --- what is wrong, by its name

PAGE = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize("redirect", [True, False])
def test_the_login_page_of_a_network_is_named(server: HubServer, report: Recorder, redirect: bool) -> None:
    server.redirect = redirect
    for method, where in (("GET", "resolve"), ("HEAD", "resolve"), ("GET", "api")):
        server.faults.append(Fault("status", method, 200, PAGE, document="<html>Welcome to the train", where=where))
        with pytest.raises(OfflineError, match="sent a web page") as caught:
            hub.list_files("user/repo") if where == "api" else pull(report)
        assert "Log in" in caught.value.hint
    assert server.served == 0


def test_compression_that_was_not_requested_is_named(server: HubServer, report: Recorder) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Range": f"bytes 0-99/{len(DATA)}"}
    server.faults.append(Fault("status", "GET", 206, headers, document="x"))
    with pytest.raises(OfflineError, match=r"sent the file compressed \(gzip\)"):
        pull(report)
    assert len(server.requests("GET")) == 1


def test_headers_that_are_too_large_are_named(server: HubServer, report: Recorder) -> None:
    for method in ("HEAD", "GET"):
        server.faults.append(Fault("status", method, 200, {"X-Large": "x" * 300_000}))
        with pytest.raises(OfflineError, match="its headers are too large"):
            pull(report)
    assert len(server.requests("GET")) == 1


def test_the_wait_that_a_busy_server_asked_for_is_named(server: HubServer, report: Recorder) -> None:
    server.faults.append(Fault("status", "HEAD", 429, {"Retry-After": "1"}))
    server.faults.append(Fault("status", "HEAD", 429, {"Retry-After": "5000"}))
    with pytest.raises(OfflineError, match=r"status 429 to 2 requests in 1 s; it asks to wait 5000 s"):
        pull(report)
    server.faults.append(Fault("status", "GET", 429, {"Retry-After": "1"}))
    server.faults.append(Fault("status", "GET", 429, {"Retry-After": "5000"}))
    with pytest.raises(OfflineError, match=r"asks to wait 5000 s\. It was tried again after 1 s of waiting\."):
        pull(report)


def test_why_a_repository_has_no_model_is_named(server: HubServer, report: Recorder) -> None:
    from gptcli.models.hub import pull as models
    from gptcli.models.refs.reference import HubReference

    server.put("user/half", "x-Q8_0-00001-of-00002.gguf", DATA)
    for tag in (None, "Q8_0"):
        with pytest.raises(ModelNotFound, match=r"incomplete: 1 of the 2 parts .* x-Q8_0-00002-of-00002\.gguf"):
            models.download(HubReference("user/half", tag=tag), report=report)
    server.put("user/half", "README.md", b"x")
    server.put("user/bad", "README.md", b"x")
    server.extra_files.append({"rfilename": "../\x1b[2Jup.gguf", "size": 5})
    with pytest.raises(ModelNotFound, match="names of the 1 GGUF files in user/bad are not valid") as caught:
        models.download(HubReference("user/bad"), report=report)
    assert caught.value.message.isprintable()
    server.extra_files.clear()
    with pytest.raises(ModelNotFound, match="It has no GGUF model"):
        models.download(HubReference("user/bad"), report=report)


# --- damaged and changed files


def test_a_damaged_download_is_deleted(server: HubServer, report: Recorder, tmp_path: Path) -> None:
    server.faults.append(Fault("corrupt", after=1000))
    with pytest.raises(LoadError, match="was damaged during the download") as caught:
        pull(report)
    assert caught.value.exit_code == ExitCode.LOAD
    assert blobs(tmp_path) == set()
    assert not list(tmp_path.rglob("m.gguf"))
    assert pull(report).read_bytes() == DATA


def test_a_damaged_part_is_downloaded_again(server: HubServer, report: Recorder, tmp_path: Path) -> None:
    interrupted(server, report)
    (part,) = tmp_path.rglob("*.gptcli-part")
    with part.open("r+b") as file:
        file.write(b"rotten")
    assert pull(report).read_bytes() == DATA
    assert "The earlier part of m.gguf was damaged; starting over." in report.notes


def test_a_changed_file_starts_over_and_its_old_part_is_deleted(
    server: HubServer, report: Recorder, tmp_path: Path
) -> None:
    interrupted(server, report)
    server.put("user/repo", "m.gguf", OTHER)
    before = server.served
    assert pull(report).read_bytes() == OTHER
    assert server.served - before == len(OTHER)
    assert blobs(tmp_path) == {etag_of(OTHER)}


def test_an_older_version_that_another_process_downloads_is_left_alone(
    server: HubServer, report: Recorder, tmp_path: Path
) -> None:
    interrupted(server, report)
    server.put("user/repo", "m.gguf", OTHER)
    with lock("user/repo", etag_of(DATA), report):
        pull(report)
    assert f"{etag_of(DATA)}.gptcli-part" in blobs(tmp_path)


@pytest.mark.parametrize("redirect", [True, False])
@pytest.mark.parametrize("new", [OTHER, OTHER + bytes(500)], ids=["shorter", "as long"])
def test_a_file_that_changes_between_two_requests_starts_over(
    server: HubServer, report: Recorder, tmp_path: Path, redirect: bool, new: bytes
) -> None:
    """The second request carries If-Range, so that no byte of the new file is taken for one of the old."""
    server.redirect = redirect
    server.faults.append(Fault("cut", after=BLOCK))
    take = server.take_fault

    def change_after_the_cut(method: str, where: str) -> Fault | None:
        fault = take(method, where)
        if server.served and etag_of(server.repos["user/repo"].commits[commit]["m.gguf"]) == etag_of(DATA):
            server.overwrite("user/repo", "m.gguf", new)
        return fault

    commit = server.repos["user/repo"].head
    server.take_fault = change_after_the_cut  # type: ignore[method-assign]
    assert pull(report).read_bytes() == new
    assert blobs(tmp_path) == {etag_of(new)}
    assert any("changed on" in note for note in report.notes)
    assert [seen for seen in server.requests("GET") if "if-range" in seen.headers]


def test_an_unexpected_file_is_not_downloaded(server: HubServer, report: Recorder) -> None:
    for expected in ({"sha256": etag_of(OTHER)}, {"size": 5}):
        with pytest.raises(ModelNotFound, match="has another file"):
            pull(report, **expected)
    assert server.served == 0
    assert pull(report, sha256=etag_of(DATA), size=len(DATA)).read_bytes() == DATA


def test_an_unwritable_cache_is_reported(server: HubServer, report: Recorder, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file where a folder should be")
    with pytest.raises(GptcliError, match="cannot be written") as caught:
        pull(report)
    assert "HF_HUB_CACHE" in caught.value.hint


# --- no network


def test_offline_sends_no_request(server: HubServer, report: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HUB_OFFLINE", "GPTCLI_OFFLINE"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, "1")
            for ask in (lambda: pull(report), lambda: hub.list_files("user/repo"), lambda: hub.search("x")):
                with pytest.raises(OfflineError) as caught:
                    ask()
                assert caught.value.exit_code == ExitCode.MODEL_NOT_FOUND
    assert server.seen == []


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [("http://gptcli.invalid", "its name does not resolve"), ("http://127.0.0.1:9", "the connection is refused")],
)
def test_no_network_fails_within_a_second(
    server: HubServer, report: Recorder, monkeypatch: pytest.MonkeyPatch, endpoint: str, reason: str
) -> None:
    """`.invalid` never resolves (RFC 6761); how long the system's resolver takes to say so is not counted."""
    import socket

    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    started = time.monotonic()
    if "invalid" in endpoint:
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("gptcli.invalid", 80)
    resolving = time.monotonic() - started
    started = time.monotonic()
    with pytest.raises(OfflineError, match=reason) as caught:
        pull(report)
    assert time.monotonic() - started < resolving + 1.0
    assert caught.value.exit_code == ExitCode.MODEL_NOT_FOUND


def test_a_proxy_is_used(server: HubServer, report: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy gets whole URLs, also of hosts that nobody here can resolve; the test's hub answers in its place."""
    from huggingface_hub.utils import close_session

    server.redirect = False
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", server.endpoint)
    monkeypatch.setenv("NO_PROXY", "")
    close_session()
    assert pull(report).read_bytes() == DATA
    assert all(seen.path.startswith("http://hub.invalid/user/repo/resolve/") for seen in server.seen)


@pytest.mark.parametrize("endpoint", ["nonsense", "http://[::1", "ftp://example.invalid", "http://"])
def test_an_invalid_endpoint_is_a_usage_error(
    server: HubServer, report: Recorder, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(UsageError, match="HF_ENDPOINT"):
        pull(report)


# --- access and the token


def test_a_gated_repository_names_the_page_and_the_token(server: HubServer, report: Recorder) -> None:
    server.repos["user/repo"].gated = True
    with pytest.raises(GatedError) as caught:
        pull(report)
    assert f"{server.endpoint}/user/repo" in caught.value.hint
    assert "HF_TOKEN" in caught.value.hint
    assert caught.value.exit_code == ExitCode.MODEL_NOT_FOUND
    assert hub.list_files("user/repo")


def test_a_token_gives_access_and_goes_to_the_hub_only(
    server: HubServer,
    report: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    server.repos["user/repo"].gated = True
    monkeypatch.setenv("HF_TOKEN", server.token)
    assert pull(report).read_bytes() == DATA
    asked = [seen for seen in server.seen if seen.host == "hub"]
    redirected = [seen for seen in server.seen if seen.host == "cdn"]
    assert all(seen.headers["authorization"] == f"Bearer {server.token}" for seen in asked)
    assert redirected
    assert not any(server.token in repr(seen) for seen in redirected)
    printed = "".join(capfd.readouterr()) + caplog.text + repr(report.notes)
    assert server.token not in printed


def test_a_redirect_to_another_hub_does_not_get_the_token(
    server: HubServer, report: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even to one that huggingface_hub would trust: only the endpoint the user configured gets it."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with HubServer() as mirror:
        monkeypatch.setenv("HF_ENDPOINT", mirror.endpoint)
        to = {"Location": f"{server.endpoint}/user/repo/resolve/main/m.gguf"}
        mirror.faults.append(Fault("status", "HEAD", 302, to))
        assert pull(report).read_bytes() == DATA
        assert [seen.headers["authorization"] for seen in mirror.seen] == ["Bearer hf_secret"]
    assert server.seen
    assert not any("authorization" in seen.headers for seen in server.seen)


def test_a_token_without_access_is_reported(
    server: HubServer, report: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repos["user/repo"].gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_a_wrong_one")
    with pytest.raises(GatedError, match="an account without access") as caught:
        pull(report)
    assert "hf_a_wrong_one" not in caught.value.message + caught.value.hint


def test_missing_repositories_files_and_branches(server: HubServer, report: Recorder) -> None:
    with pytest.raises(ModelNotFound, match="has no repository user/other"):
        download("user/other", "m.gguf", None, report=report)
    with pytest.raises(ModelNotFound, match="has no such file"):
        pull(report, "n.gguf")
    with pytest.raises(ModelNotFound, match="no such branch"):
        pull(report, revision="no-branch")
    server.repos["user/repo"].private = True
    with pytest.raises(ModelNotFound, match="has no repository"):
        hub.list_files("user/repo")


# --- hostile names


@pytest.mark.parametrize(
    ("repo", "name", "revision"),
    [
        ("user/repo", "../m.gguf", None),
        ("user/repo", "a/../../m.gguf", None),
        ("user/repo", "/etc/m.gguf", None),
        ("user/repo", "C:\\m.gguf", None),
        ("user/repo", "a\\b.gguf", None),
        ("user/repo", "m\0.gguf", None),
        ("user/repo", "\x1b[2Jm.gguf", None),
        ("user/repo", "a//m.gguf", None),
        ("user/repo", "", None),
        ("user/repo", "m.gguf", "../../x"),
        ("user/repo", "m.gguf", "\x1b[2J"),
        ("user/..", "m.gguf", None),
        ("../repo", "m.gguf", None),
        ("user/re\x1bpo", "m.gguf", None),
    ],
)
def test_hostile_names_are_refused_without_a_request(
    server: HubServer, report: Recorder, repo: str, name: str, revision: str | None
) -> None:
    with pytest.raises(ModelNotFound) as caught:
        download(repo, name, revision, report=report)
    assert caught.value.message.isprintable()
    assert server.seen == []


def test_listings_omit_hostile_names(server: HubServer) -> None:
    for name in ("../up.gguf", "/abs.gguf", "\x1b[31mred.gguf", "nul\0.gguf", "a\nb.gguf", 7, None):
        server.extra_files.append({"rfilename": name, "size": 5})
    assert [file.name for file in hub.list_files("user/repo")] == ["m.gguf"]
    server.put("evil/\x1b[31mrepo", "m.gguf", b"x")
    assert [found.repo for found in hub.search("repo")] == ["user/repo"]
    assert hub.search("repo")[0].files == ("m.gguf",)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        {"sha": "../../x", "siblings": 7},
        {"siblings": [None, 7, {"rfilename": ["x"], "size": 1}, {"rfilename": "x", "size": "1"}]},
        [
            {
                "id": "a/b",
                "siblings": [{}, None],
                "downloads": "\x1b[2J",
                "gguf": {"architecture": "\x1b[2J", "total": []},
            }
        ],
        [{"id": None}, {}, 5],
    ],
    ids=str,
)
def test_invalid_responses_are_no_crash(server: HubServer, document: object) -> None:
    def answer() -> None:
        server.faults.append(Fault("status", status=200, document=document, where="api"))

    answer()
    with pytest.raises(OfflineError):
        hub.latest_commit("user/repo")
    if document is not None:
        answer()
        assert hub.list_files("user/repo") == []
        answer()
        assert hub.search("x") in ([], [hub.Found("a/b", 0, False, (), None, None)])


def test_an_invalid_hash_is_ignored(server: HubServer) -> None:
    file = {"rfilename": "m.gguf", "size": 5, "lfs": {"sha256": "../../../x"}}
    server.faults.append(Fault("status", status=200, document={"siblings": [file]}, where="api"))
    assert hub.list_files("user/repo") == [hub.RemoteFile("m.gguf", 5, None)]


def test_a_link_out_of_the_cache_is_refused(server: HubServer, report: Recorder, tmp_path: Path) -> None:
    commit = server.put("user/repo", "folder/m.gguf", DATA)
    outside = tmp_path / "outside"
    outside.mkdir()
    snapshot = tmp_path / "hub/models--user--repo/snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "folder").symlink_to(outside)
    with pytest.raises(ModelNotFound, match="leads out of"):
        pull(report, "folder/m.gguf")
    assert list(outside.iterdir()) == []
    assert server.served == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Repo-Commit": "../../../../tmp/x"},
        {"X-Linked-Etag": '"../../x"'},
        {"X-Linked-Etag": '"' + "a" * 500 + '"'},
        {"X-Linked-Size": "-5"},
        {"X-Linked-Size": "many"},
        {"X-Linked-Size": ""},
        {"Location": "file:///etc/passwd"},
        {"Location": "http://[::1"},
    ],
    ids=str,
)
def test_hostile_headers_are_refused(server: HubServer, report: Recorder, headers: dict[str, str]) -> None:
    sound = {
        "X-Repo-Commit": server.repos["user/repo"].head,
        "X-Linked-Etag": f'"{etag_of(DATA)}"',
        "X-Linked-Size": str(len(DATA)),
        "Location": f"{server.cdn}/user/repo/x/m.gguf?signature=1",
    }
    server.faults.append(Fault("status", "HEAD", 302, sound | headers))
    with pytest.raises(OfflineError):
        pull(report)
    assert server.served == 0
