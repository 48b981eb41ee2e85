"""The REPL in this process, on the tiny model and a terminal that can only print lines: what each command does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Outcome, call
from tiny_gpt2 import write_tiny_gpt2

from gptcli.chat import commands
from gptcli.chat.conversation import Conversation
from gptcli.chat.store import Store

SEEDED = ("--seed", "1", "-n", "6")
Repl = Callable[..., Outcome]


@pytest.fixture
def talk(tiny: Path) -> Repl:
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


def said(outcome: Outcome) -> list[str]:
    """What came after each prompt."""
    assert outcome.code == 0
    return [part.rstrip("\n") for part in outcome.text.split(">>> ")[1:]]


def test_a_talk_is_saved_as_it_goes(talk: Repl) -> None:
    outcome = talk("one", "two")
    assert texts()[::2] == ["one", "two"]
    assert f"gptcli chat --chat {stored().id}" in outcome.err


def test_leaving_in_every_way(talk: Repl) -> None:
    for command in ("/bye", "/exit", ""):
        assert talk(command).code == 0
        assert talk(command, "one").code == 0
    assert texts()[0] == "one"  # only after the empty line


def test_a_block_is_one_message(talk: Repl) -> None:
    talk('"""one', "  two", "", 'three"""')
    assert texts()[0] == "one\n  two\n\nthree"
    talk('/set system """Be', 'brief."""', "x")
    assert texts()[:2] == ["Be\nbrief.", "x"]
    talk('/system """Be', 'long."""', "x")
    assert texts()[:2] == ["Be\nlong.", "x"]


@pytest.mark.parametrize("typed", ["/foo", "/foo bar", " /foo", "/etc/passwd is what?", "/"])
def test_an_unknown_command_is_never_sent(talk: Repl, typed: str) -> None:
    outcome = talk(typed)
    assert f"There is no command {typed.split()[0]}; nothing was sent." in outcome.err
    with Store() as store:
        assert store.summaries() == []


def test_the_nearest_command_is_named(talk: Repl) -> None:
    assert "Did you mean /retry" in talk("/rety").err


def test_a_message_can_begin_with_a_slash_where_it_has_two(talk: Repl) -> None:
    talk("//etc/hosts is what?")
    assert texts()[0] == "/etc/hosts is what?"


def test_bytes_that_are_no_text_arrive_as_they_are(talk: Repl) -> None:
    talk("caf\udce9")
    assert texts()[0] == "caf\udce9"


def test_help_names_every_command(talk: Repl) -> None:
    for asked in ("/help", "/?"):
        shown = talk(asked).text
        assert all(name in shown for name in commands.by_name())
    assert "/set parameter" in talk("/help set").text
    assert "parameters" in talk("/help show").text


def test_every_command_answers_where_nothing_was_said(talk: Repl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    for name in commands.by_name():
        assert talk(name).code == 0, name
    with Store() as store:
        assert store.summaries() == []


def test_every_command_answers_after_a_message(talk: Repl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.setenv("PATH", "")  # no clipboard of who runs the tests
    for name in commands.by_name():
        assert talk("Hello", name).code == 0, name


def test_retry_undo_and_edit_keep_the_others(talk: Repl) -> None:
    outcome = talk("one", "/retry", "/edit two", "/branches", "/undo", "three", "/branches")
    assert texts()[0] == "three"
    assert [path[0].content for path in stored().branches()] == ["one", "one", "two", "three"]
    assert outcome.text.count("\n* ") == 2
    assert "Back to before: two" in outcome.err


def test_edit_without_a_text_opens_the_editor(talk: Repl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf ' and two\\n' >> \"$1\"\n")
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", f"{editor}")
    talk("one", "/edit")
    assert texts()[0] == "one and two"
    monkeypatch.setenv("EDITOR", "false")
    assert "The editor false did not work" in talk("one", "/edit").err
    assert texts()[0] == "one"


def test_branch_and_goto_go_to_any_message(talk: Repl) -> None:
    talk("one", "two", "three")
    whole = stored()
    first = whole.path()[1]
    outcome = talk(f"/branch {first.id[:8]}", "other", flags=(*SEEDED, "-c"))
    assert [turn.content for turn in stored().path()][2] == "other"
    assert whole.path()[-1].content in [path[-1].content for path in stored().branches()]
    talk(f"/goto {whole.leaf}", "/branch", "four", flags=(*SEEDED, "-c"))
    assert texts()[::2] == ["one", "two", "four"]
    assert "No message" in talk("/goto zzz", flags=(*SEEDED, "-c")).err
    assert outcome.code == 0


def test_last_shows_the_ids_that_goto_wants(talk: Repl) -> None:
    talk("one")
    outcome = talk("/last 2", flags=(*SEEDED, "-c"))
    for turn in stored().path():
        assert f"[{turn.id[:8]}]" in outcome.text
    for wrong in ("x", "0", "-1", "²"):
        assert "wants a number" in talk(f"/last {wrong}").err


def test_continue_makes_one_answer_of_two(talk: Repl) -> None:
    whole = talk("one", flags=("--temp", "0", "-n", "12"))
    long = texts()[1]
    talk("one", "/continue", flags=("--temp", "0", "-n", "6"))
    assert texts() == ["one", long]
    assert "/continue goes on from here" in whole.err


def test_an_answer_without_a_word_is_mentioned(talk: Repl) -> None:
    assert "without a word; /retry" in talk("one", flags=("--grammar", 'root ::= ""')).err


def test_a_conversation_that_is_gone_on_with_is_shown(talk: Repl) -> None:
    talk("one", "two")
    outcome = talk(flags=(*SEEDED, "-c"))
    assert ">>> one" in outcome.text
    assert ">>> two" in outcome.text
    call("chats", "rename", stored().id, "mine")
    assert ">>> two" in talk(flags=(*SEEDED, "--chat", "mine")).text


def test_saving_naming_and_loading(talk: Repl) -> None:
    talk("one", "/save first", "/new", "two", "/rename second", "/load first", "more")
    assert (stored().name, texts()[::2]) == ("first", ["one", "more"])
    outcome = talk("/list", "/search two", "/load second", "/load nothing")
    assert re.search(r"first: one", outcome.text)
    assert re.search(r"second  [0-9a-f]{8}  user: two", outcome.text)
    assert "nothing" in outcome.err
    taken = talk("x", "/rename first")
    assert "is called 'first' already" in taken.err


def test_nothing_is_saved_with_no_save_until_it_is_asked_for(talk: Repl) -> None:
    flags = (*SEEDED, "--no-save")
    outcome = talk("one", "/rename mine", flags=flags)
    assert "is not being saved" in outcome.err
    with Store() as store:
        assert store.summaries() == []
    talk("one", "/save mine", "two", flags=flags)
    assert (stored().name, texts()[::2]) == ("mine", ["one", "two"])


def test_clear_keeps_the_system_message_and_new_does_not(talk: Repl) -> None:
    talk("/system Be brief.", "one", "/clear", "two")
    assert texts()[:2] == ["Be brief.", "two"]
    talk("/system Be brief.", "one", "/new", "two", "/system")
    assert texts()[0] == "two"
    assert "There is no system message" in talk("/system").text


def test_another_model_answers_and_a_missing_one_changes_nothing(talk: Repl, tmp_path: Path, tiny: Path) -> None:
    other = write_tiny_gpt2(tmp_path / "other.gguf", seed=5)
    outcome = talk("one", f"/model {other}", "/model", "two", "/model nope", "/model /nope.gguf", "/model", "three")
    assert outcome.text.count("\nother\n") + outcome.text.count(">>> other\n") == 2
    assert "No model is called 'nope'" in outcome.err
    assert "There is no file /nope.gguf" in outcome.err
    assert [turn.model for turn in stored().path()[1::2]] == [str(tiny), str(other), str(other)]


def test_settings_change_what_comes_next(talk: Repl) -> None:
    outcome = talk(
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
    for line in ("temperature* +0.0", "num_predict +3", "stop +'a b'", "stop +'QQ'", "seed +7", "overflow +oldest"):
        assert re.search(line.replace("*", r"\*"), shown), line
    assert re.search("reasoning_effort +low", shown)
    assert "decode:  3 tokens" in shown
    assert stored().path()[1].sampling == {"temperature": 0.0, "seed": 7}


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("/set parameter top_p 2", "top_p cannot be 2"),
        ("/set parameter temperature nan", "temperature cannot be nan"),
        ("/set parameter temperature warm", "It wants a number"),
        ("/set parameter top_k 1.5", "It wants a whole number"),
        ("/set parameter repeat_penalty 0", "repeat_penalty cannot be 0"),
        ("/set parameter seed 4294967295", "seed cannot be"),
        ("/set parameter warmth 1", "There is no parameter warmth"),
        ("/set parameter temperature", "wants a name and a value"),
        ("/set parameter", "wants a name and a value"),
        ('/set parameter stop "a', "a quote that does not end"),
        ("/set parameter num_ctx 4096", "The context grows by itself"),
        ("/set sail", "There is nothing to set as sail"),
        ("/set overflow panic", "There is nothing to set as overflow panic"),
        ("/set quiet please", "There is nothing to set as quiet please"),
        ("/show off", "There is nothing to show as off"),
        ("/export pdf", "There is no export as pdf"),
        ("/file /no/such", "No file is called"),
        ("/search", "Something is missing: /search WORDS"),
    ],
)
def test_what_cannot_be_is_said_and_the_talk_goes_on(talk: Repl, typed: str, answer: str) -> None:
    outcome = talk(typed, "one")
    assert answer in outcome.err
    assert texts()[0] == "one"


def test_files_go_with_the_next_message_and_only_that(
    talk: Repl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        Path(name).write_text(f"I am {name}\n")
    outcome = talk("/file *.txt", "What is this?", "And?")
    assert "a.txt, b.txt (22 characters)" in outcome.err
    assert texts()[0] == "a.txt:\n```\nI am a.txt\n```\n\nb.txt:\n```\nI am b.txt\n```\n\nWhat is this?"
    assert texts()[2] == "And?"


def test_a_message_that_gets_no_answer_is_not_lost_and_the_talk_goes_on(
    talk: Repl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("long.txt").write_text("word " * 600)
    # refused for its length; then an empty line sends it again, with its file; then the file is taken out
    outcome = talk("/file long.txt", "What?", "", "/file", "Hello")
    assert outcome.err.count("the context holds 512") == 2
    assert outcome.err.count("Your message is kept: an empty line sends it again.") == 2
    assert texts()[0] == "Hello"


@pytest.mark.parametrize(
    ("choice", "told"), [("o", "not shown the 2 oldest"), ("s", "summarizes them first"), ("n", "")]
)
def test_a_full_context_is_asked_about(talk: Repl, choice: str, told: str) -> None:
    long = "word " * 60
    outcome = talk(long, long, choice, "/context", flags=("--temp", "0", "-n", "4"))
    assert "The conversation has" in outcome.err
    assert "Leave out the [o]ldest messages" in outcome.text
    assert told in outcome.err
    assert len(texts()) == (4 if told else 2)
    assert ("The model was not shown the 2 oldest messages." in outcome.text) == bool(told)


def test_export_writes_what_is_there_and_nothing_over_it(
    talk: Repl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = talk("one", "/export md", "/export json talk.json", "/export md talk.json")
    assert "## User\n\none" in outcome.text
    written = Path("talk.json").read_text(encoding="utf-8", errors="surrogateescape")
    assert [turn["content"] for turn in json.loads(written)["messages"]] == texts()
    assert "talk.json cannot be written: File exists" in outcome.err


def test_tokens_context_stats_and_template_tell_numbers(talk: Repl) -> None:
    shown = said(talk("/tokens one two", "one", "/tokens", "/context", "/stats", "/show info", "/template"))
    assert re.fullmatch(r"\d tokens", shown[0])
    assert re.fullmatch(r"\d+ tokens so far", shown[2])
    assert re.match(r"\d+ of 512 tokens \(\d+%\)\n", shown[3])
    assert {"user", "assistant", "template"} <= set(shown[3].split())
    assert "decode:  6 tokens" in shown[4]
    assert "context: 512 tokens" in shown[5]
    assert "ChatML is used" in shown[6]


def test_a_further_turn_reads_only_what_is_new(talk: Repl) -> None:
    shown = talk("/set verbose", "one", "two", "/retry").text
    first, second, third = [list(map(int, pair)) for pair in re.findall(r"prompt:  (\d+) tokens, (\d+) reused", shown)]
    assert second[1] >= first[0]
    assert third == [second[0], second[0] - 1]


def test_a_dumb_terminal_gets_no_escape_sequence(talk: Repl) -> None:
    outcome = talk("**one**", "/help", "/context", "/branches")
    assert "\x1b" not in outcome.text + outcome.err
