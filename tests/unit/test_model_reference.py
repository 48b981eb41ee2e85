"""Model references: every form that users paste, and names that must never lead out of the cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.errors import ModelNotFound
from gptcli.models.refs.reference import AliasReference, HubReference, PathReference, parse
from gptcli.models.store import store

_NAME = st.from_regex(r"[A-Za-z0-9_](?:[A-Za-z0-9._]{0,10}[A-Za-z0-9_])?", fullmatch=True).filter(
    lambda name: ".." not in name and not name.endswith(".git") and not name.lower().endswith(".gguf")
)
_REPO = st.builds("{}/{}".format, _NAME, _NAME)
_STEP = st.from_regex(r"[A-Za-z0-9_ ()+-]{0,8}[A-Za-z0-9_]", fullmatch=True)
_FILE = st.builds(lambda steps: "/".join(steps) + ".gguf", st.lists(_STEP, min_size=1, max_size=3))
_TAG = st.from_regex(r"[A-Z0-9](?:[A-Z0-9_-]{0,8}[A-Z0-9])?", fullmatch=True)
_HUB = st.one_of(
    st.builds(HubReference, _REPO),
    st.builds(HubReference, _REPO, file=_FILE),
    st.builds(HubReference, _REPO, tag=_TAG),
    st.builds(HubReference, _REPO, file=_FILE, revision=st.sampled_from(["v1", "refs/pr/3", "a" * 40])),
    st.builds(HubReference, _REPO, revision=st.sampled_from(["v1", "refs/pr/3", "a" * 40])),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smollm2", AliasReference("smollm2")),
        ("gpt-oss:20b", AliasReference("gpt-oss:20b")),
        ("user/repo", HubReference("user/repo")),
        ("user/repo:Q4_K_M", HubReference("user/repo", tag="Q4_K_M")),
        ("user/repo:q4_k_m", HubReference("user/repo", tag="q4_k_m")),
        ("user/repo:sub/file-Q8_0.gguf", HubReference("user/repo", file="sub/file-Q8_0.gguf")),
        ("user/repo.gguf:Q8_0", HubReference("user/repo.gguf", tag="Q8_0")),
        ("hf:user/repo", HubReference("user/repo")),
        ("hf://user/repo:Q8_0", HubReference("user/repo", tag="Q8_0")),
        ("hf://user/repo/x.gguf", HubReference("user/repo", file="x.gguf")),
        ("hf.co/user/repo", HubReference("user/repo")),
        ("hf.co/user/repo:Q8_0", HubReference("user/repo", tag="Q8_0")),
        ("huggingface.co/user/repo/", HubReference("user/repo")),
        ("https://huggingface.co/user/repo", HubReference("user/repo")),
        ("https://huggingface.co/user/repo/tree/main", HubReference("user/repo")),
        ("https://huggingface.co/user/repo/blob/main/x.gguf", HubReference("user/repo", file="x.gguf")),
        ("https://hf.co/user/repo/resolve/main/a/x.gguf?download=true", HubReference("user/repo", file="a/x.gguf")),
        ("https://huggingface.co/user/repo?show_file_info=x.gguf", HubReference("user/repo", file="x.gguf")),
        ("https://huggingface.co/u/r/blob/v2/x%20y.gguf", HubReference("u/r", file="x y.gguf", revision="v2")),
        ("https://hub.test/api/u/r/blob/main/x.gguf", HubReference("u/r", file="x.gguf")),
        ("./user/repo", PathReference("./user/repo")),
        ("/models/x.gguf", PathReference("/models/x.gguf")),
        ("~/x.gguf", PathReference("~/x.gguf")),
        ("x.gguf", PathReference("x.gguf")),
        ("models/x.gguf", PathReference("models/x.gguf")),
        ("C:\\models\\x.gguf", PathReference("C:\\models\\x.gguf")),
        ("  smollm2 ", AliasReference("smollm2")),
    ],
)
def test_every_form_is_parsed(text: str, expected: object) -> None:
    assert parse(text, endpoint="https://hub.test/api") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "a\0b",
        "a\x1b[2Jb",
        "user/repo:",
        "user/repo:../x.gguf",
        "user/repo:a/../../x.gguf",
        "user/repo:/etc/x.gguf",
        "hf://user/repo/../x.gguf",
        "hf:user",
        "https://example.org/user/repo",
        "https://huggingface.co/user",
        "https://huggingface.co/user/repo/discussions/1",
        "https://huggingface.co/user/repo/blob/main/%2e%2e/%2e%2e/x.gguf",
        "https://huggingface.co/../../blob/main/x.gguf",
        "https://[::1",
    ],
)
def test_invalid_references_are_refused(text: str) -> None:
    with pytest.raises(ModelNotFound):
        parse(text)


@given(_HUB)
def test_a_hub_reference_survives_a_round_trip(reference: HubReference) -> None:
    assert parse(str(reference)) == reference


@given(_REPO, _FILE)
def test_a_file_in_every_form(repo: str, file: str) -> None:
    from urllib.parse import quote

    routes = [
        f"{repo}:{file}",
        f"hf:{repo}:{file}",
        f"hf://{repo}/{file}",
        f"hf.co/{repo}/resolve/main/{quote(file)}",
        f"https://huggingface.co/{repo}/blob/main/{quote(file)}?not-for-all-audiences=true",
    ]
    assert {parse(route) for route in routes} == {HubReference(repo, file=file)}


@given(st.text(max_size=40) | st.from_regex(r"(hf:|https://hf\.co/)?[a-z]{1,3}/[a-z./\\:%-]{1,20}", fullmatch=True))
def test_no_text_crashes_or_leads_out_of_the_cache(text: str) -> None:
    try:
        reference = parse(text)
    except ModelNotFound:
        return
    if isinstance(reference, HubReference):
        folder = store.repo_dir(reference.repo)
        inside = store.snapshot_path(reference.repo, "c" * 40, reference.file or "x.gguf")
        assert ".." not in inside.parts
        assert inside.is_relative_to(folder)
