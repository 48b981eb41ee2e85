"""`gptcli cache`, and which commands save a prefix."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from shell import Outcome, Shell, call
from tiny_gpt2 import write_tiny_gpt2

from gptcli.engine.prefix_cache import list_prefixes
from gptcli.settings import prefix_cache_dir

STORY = "Once upon a time there was a king who had three daughters; the first counted the stars, " * 4
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "


@pytest.fixture(scope="session")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gpt2(tmp_path_factory.mktemp("chatty") / "chatty.gguf", chat_template=TEMPLATE)


def complete(model: Path, *more: object, prompt: str = STORY) -> Outcome:
    outcome = call("complete", "-m", model, "-n", 8, "--temp", 0, "--stats", "--no-stdin", *more, prompt)
    assert outcome.code == 0
    return outcome


def reused(outcome: Outcome) -> int:
    return int(outcome.err.partition(" reused")[0].rpartition(" ")[2])


def test_complete_saves_its_prompt_with_cache_prompt(tiny: Path) -> None:
    first = complete(tiny)
    assert reused(complete(tiny)) == 0
    assert not prefix_cache_dir().exists()
    kept = complete(tiny, "--cache-prompt")
    assert reused(kept) == 0
    again = complete(tiny)
    assert reused(again) > 64
    assert first.out == kept.out == again.out
    assert len(list_prefixes(prefix_cache_dir())) == 1


def test_another_process_finds_the_prefix(shell: Shell, tiny: Path) -> None:
    command = ["complete", "-m", tiny, "-n", 8, "--temp", 0, "--stats", "--cache-prompt", STORY]
    first, second = shell.run(*command), shell.run(*command)
    assert (first.code, second.code) == (0, 0)
    assert (reused(first) == 0, reused(second) > 64) == (True, True)
    assert first.out == second.out


def test_a_short_prompt_is_not_saved(tiny: Path) -> None:
    complete(tiny, "--cache-prompt", prompt="Once upon a time")
    assert not prefix_cache_dir().exists()


def test_a_saved_chat_saves_its_prefix(chatty: Path) -> None:
    ask = ["chat", "-m", chatty, "-n", 8, "--temp", 0, "--stats", "--no-stdin"]
    assert call(*ask, "--no-save", STORY).code == 0
    assert not prefix_cache_dir().exists()
    first = call(*ask, STORY)
    assert (first.code, reused(first)) == (0, 0)
    resumed = call(*ask, "-c", "And then?", tty="err")
    assert resumed.code == 0
    count = reused(resumed)
    assert count > 64
    assert f"{count:,} of " in resumed.err
    (kept,) = list_prefixes(prefix_cache_dir())  # the longer one has replaced the shorter
    assert len(kept.tokens) > count


def test_a_full_disk_does_not_fail_the_command(tiny: Path) -> None:
    prefix_cache_dir().parent.mkdir(parents=True)
    prefix_cache_dir().write_text("in the way")
    outcome = call("complete", "-m", tiny, "-n", 8, "--cache-prompt", "--no-stdin", STORY, tty="err")
    assert outcome.code == 0
    assert outcome.out
    assert "could not be saved" in outcome.err


def test_list_in_a_pipe_and_on_a_terminal(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    complete(tiny, "--cache-prompt", prompt=STORY)
    complete(tiny, "--cache-prompt", prompt="The tale: " + STORY)
    for kept in list_prefixes(prefix_cache_dir()):
        used = 1e9 if kept.text.startswith("Once") else 2e9
        os.utime(kept.path, (used, used))
    lines = call("cache", "list").text.splitlines()
    assert [line.split("\t")[2:4] for line in lines] == [
        ["2033-05-18T03:33:20+00:00", "tiny"],
        ["2001-09-09T01:46:40+00:00", "tiny"],
    ]
    records = json.loads(call("cache", "list", "--json").out)
    assert [line.split("\t")[:2] for line in lines] == [[str(one["tokens"]), str(one["bytes"])] for one in records]
    assert records[0]["text"].startswith("The tale: Once upon a time there was")
    assert records[0]["bytes"] == os.stat(records[0]["path"]).st_size
    table = call("cache", "list", tty="in out err").text.splitlines()
    assert table[0].split() == ["TOKENS", "SIZE", "USED", "MODEL", "TEXT"]
    assert " kB  2033-05-18 " in table[1]
    assert "Once upon a time" in table[2]


def test_clear_and_the_empty_list(tiny: Path) -> None:
    complete(tiny, "--cache-prompt")
    assert call("cache", "clear", tty="err").err.startswith("\x1b[2mDeleted 7")
    assert list_prefixes(prefix_cache_dir()) == []
    assert call("cache", "list").out == b""
    assert json.loads(call("cache", "list", "--json").out) == []
    assert "--cache-prompt" in call("cache", "list", tty="err").err
    assert call("cache", "clear").code == 0
    assert reused(complete(tiny)) == 0
