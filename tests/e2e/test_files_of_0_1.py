"""Conversations, the model store and the prefix cache that gptcli 0.1 left behind are read and gone on with."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from files_of_0_1 import (
    FACTS,
    FILES,
    LLAMA,
    OldHome,
    expected,
    lay_out,
    library_facts,
    prefix_of,
    stripes,
    tokens_of,
    with_facts_of_this_machine,
)
from hub_server import HubServer
from screen import CTRL_D, Screen
from shell import Outcome, Shell, call

BLOCK = 1 << 20
"""What a download has on record as one: the killed one had its first block."""
ON_CPU = ("--device", "cpu", "-t", 1, "--no-stdin", "--format", "json")
SAME_LLAMA_CPP = importlib.metadata.version("llama-cpp-python") == FACTS["llama_cpp"]
NAMED, INTERRUPTED = [chat["id"] for chat in expected("chats")]


@pytest.fixture
def old(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> OldHome:
    """The home folder of somebody who has used 0.1, without a network."""
    home = lay_out(tmp_path, tiny)
    for name, value in {**home.variables, "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    return home


def run(*arguments: object, code: int = 0) -> Outcome:
    outcome = call(*arguments)
    assert outcome.code == code, outcome.err
    return outcome


def of(*arguments: object) -> Any:
    """The JSON that a command prints."""
    return json.loads(run(*arguments).out)


# ---- conversations


def test_conversations_are_listed(old: OldHome) -> None:
    assert of("chats", "list", "--json") == expected("chats")
    lines = run("chats", "list").text.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [[NAMED, "the sea"], [INTERRUPTED, ""]]


@pytest.mark.parametrize("chat", [NAMED, INTERRUPTED])
def test_conversations_are_exported_with_all_branches_and_settings(old: OldHome, chat: str) -> None:
    assert of("chats", "export", "--format", "json", chat) == expected(chat)


def test_a_conversation_is_shown_by_its_name_and_found_by_its_words(old: OldHome) -> None:
    messages = {message["id"]: message for message in expected(NAMED)["messages"]}
    path, turn = [], expected(NAMED)["leaf"]
    while turn is not None:
        path.insert(0, messages[turn])
        turn = messages[turn]["parent"]
    assert of("chats", "show", "The Sea", "--json")["messages"] == path
    assert len(path) < len(messages)
    with closing(sqlite3.connect(old.data / "conversations.db")) as db:
        contents = dict(db.execute("SELECT id, CAST(content AS BLOB) FROM messages"))
    page = run("chats", "show", "the sea").out
    assert page.startswith(b"# the sea\n")
    assert all(contents[message["id"]] in page for message in path)  # also an answer that is no UTF-8
    assert b"moon" not in page
    (hit,) = of("chats", "search", "moon", "--json")
    assert hit["conversation"] == NAMED


def test_a_conversation_goes_on_with_its_own_model(old: OldHome) -> None:
    before = expected(NAMED)
    answer = of("chat", "--chat", "the sea", "-n", 4, *ON_CPU, "And now?")
    assert answer["model"] == "tiny"
    after = of("chats", "export", "--format", "json", "the sea")
    assert after["messages"][:-2] == before["messages"]
    question, reply = after["messages"][-2:]
    assert (question["parent"], question["content"]) == (before["leaf"], "And now?")
    assert (reply["parent"], reply["model"], after["leaf"]) == (question["id"], "tiny", reply["id"])
    assert [chat["id"] for chat in of("chats", "list", "--json")] == [NAMED, INTERRUPTED]
    assert of("chats", "search", "now", "--json")[0]["conversation"] == NAMED


def test_an_interrupted_answer_is_continued_in_its_place(old: OldHome) -> None:
    *_, before = expected(INTERRUPTED)["messages"]
    assert (before["finish_reason"], bool(before["reasoning"])) == ("cancelled", True)
    shell = Shell(old.root / "home", **old.variables)
    with Screen(shell, "chat", "--chat", INTERRUPTED, "--device", "cpu", "-t", 1, "-n", 4) as screen:
        screen.ask("/continue")
        screen.send(CTRL_D)
        assert screen.finish() == 0
    question, after = of("chats", "export", "--format", "json", INTERRUPTED)["messages"]
    assert question == expected(INTERRUPTED)["messages"][0]
    assert (after["id"], after["reasoning"]) == (before["id"], before["reasoning"])
    assert after["content"].startswith(before["content"])
    assert after["usage"]["completion_tokens"] == before["usage"]["completion_tokens"] + 4


def test_a_file_of_the_first_schema_is_brought_up_to_date(old: OldHome) -> None:
    path = old.data / "conversations.db"
    path.write_bytes((FILES / "data/conversations-schema-1.db").read_bytes())
    (listed,) = of("chats", "list", "--json")
    assert (listed["id"], listed["name"], listed["title"], listed["messages"]) == ("old234", "old", "Is it cold?", 2)
    question, answer = of("chats", "show", "old", "--json")["messages"]
    assert (question["id"], question["role"], question["content"]) == ("a", "user", "Is it cold?")
    assert (answer["content"], answer["finish_reason"], answer["sampling"]) == ("Very.", "stop", {"seed": 1})
    assert answer["usage"] == {"prompt_tokens": 9, "completion_tokens": 2}
    of("chat", "--chat", "old", "-n", 4, *ON_CPU, "Why?")
    assert [turn["id"] for turn in of("chats", "show", "old", "--json")["messages"][:2]] == ["a", "b"]
    assert of("chats", "search", "cold", "--json")[0]["conversation"] == "old234"
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# ---- models


def test_stored_models_are_listed(old: OldHome) -> None:
    then = json.loads(old.moved(json.dumps(expected("models"))))
    now = of("models", "list", "--json")
    assert [{**one, "last_used": ""} for one in now] == [{**one, "last_used": ""} for one in then]


def test_what_was_read_of_a_model_is_not_read_again(old: OldHome) -> None:
    """Shown by a summary that is changed: nothing but this file can have told it."""
    headers = old.cache / "headers.json"
    text = headers.read_text()
    assert text.count('"context_length": 512') == 2
    headers.write_text(text.replace('"context_length": 512', '"context_length": 513'))
    assert [model["context_length"] for model in of("models", "list", "--json")] == [513] * 3


def test_aliases_and_the_default_are_kept(old: OldHome) -> None:
    own = str(old.data / "models/tiny.gguf")
    lines = run("models", "alias").text.splitlines()
    assert lines == [f"nonsense\t{own}", "pulled\tuser/tiny-GGUF:F32", f"tiny\t{own}"]
    assert run("models", "default").text == "nonsense\n"
    run("models", "alias", "another", "nonsense")
    run("models", "default", "pulled")
    assert len(run("models", "alias").text.splitlines()) == 4
    assert run("models", "default").text == "pulled\n"


def test_models_are_found_by_every_name(old: OldHome) -> None:
    own = old.data / "models/tiny.gguf"
    (pulled,) = old.hub.glob("models--user--tiny-GGUF/snapshots/*/tiny-F32.gguf")
    names = {"tiny": own, "nonsense": own, "pulled": pulled, "user/tiny-GGUF": pulled, "user/tiny-GGUF:F32": pulled}
    assert {name: run("models", "path", name).text for name in names} == {n: f"{path}\n" for n, path in names.items()}
    run("models", "verify")


def test_a_checked_model_is_not_checked_again(old: OldHome) -> None:
    """Who checks a model writes the list of them anew, without files that are gone; this one has such a file."""
    verified = (old.cache / "verified.json").read_bytes()
    assert f"{FACTS['home']}/Downloads".encode() in verified
    assert of("complete", "-n", 2, *ON_CPU, "Once")["model"] == "tiny"
    before, after = json.loads(verified), json.loads((old.cache / "verified.json").read_bytes())
    assert {name: entry[:3] for name, entry in after.items()} == before
    assert [len(entry) for entry in after.values()].count(4) == 1  # this version samples what it loads
    os.utime(old.data / "models/tiny.gguf")
    run("complete", "-n", 2, *ON_CPU, "Once")
    assert (old.cache / "verified.json").read_bytes() != verified


def test_a_killed_download_goes_on_where_it_was(old: OldHome, tiny: Path) -> None:
    data = stripes()
    with HubServer() as server:
        server.put("user/stripes-GGUF", "stripes-F32.gguf", data)
        server.put("user/tiny-GGUF", "tiny-F32.gguf", tiny.read_bytes())
        shell = Shell(old.root / "home", **old.variables, HF_ENDPOINT=server.endpoint)
        outcome = shell.run("models", "pull", "user/stripes-GGUF", "user/tiny-GGUF")
        assert outcome.code == 0, outcome.err
        assert server.served == len(data) - BLOCK
    path = Path(run("models", "path", "user/stripes-GGUF").text.rstrip("\n"))
    assert path.read_bytes() == data
    assert not list(old.hub.rglob("*gptcli-part*"))


# ---- computed prefixes


def reused(outcome: dict[str, Any]) -> int:
    return outcome["usage"]["prompt_tokens_details"]["cached_tokens"]


def continue_story() -> tuple[int, str]:
    """Tokens of the story that come from the cache, with the model that 0.1 had from the hub; and the next few."""
    answer = of("complete", "-m", "pulled", "-n", 4, "--temp", 0, *ON_CPU, FACTS["story"])
    return reused(answer), answer["choices"][0]["text"]


def test_computed_prefixes_are_listed_and_cleared(old: OldHome) -> None:
    then = json.loads(old.moved(json.dumps(expected("cache"))))
    now = of("cache", "list", "--json")
    by_path = {one["path"]: {**one, "used": ""} for one in then}
    assert {one["path"]: {**one, "used": ""} for one in now} == by_path
    run("cache", "clear")
    assert list((old.cache / "prefixes").iterdir()) == []


@pytest.mark.parametrize("change", [0, 1])
def test_a_prefix_of_a_verified_model_has_the_key_that_it_had(
    old: OldHome, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    """The file as 0.1 wrote it, and llama.cpp's build and the CPU as they were then; then a build of another time."""
    path, status, _ = library_facts()
    size, changed, features = FACTS["library"]
    real = os.stat

    def stat(file: Any, *arguments: Any, **more: Any) -> Any:
        if file == path:
            return SimpleNamespace(st_mode=status.st_mode, st_size=size, st_mtime_ns=changed + change)
        return real(file, *arguments, **more)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(LLAMA, "llama_print_system_info", features.encode)
    file = old.cache / "prefixes" / prefix_of("user/tiny-GGUF:F32").name
    count, text = continue_story()
    if change:
        assert (count, file.exists()) == (0, True)
    elif SAME_LLAMA_CPP:
        assert count == len(tokens_of(file)) - 1
    else:
        assert count or not file.exists()  # found; a state that llama.cpp refuses is thrown away
    run("cache", "clear")
    assert continue_story() == (0, text)


@pytest.mark.skipif(not SAME_LLAMA_CPP, reason="another llama.cpp may refuse the state")
def test_a_prefix_of_a_file_known_by_its_path_has_the_key_that_it_had(old: OldHome) -> None:
    """Today's facts in the key of 0.1, and gptcli as a program of its own, which computes its key from those facts."""
    folder = old.cache / "prefixes"
    shutil.rmtree(folder)
    folder.mkdir()
    name, data = with_facts_of_this_machine(prefix_of("tiny").read_bytes(), old)
    (folder / name).write_bytes(data)
    shell = Shell(old.root / "home", **old.variables)
    outcome = shell.run("chat", "--chat", "the sea", "-n", 2, "--no-save", *ON_CPU, "So?")
    assert outcome.code == 0, outcome.err
    assert reused(json.loads(outcome.out)) >= expected(NAMED)["messages"][-1]["usage"]["prompt_tokens"] > 64
    assert [path.name for path in folder.iterdir()] == [name]
