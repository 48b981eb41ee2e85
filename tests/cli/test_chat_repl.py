"""The slash commands of the REPL, in this process, on the tiny model and a dumb terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Outcome, call
from tiny_gpt2 import write_tiny_gpt2

from gptcli.chat.commands import COMMANDS
from gptcli.chat.conversation import Conversation
from gptcli.chat.store import Store

NAMES = [name for command in COMMANDS for name in command.names]
SEEDED = ("--seed", "1", "-n", "6")
Repl = Callable[..., Outcome]


@pytest.fixture
def repl(tiny: Path) -> Repl:
    """Lines typed one after the other, and Ctrl-D."""

    def run(*lines: str, flags: tuple = SEEDED, model: Path = tiny) -> Outcome:
        typed = "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")
        return call("chat", "-m", model, "-t", "1", *flags, stdin=typed, tty="in out err", environment={"TERM": "dumb"})

    return run


def stored() -> Conversation:
    """The conversation used last."""
    with Store() as store:
        found = store.last()
    assert found is not None
    return found


def texts() -> list[str]:
    return [turn.content for turn in stored().path()]


def outputs(outcome: Outcome) -> list[str]:
    """The output after each prompt."""
    assert outcome.code == 0
    return [part.rstrip("\n") for part in outcome.text.split(">>> ")[1:]]


def test_every_turn_is_saved(repl: Repl) -> None:
    outcome = repl("one", "two")
    assert texts()[::2] == ["one", "two"]
    assert f"gptcli chat --chat {stored().id}" in outcome.err


def test_every_way_to_leave(repl: Repl) -> None:
    for command in ("/bye", "/exit", ""):
        assert repl(command).code == 0
        assert repl(command, "one").code == 0
    assert texts()[0] == "one"  # only after the empty line


def test_a_block_is_one_message(repl: Repl) -> None:
    repl('"""one', "  two", "", 'three"""')
    assert texts()[0] == "one\n  two\n\nthree"
    repl('/set system """Be', 'brief."""', "x")
    assert texts()[:2] == ["Be\nbrief.", "x"]
    repl('/system """Be', 'long."""', "x")
    assert texts()[:2] == ["Be\nlong.", "x"]


@pytest.mark.parametrize("typed", ["/foo", "/foo bar", " /foo", "/etc/passwd is what?", "/"])
def test_an_unknown_command_is_never_sent(repl: Repl, typed: str) -> None:
    outcome = repl(typed)
    assert f"There is no command {typed.split()[0]}; nothing was sent." in outcome.err
    with Store() as store:
        assert store.summaries() == []


def test_the_nearest_command_is_named(repl: Repl) -> None:
    assert "Did you mean /retry" in repl("/rety").err


def test_two_slashes_send_a_message_with_one(repl: Repl) -> None:
    repl("//etc/hosts is what?")
    assert texts()[0] == "/etc/hosts is what?"


def test_invalid_utf8_is_kept(repl: Repl) -> None:
    repl("caf\udce9")
    assert texts()[0] == "caf\udce9"


def test_help_lists_every_command(repl: Repl) -> None:
    for asked in ("/help", "/?"):
        shown = repl(asked).text
        assert all(name in shown for name in NAMES)
    assert "/set parameter" in repl("/help set").text
    assert "parameters" in repl("/help show").text


def test_every_command_works_without_messages(repl: Repl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    for name in NAMES:
        assert repl(name).code == 0, name
    with Store() as store:
        assert store.summaries() == []


def test_every_command_works_after_a_message(repl: Repl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.setenv("PATH", "")  # not the clipboard of the person who runs the tests
    for name in NAMES:
        assert repl("Hello", name).code == 0, name


def test_retry_undo_and_edit_keep_all_branches(repl: Repl) -> None:
    outcome = repl("one", "/retry", "/edit two", "/branches", "/undo", "three", "/branches")
    assert texts()[0] == "three"
    assert [path[0].content for path in stored().branches()] == ["one", "one", "two", "three"]
    assert outcome.text.count("\n* ") == 2
    assert "Back to before: two" in outcome.err


def test_edit_without_a_text_opens_the_editor(repl: Repl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf ' and two\\n' >> \"$1\"\n")
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", f"{editor}")
    repl("one", "/edit")
    assert texts()[0] == "one and two"
    monkeypatch.setenv("EDITOR", "false")
    assert "The editor false failed" in repl("one", "/edit").err
    assert texts()[0] == "one"


def test_branch_and_goto_take_any_message(repl: Repl) -> None:
    repl("one", "two", "three")
    whole = stored()
    first = whole.path()[1]
    outcome = repl(f"/branch {first.id[:8]}", "other", flags=(*SEEDED, "-c"))
    assert [turn.content for turn in stored().path()][2] == "other"
    assert whole.path()[-1].content in [path[-1].content for path in stored().branches()]
    repl(f"/goto {whole.leaf}", "/branch", "four", flags=(*SEEDED, "-c"))
    assert texts()[::2] == ["one", "two", "four"]
    assert "No message id" in repl("/goto zzz", flags=(*SEEDED, "-c")).err
    assert outcome.code == 0


def test_last_shows_the_ids_for_goto(repl: Repl) -> None:
    repl("one")
    outcome = repl("/last 2", flags=(*SEEDED, "-c"))
    for turn in stored().path():
        assert f"[{turn.id[:8]}]" in outcome.text
    for wrong in ("x", "0", "-1", "²"):
        assert "takes a number" in repl(f"/last {wrong}").err


def test_continue_extends_the_answer(repl: Repl) -> None:
    whole = repl("one", flags=("--temp", "0", "-n", "12"))
    long = texts()[1]
    outcome = repl("one", "/continue", flags=("--temp", "0", "-n", "6"))
    assert texts() == ["one", long]
    assert "Stopped" not in outcome.err
    assert outcome.err.count("Cut off (length); /continue continues the answer.") == 2
    assert "/continue continues the answer" in whole.err


def test_an_empty_answer_is_reported(repl: Repl) -> None:
    assert "The answer is empty; /retry" in repl("one", flags=("--grammar", 'root ::= ""')).err


def test_a_resumed_conversation_is_shown(repl: Repl) -> None:
    repl("one", "two")
    outcome = repl(flags=(*SEEDED, "-c"))
    assert ">>> one" in outcome.text
    assert ">>> two" in outcome.text
    call("chats", "rename", stored().id, "mine")
    assert ">>> two" in repl(flags=(*SEEDED, "--chat", "mine")).text


def test_saving_naming_and_loading(repl: Repl) -> None:
    repl("one", "/save first", "/new", "two", "/rename second", "/load first", "more")
    assert (stored().name, texts()[::2]) == ("first", ["one", "more"])
    outcome = repl("/list", "/search two", "/load second", "/load nothing")
    assert re.search(r"first: one", outcome.text)
    assert re.search(r"second  [0-9a-f]{8}  user: two", outcome.text)
    assert "nothing" in outcome.err
    taken = repl("x", "/rename first")
    assert "is already called 'first'" in taken.err


@pytest.mark.parametrize(("name", "export"), [("notes/x.md", "md notes/x.md"), ("x.json", "json x.json")])
def test_a_name_that_looks_like_a_file_gets_a_hint(repl: Repl, name: str, export: str) -> None:
    outcome = repl("one", f"/save {name}")
    assert stored().name == name
    assert f"That is the conversation's name; /export {export} writes a file." in outcome.err
    assert "/export" not in repl("one", "/save version 1.2").err


def test_save_works_with_no_save(repl: Repl) -> None:
    flags = (*SEEDED, "--no-save")
    outcome = repl("one", "/rename mine", flags=flags)
    assert "is not being saved" in outcome.err
    with Store() as store:
        assert store.summaries() == []
    repl("one", "/save mine", "two", flags=flags)
    assert (stored().name, texts()[::2]) == ("mine", ["one", "two"])


def test_clear_keeps_the_system_message_and_new_does_not(repl: Repl) -> None:
    repl("/system Be brief.", "one", "/clear", "two")
    assert texts()[:2] == ["Be brief.", "two"]
    repl("/system Be brief.", "one", "/new", "two", "/system")
    assert texts()[0] == "two"
    assert "There is no system message" in repl("/system").text


def test_model_changes_the_model_and_a_missing_one_changes_nothing(repl: Repl, tmp_path: Path, tiny: Path) -> None:
    other = write_tiny_gpt2(tmp_path / "other.gguf", seed=5)
    outcome = repl("one", f"/model {other}", "/model", "two", "/model nope", "/model /nope.gguf", "/model", "three")
    assert outcome.text.count("\nother\n") + outcome.text.count(">>> other\n") == 2
    assert "No model is called 'nope'" in outcome.err
    assert "There is no file /nope.gguf" in outcome.err
    assert [turn.model for turn in stored().path()[1::2]] == [str(tiny), str(other), str(other)]


def test_settings_apply_to_the_next_answer(repl: Repl) -> None:
    outcome = repl(
        "/set parameter num_predict 3",
        "/set parameter temperature 0",
        '/set parameter stop "a b" QQ',
        "/set parameter seed 7",
        "/set overflow oldest",
        "/set think low",
        "/show parameters",
        "/set verbose",
        "one",
        flags=(),
    )
    shown = outcome.text
    for line in ("temperature* +0.0", "max_tokens +3", "stop +'a b' 'QQ'", "seed* +7", "overflow +oldest"):
        assert re.search(line.replace("*", r"\*"), shown), line
    assert re.search("reasoning_effort +low", shown)
    assert "decode:  3 tokens" in shown
    assert stored().path()[1].sampling == {"temperature": 0.0, "seed": 7}


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("/set parameter top_p 2", "top_p must be a number from 0 to 1, not 2"),
        ("/set parameter temperature nan", "temperature must be a number of at least 0, not nan"),
        ("/set parameter temperature warm", "temperature must be a number of at least 0, not 'warm'"),
        ("/set parameter top_k 1.5", "top_k must be a whole number of at least -1, not '1.5'"),
        ("/set parameter repeat_penalty 0", "repeat_penalty must be a number of at least 0.01, not 0"),
        ("/set parameter seed 18446744073709551616", "seed must be"),
        ("/set parameter warmth 1", "There is no parameter warmth"),
        ("/set parameter temperature", "needs a name and a value"),
        ("/set parameter", "needs a name and a value"),
        ('/set parameter stop "a', "has an unclosed quote"),
        ("/set parameter num_ctx 4096", "The context grows as needed"),
        ("/set sail", "There is no setting sail"),
        ("/set overflow panic", "There is no setting overflow panic"),
        ("/set quiet please", "There is no setting quiet please"),
        ("/show off", "/show cannot show off"),
        ("/export pdf", "There is no export format pdf"),
        ("/file /no/such", "No file matches /no/such"),
        ("/search", "An argument is missing: /search WORDS"),
    ],
)
def test_a_bad_command_is_an_error_and_the_chat_goes_on(repl: Repl, typed: str, answer: str) -> None:
    outcome = repl(typed, "one")
    assert answer in outcome.err
    assert texts()[0] == "one"


def test_files_are_attached_to_the_next_message_only(
    repl: Repl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        Path(name).write_text(f"I am {name}\n")
    outcome = repl("/file *.txt", "What is this?", "And?")
    assert "a.txt, b.txt (22 characters)" in outcome.err
    assert texts()[0] == "a.txt:\n```\nI am a.txt\n```\n\nb.txt:\n```\nI am b.txt\n```\n\nWhat is this?"
    assert texts()[2] == "And?"


def test_a_refused_message_is_not_lost(repl: Repl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("long.txt").write_text("word " * 600)
    # refused for its length; then an empty line sends it again, with its file; then the file is taken out
    outcome = repl("/file long.txt", "What?", "", "/file", "Hello")
    assert outcome.err.count("the context holds 512") == 2
    assert outcome.err.count("Your message was kept; press Enter to send it again.") == 2
    assert texts()[0] == "Hello"


@pytest.mark.parametrize(
    ("choice", "notice"), [("o", "no longer sees the 2 oldest"), ("s", "is summarizing them"), ("n", "")]
)
def test_the_user_is_asked_about_a_full_context(repl: Repl, choice: str, notice: str) -> None:
    long = "word " * 60
    outcome = repl(long, long, choice, "/context", flags=("--temp", "0", "-n", "4"))
    assert "The conversation has" in outcome.err
    assert "Leave out the [o]ldest messages" in outcome.text
    assert notice in outcome.err
    assert len(texts()) == (4 if notice else 2)
    assert ("The 2 oldest messages were left out of the last prompt." in outcome.text) == bool(notice)


def test_export_overwrites_no_file(repl: Repl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = repl("one", "/export md", "/export json chat.json", "/export md chat.json")
    assert "## User\n\none" in outcome.text
    written = Path("chat.json").read_text(encoding="utf-8", errors="surrogateescape")
    assert [turn["content"] for turn in json.loads(written)["messages"]] == texts()
    assert "chat.json cannot be written: File exists" in outcome.err


def test_tokens_context_stats_and_template(repl: Repl) -> None:
    shown = outputs(repl("/tokens one two", "one", "/tokens", "/context", "/stats", "/show info", "/template"))
    assert re.fullmatch(r"\d tokens", shown[0])
    assert re.fullmatch(r"\d+ tokens so far", shown[2])
    assert re.match(r"\d+ of 512 tokens \(\d+%\)\n", shown[3])
    assert {"user", "assistant", "template"} <= set(shown[3].split())
    assert "decode:  6 tokens" in shown[4]
    assert "context: 512 tokens" in shown[5]
    assert "ChatML is used" in shown[6]


def test_another_turn_computes_only_new_tokens(repl: Repl) -> None:
    shown = repl("/set verbose", "one", "two", "/retry").text
    first, second, third = [list(map(int, pair)) for pair in re.findall(r"prompt:  (\d+) tokens, (\d+) reused", shown)]
    assert second[1] >= first[0]
    assert third == [second[0], second[0] - 1]


def test_a_dumb_terminal_gets_no_escape_sequence(repl: Repl) -> None:
    outcome = repl("**one**", "/help", "/context", "/branches")
    assert "\x1b" not in outcome.text + outcome.err
