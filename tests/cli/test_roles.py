"""`gptcli roles`, and `--role` in the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import call

from gptcli.errors import ExitCode
from gptcli.roles import library

ECHO = "+++\ntemperature = 0\nmax_tokens = 3\nrequired = ['who']\nargument = 'who'\n"
ECHO += "template = '{{ who }} {{ input }}'\n[[examples]]\nwho = 'a'\ninput = 'b'\noutput = 'c'\n+++\nBe {{ who }}.\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mine(name: str, text: str) -> Path:
    library.write(library.user_folder() / f"{name}.md", text)
    return library.user_folder() / f"{name}.md"


def test_a_chat_begins_with_the_role_and_goes_on_from_it(tiny: Path) -> None:
    mine("echo", ECHO)
    assert call("chat", "-m", tiny, "--role", "echo", "one", stdin=b"two").code == ExitCode.OK
    (chat,) = json.loads(call("chats", "list", "--json").text)
    assert chat["title"] == "two"
    turns = json.loads(call("chats", "show", chat["id"], "--json").text)["messages"]
    said = [(turn["role"], turn["content"]) for turn in turns[:4]]
    assert said == [("system", "Be one."), ("user", "a b"), ("assistant", "c"), ("user", "one two")]
    assert call("chat", "-m", tiny, "-c", "--role", "echo", "-p", "who=me", "three").code == ExitCode.OK
    turns = json.loads(call("chats", "show", chat["id"], "--json").text)["messages"]
    assert [turn["content"] for turn in turns if turn["role"] == "user"] == ["a b", "one two", "me three"]


def test_flags_come_before_a_role_and_a_role_before_the_settings(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine("short", f"+++\nmax_tokens = 3\nmodel = '{tiny}'\nignore_eos = true\n+++\nx\n")
    monkeypatch.setenv("GPTCLI_MAX_TOKENS", "5")

    def tokens(*flags: str) -> int:
        outcome = call("complete", "--format", "json", *flags, "once")
        assert outcome.code == ExitCode.OK, outcome.err
        return int(json.loads(outcome.text)["usage"]["completion_tokens"])

    assert tokens("--role", "short") == 3
    assert tokens("--role", "short", "-n", "4") == 4
    assert tokens("-m", str(tiny), "--ignore-eos") == 5


def test_complete_gets_the_examples_as_text(tiny: Path) -> None:
    mine("echo", ECHO)
    outcome = call("complete", "-m", tiny, "--role", "echo", "--echo", "one", stdin=b"two")
    assert outcome.text.startswith("Be one.\n\nInput:\na b\nOutput:\nc\n\nInput:\none two\nOutput:\n")


def test_batch_takes_variables_from_rows(tiny: Path, tmp_path: Path) -> None:
    mine("echo", ECHO)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a", "who": "b"}\n{"text": "a"}\n')
    outcome = call("batch", "-m", tiny, "--role", "echo", rows)
    good, bad = map(json.loads, outcome.text.splitlines())
    assert outcome.code == ExitCode.ROWS_FAILED
    assert good["response"]["body"]["object"] == "chat.completion"
    assert "no field named who" in json.dumps(bad)
    assert call("batch", "-m", tiny, "--role", "echo", "-p", "who=x", rows).code == ExitCode.OK


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chat", "--role", "sumarize", "x"), "Did you mean summarize?"),
        (("chat", "-p", "a=b", "x"), "there is no --role"),
        (("chat", "--role", "translate", "-p", "languag=x", "x"), "no variable languag"),
        (("chat", "--role", "translate", "-p", "language", "x"), "needs a name and a value"),
        (("chat", "--role", "answer"), "needs question"),
        (("complete", "--role", "title", "--suffix", "x", "y"), "contradict"),
    ],
)
def test_mistakes_are_refused(arguments: tuple[str, ...], message: str, tiny: Path) -> None:
    outcome = call(*arguments, "-m", tiny)
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.err


def test_the_project_is_asked_for_once_and_only_on_a_terminal(tiny: Path, tmp_path: Path) -> None:
    library.write(tmp_path / ".gptcli" / "roles" / "ours.md", "Ours.")
    arguments = ("chat", "-m", tiny, "-n", "1", "--no-save", "--role", "ours", "x")
    refused = call(*arguments)
    assert refused.code == ExitCode.USAGE
    assert "gptcli roles allow" in refused.err
    assert "project, not allowed" in call("roles", "list").text
    assert call(*arguments, stdin=b"n\n", tty="in err").code == ExitCode.USAGE
    assert "somebody else" in call(*arguments, stdin=b"y\n", tty="in err").err
    assert call(*arguments).code == ExitCode.OK
    assert call("roles", "allow", "--revoke").code == ExitCode.OK
    assert call(*arguments).code == ExitCode.USAGE
    assert call("roles", "allow").code == ExitCode.OK
    assert call(*arguments).code == ExitCode.OK


def test_save_show_and_check() -> None:
    saved = call("roles", "save", "pirate", "-s", "Talk like {{ who }}.", "--temp", "1.5", "--stop", "a", "--stop", "b")
    assert "uses who" in saved.err
    assert call("roles", "save", "pirate", "-s", "Arr.", "--temp", "1.5", "--stop", "a", "--choices", "x,y").code == 0
    shown = call("roles", "show", "pirate").text
    assert shown == '+++\nchoices = ["x", "y"]\nstop = ["a"]\ntemperature = 1.5\n+++\nArr.\n'
    assert call("roles", "save", "pirate", "-s", "Again").code == ExitCode.USAGE
    assert call("roles", "save", "pirate", "-s", "Again", "--force").code == ExitCode.OK
    assert call("roles", "check").code == ExitCode.OK
    mine("broken", "+++\ntemprature = 1\n+++\n")
    checked = call("roles", "check")
    assert checked.code == ExitCode.USAGE
    assert "broken.md, line 2: 'temprature'" in checked.err
    assert "mistake" in call("roles", "list").text


def test_settings_are_not_saved_with_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTCLI_TOP_K", "3")
    call("roles", "save", "plain", "-s", "x")
    assert call("roles", "show", "plain").text == "+++\n+++\nx\n"


def test_new_and_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("roles", "new", "Bad Name").code == ExitCode.USAGE
    path = library.user_folder() / "fresh.md"
    assert call("roles", "new", "fresh").text == f"{path}\n"
    assert call("roles", "check", "fresh").code == ExitCode.OK
    assert call("roles", "new", "fresh").code == ExitCode.USAGE
    monkeypatch.setenv("EDITOR", "sed -i s/temperature/temprature/")
    edited = call("roles", "edit", "title", environment={"EDITOR": "sed"})
    assert edited.code == ExitCode.USAGE
    assert "'temprature' is not a key" in edited.err
    assert "temprature" in (library.user_folder() / "title.md").read_text()
    assert "temprature" not in (library.SHIPPED / "title.md").read_text()
