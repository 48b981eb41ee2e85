"""gptcli chat on a real pseudo-terminal with the starter model: what its screen shows, key by key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from screen import ALT_ENTER, CTRL_C, CTRL_D, CTRL_G, CTRL_J, CTRL_R, ENTER, PASTE, TAB, UP, Screen
from shell import Shell

SHORT = ("chat", "-m", "smollm2", "-t", "1", "--seed", "1", "-n", "8")
LONG = ("chat", "-m", "smollm2", "-t", "1", "--temp", "0", "-n", "1500")
STORY = "Write a very long story about a lighthouse."


@pytest.fixture(autouse=True)
def own_prefixes(starter_shell: Shell, tmp_path: Path) -> None:
    """No test finds the prefixes of another, or of the person who runs them."""
    starter_shell.environment["GPTCLI_CACHE_DIR"] = str(tmp_path / "cache")


@pytest.fixture
def screen(starter_shell: Shell) -> Iterator[Screen]:
    with Screen(starter_shell, *SHORT) as screen:
        screen.ready()
        yield screen


def whole(shell: Shell) -> dict:
    """The last conversation, every branch of it."""
    (last, *_) = json.loads(shell.run("chats", "list", "--json").out)
    return json.loads(shell.run("chats", "show", last["id"], "--all", "--json").out)


def path(shell: Shell) -> list[str]:
    """The messages on the current branch of the last conversation."""
    (last, *_) = json.loads(shell.run("chats", "list", "--json").out)
    return [turn["content"] for turn in json.loads(shell.run("chats", "show", last["id"], "--json").out)["messages"]]


def answer(shown: str) -> str:
    """The answer of 8 tokens that a message got, as it is on the screen."""
    return shown.split("\n", 1)[1].removesuffix("\nCut off (length); /continue continues the answer.")


def test_a_chat_and_its_continuation_on_another_day(screen: Screen, starter_shell: Shell) -> None:
    first = answer(screen.ask("Tell me about the sea"))
    second = answer(screen.ask("/retry"))
    assert first != second
    screen.until(r"smollm2 · [\d,]+/8,192 tokens · [\d,.]+ tokens/s\Z")

    third = answer(screen.ask("/edit Tell me about the moon"))
    ends = screen.ask("/branches").split("\n")[1:]
    assert len(ends) == 3
    assert [line[0] for line in ends] == [" ", " ", "*"]
    place = ends[0][2:10]
    assert screen.ask(f"/goto {place}") == f">>> /goto {place}\n>>> Tell me about the sea\n{first}"
    fourth = answer(screen.ask("Go on"))
    assert screen.ask("/undo").endswith("\nBack to before: Go on")
    assert screen.ask("/save the sea").endswith(f": {whole(starter_shell)['id']}.")
    screen.send("/bye" + ENTER)
    assert screen.finish() == 0
    assert screen.text.endswith("Saved; `gptcli chat --chat the sea` continues it.")

    assert path(starter_shell) == ["Tell me about the sea", first]
    said = {turn["content"] for turn in whole(starter_shell)["messages"]}
    assert said == {"Tell me about the sea", "Tell me about the moon", "Go on", first, second, third, fourth}

    with Screen(starter_shell, *SHORT, "-c") as later:
        assert later.ready().startswith(f">>> Tell me about the sea\n{first}\n>>> ")
        assert len(later.ask("/branches").split("\n")) == 4
        assert "the sea  " in later.ask("/search MOON")
        assert "user: Tell me about the moon" in later.ask("/search moon")
        later.ask("What else?")
        later.send(CTRL_D)
        assert later.finish() == 0
    assert path(starter_shell)[:3] == ["Tell me about the sea", first, "What else?"]


def test_ctrl_c_stops_an_answer_and_continue_continues_it_exactly(starter_shell: Shell) -> None:
    with Screen(starter_shell, *LONG, "--plain", lines=200) as screen:
        screen.ready()
        screen.send(STORY + ENTER)
        screen.until(r"lighthouse\.\n(.*\n){2}")
        screen.send(CTRL_C)
        screen.until(r"^Stopped; /continue continues the answer\.$")
        assert "^C" not in screen.ready()
        (stopped,) = path(starter_shell)[1:]
        assert whole(starter_shell)["messages"][1]["finish_reason"] == "cancelled"

        screen.ask("/set parameter num_predict 20")
        screen.ask("/continue")
        (longer,) = path(starter_shell)[1:]
        assert longer.startswith(stopped)
        assert len(longer) > len(stopped)
        screen.send(CTRL_C)
        screen.until(r"^Ctrl-D or /bye leaves\.$")
        screen.send(CTRL_D)
        assert screen.finish() == 0
    tokens = sum(turn["usage"]["completion_tokens"] for turn in whole(starter_shell)["messages"][1:])
    assert starter_shell.run(*LONG[:-1], tokens, "--no-save", STORY).text == longer


def test_ctrl_c_during_the_prefill_gives_the_message_back(starter_shell: Shell) -> None:
    message = "The king counted the stars, and the stars were many. " * 400
    with Screen(starter_shell, *LONG, lines=200) as screen:
        screen.ready()
        screen.send(PASTE.format(message) + ENTER)
        screen.until(r"reading [\d,]+ of [\d,]+ tokens")
        screen.send(CTRL_C)
        screen.until(r"^Stopped before any text was generated\.$")
        assert screen.text.count("The king counted the stars") > 100
        screen.send(CTRL_C)  # take it out of the line
        screen.until(r">>> Send a message")
        screen.send(CTRL_D)
        assert screen.finish() == 0


def test_every_way_to_type_several_lines(screen: Screen, starter_shell: Shell) -> None:
    screen.send(PASTE.format("one\ntwo\n  three"))
    screen.until(r">>> one\n\.\.\. two\n\.\.\.   three")
    screen.send(ALT_ENTER + "four" + CTRL_J + "five" + ENTER)
    screen.until(r"five\n(.|\n)*continues the answer")
    assert path(starter_shell)[0] == "one\ntwo\n  three\nfour\nfive"
    screen.ready()
    screen.send('"""six' + ENTER + "seven" + ENTER + '"""' + ENTER)
    screen.until(r"seven\n(.|\n)*>>> Send")
    assert path(starter_shell)[2] == "six\nseven"


def test_ctrl_c_clears_the_line_and_history_is_searched(screen: Screen, starter_shell: Shell, tmp_path: Path) -> None:
    screen.ask("Hello there")
    screen.send("never mind" + CTRL_C)
    screen.until(r">>> never mind\n>>> Send")
    screen.send(UP)
    screen.until(r">>> Hello there\n+smollm2")
    screen.send(CTRL_C)
    screen.until(r">>> Hello there\n>>> Send")
    screen.send(CTRL_R + "hello")
    screen.until(r"I-search backward: hello")
    screen.until(r">>> Hello there\n+I-search")
    screen.send(CTRL_C)
    screen.until(r">>> Send a message [^\n]*\n+smollm2")
    screen.send(CTRL_D)
    assert screen.finish() == 0
    (history,) = tmp_path.rglob("history")
    assert "+Hello there" in history.read_text().splitlines()
    assert history.stat().st_mode & 0o777 == 0o600


def test_an_unknown_command_leaves_an_empty_line(screen: Screen) -> None:
    screen.send("/rety" + ENTER)
    screen.until(r"^There is no command /rety; nothing was sent\.\nDid you mean /retry\?")
    screen.until(r">>> Send a message [^\n]*\n+smollm2")
    screen.send(UP)
    screen.until(r">>> /rety\n+smollm2")
    screen.send(CTRL_C)
    screen.until(r">>> /rety\n>>> Send a message [^\n]*\n+smollm2")
    screen.send(CTRL_D)
    assert screen.finish() == 0


def test_lines_typed_before_the_first_prompt_are_sent(starter_shell: Shell) -> None:
    with Screen(starter_shell, *SHORT) as screen:
        screen.send("Hello" + ENTER + "/stats" + ENTER + CTRL_D)
        screen.until(r"^finish:  length$")
        assert screen.finish() == 0
    assert path(starter_shell)[0] == "Hello"


def test_keys_pressed_during_an_answer_wait_and_are_not_echoed(starter_shell: Shell) -> None:
    with Screen(starter_shell, *SHORT[:-1], "60", "--plain") as screen:
        screen.ready()
        screen.send(STORY + ENTER)
        screen.until(r"lighthouse\.\n.")
        screen.send("/stats" + ENTER + "/tokens one")
        screen.until(r"continues the answer\.\n>>> /stats\nprompt:")
        screen.until(r"finish:  \w+\n>>> /tokens one\n+smollm2")
        screen.send(ENTER)
        screen.until(r"^1 tokens$")


def test_tab_completes_commands_files_and_models(starter_shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x" * 9)
    with Screen(starter_shell, *SHORT, columns=160) as screen:
        screen.ready()
        screen.send("/bran" + TAB)
        screen.until(r">>> /branch(.|\n)*List the branches of the conversation")
        screen.send(CTRL_C + "/model smo" + TAB)
        screen.until(r">>> /model smollm2")
        screen.send(CTRL_C + f"/file {tmp_path}/no" + TAB)
        screen.until(r"/notes\.txt")
        screen.send(ENTER)
        screen.until(r"Attached to your next message: .*notes\.txt \(9 characters\)")


def test_the_editor_changes_the_line(starter_shell: Shell, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "edited" >> "$1"\n')
    editor.chmod(0o700)
    starter_shell.environment.update(VISUAL=str(editor))
    with Screen(starter_shell, *SHORT) as screen:
        screen.ready()
        screen.send("un" + CTRL_G)
        screen.until(r">>> unedited\n+smollm2")
        screen.send(CTRL_C)
        screen.ask("Hello")
        screen.ask("/edit")
        assert path(starter_shell)[0] == "Helloedited"


@pytest.mark.parametrize("off", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_without_colours_and_in_forty_columns(starter_shell: Shell, off: dict[str, str]) -> None:
    starter_shell.environment.update(off)
    with Screen(starter_shell, *SHORT, columns=40, lines=120) as screen:
        assert "Send a message" not in screen.ready()
        screen.ask("Hello")
        shown = screen.ask("/help")
        assert "/retry\n    Get another answer; the old one\n    stays on its branch\n" in shown
        screen.send("/bye" + ENTER)
        assert screen.finish() == 0
    assert not re.search(rb"\x1b\[[\d;]*[3-4]\d[\d;]*m", screen.raw)
    assert ("TERM" in off) == (b"\x1b" not in screen.raw)
    assert path(starter_shell)[0] == "Hello"


def test_markdown_is_formatted_without_plain(starter_shell: Shell) -> None:
    grammar = ("--grammar", 'root ::= "**bold** text"')
    for flags, shown in (((), "bold text"), (("--plain",), "**bold** text")):
        with Screen(starter_shell, *SHORT, *grammar, *flags) as screen:
            assert answer(screen.ask("Hello")).endswith(shown)
            assert (b"\x1b[1m" in screen.raw) == (not flags)


def test_a_pipe_into_a_terminal_is_one_answer(starter_shell: Shell) -> None:
    assert starter_shell.run(*SHORT, "-q", data=b"Hello").code == 0
    (asked, said) = path(starter_shell)
    assert asked == "Hello"
    assert said


def test_the_user_is_asked_about_a_full_context(starter_shell: Shell) -> None:
    question = "word " * 90 + "?"
    endless = ("--grammar", 'root ::= "yes "+', "-l", "0=-inf", "-l", "2=-inf")  # the model's two ends
    with Screen(starter_shell, *SHORT, "--ctx-size", "256", *endless) as screen:
        for answers in (1, 2):
            screen.ready()
            screen.send(question + ENTER)
            screen.until(rf"(?s)(continues the answer\..*){{{answers}}}\n>>>")
        screen.send(question + ENTER)
        screen.until(r"do \[n\]othing\? ?\Z")
        screen.send(CTRL_C)
        screen.until(r"^Not sent\.\n/set overflow")
        screen.until(r">>> word (.|\n)*tokens/s\Z")  # the message is in the line again
        assert len(path(starter_shell)) == 4
        screen.send(ENTER)
        screen.until(r"(?s)\[n\]othing\? .*\[n\]othing\? ?\Z")
        screen.send("o" + ENTER)
        screen.until(r"\[n\]othing\? o\nThis applies from now on; /set overflow changes it\.")
        screen.until(r"no longer sees the 4 oldest messages\.\n(.|\n)*continues the answer\.\n>>>")
        screen.send(CTRL_D)
        assert screen.finish() == 0
    assert len(path(starter_shell)) == 6
