"""`gptcli chats`: output, the question before deleting, and no control characters on a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.store import Store
from gptcli.cli.chats import app
from gptcli.cli.main import CommandContext
from gptcli.errors import GptcliError, UsageError
from gptcli.terminal import Terminal
from gptcli.types import FinishReason


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPTCLI_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path


@pytest.fixture
def sky() -> Conversation:
    ask = Turn("user", "Why is the sky \x1b[31mblue?", id="a" * 32, created=1e9)
    first = Turn("assistant", "Rayleigh.", ask.id, id="b" * 32, created=1e9 + 1)
    second = Turn("assistant", "Light", ask.id, id="c" * 32, created=1e9 + 2, finish=FinishReason.CANCELLED)
    with Store() as store:
        return store.create(Conversation(id="sky234", name="sky", created=1e9).add(ask, first, second))


@pytest.fixture
def sea() -> Conversation:
    with Store() as store:
        return store.create(Conversation(id="sea234", created=2e9).add(Turn("user", "Salt?", created=2e9)))


def gptcli_chats(*arguments: str, typed: str | None = None, tty: bool = False) -> tuple[str, str]:
    """Standard output and standard error; a `tty` is one on all three streams."""
    stdin = io.BytesIO((typed or "").encode())
    terminal = Terminal(stdin, io.BytesIO(), io.StringIO(), stdin_tty=tty, stdout_tty=tty, stderr_tty=tty)
    app(list(arguments), obj=CommandContext(terminal, None), standalone_mode=False)
    assert isinstance(terminal.stdout, io.BytesIO)
    assert isinstance(terminal.stderr, io.StringIO)
    return terminal.stdout.getvalue().decode("utf-8", "surrogateescape"), terminal.stderr.getvalue()


def test_list_in_a_pipe_and_on_a_terminal(sky: Conversation, sea: Conversation) -> None:
    assert gptcli_chats("list") == (
        "sea234\t\t2033-05-18T03:33:20+00:00\t1\tSalt?\n"
        "sky234\tsky\t2001-09-09T01:46:42+00:00\t3\tWhy is the sky \x1b[31mblue?\n",
        "",
    )
    lines = gptcli_chats("list", tty=True)[0].splitlines()
    assert lines[0].split() == ["ID", "NAME", "USED", "MESSAGES", "TITLE"]
    assert lines[1].startswith("sea234        2033-05-1")
    assert max(map(len, lines)) <= 60
    assert "\x1b" not in "".join(lines)
    listed = json.loads(gptcli_chats("list", "--json")[0])
    assert [chat["id"] for chat in listed] == ["sea234", "sky234"]
    assert listed[1]["messages"] == 3


def test_an_empty_list() -> None:
    assert gptcli_chats("list") == ("", "")
    assert gptcli_chats("list", "--json") == ("[]\n", "")
    assert "gptcli chat" in gptcli_chats("list", tty=True)[1]


def test_show_prints_the_current_branch_or_all(sky: Conversation) -> None:
    page, _ = gptcli_chats("show", "sky")
    assert page == ("# sky\n\n## User\n\nWhy is the sky \x1b[31mblue?\n\n## Assistant (stopped by the user)\n\nLight\n")
    assert "Rayleigh." in gptcli_chats("show", "sky2", "--all")[0]
    assert len(json.loads(gptcli_chats("show", "sky", "--json")[0])["messages"]) == 2
    assert len(json.loads(gptcli_chats("show", "sky", "--json", "--all")[0])["messages"]) == 3


@pytest.mark.parametrize(
    "arguments", [["show", "sky"], ["show", "sky", "--all"], ["search", "blue"], ["export", "sky"]]
)
def test_a_terminal_gets_no_stored_escape_sequence(sky: Conversation, arguments: list[str]) -> None:
    assert "\x1b" in gptcli_chats(*arguments)[0]
    assert "\x1b" not in gptcli_chats(*arguments, tty=True)[0]


def test_search_finds_every_branch(sky: Conversation, sea: Conversation) -> None:
    assert gptcli_chats("search", "rayl") == ("sky234\tsky\tassistant\tRayleigh.\n", "")
    assert gptcli_chats("search", "SKY", "why")[0].startswith("sky234\tsky\tuser\tWhy")
    assert gptcli_chats("search", "sky", "salt") == ("", "")
    assert gptcli_chats("search", "--json", '"*') == ("[]\n", "")
    assert json.loads(gptcli_chats("search", "salt", "--json")[0])[0]["conversation"] == "sea234"


def test_export_as_markdown_and_json(sky: Conversation) -> None:
    assert gptcli_chats("export", "sky") == gptcli_chats("show", "sky")
    exported = json.loads(gptcli_chats("export", "sky", "--format", "json")[0])
    assert {turn["id"] for turn in exported["messages"]} == set(sky.turns)


def test_invalid_utf8_is_kept_in_markdown_and_replaced_in_json() -> None:
    with Store() as store:
        store.create(Conversation(name="raw").add(Turn("user", "a\udcff")))
    assert "a\udcff" in gptcli_chats("export", "raw")[0]
    assert json.loads(gptcli_chats("export", "raw", "--format", "json")[0])["messages"][0]["content"] == "a?"


def test_rename(sky: Conversation, sea: Conversation) -> None:
    gptcli_chats("rename", "sea", "ocean")
    assert "ocean" in gptcli_chats("list")[0]
    with pytest.raises(GptcliError, match="already called 'ocean'"):
        gptcli_chats("rename", "sky", "ocean")
    gptcli_chats("rename", "ocean", "")
    assert "ocean" not in gptcli_chats("list")[0]


def test_rm_asks_on_a_terminal(sky: Conversation, sea: Conversation) -> None:
    _, err = gptcli_chats("rm", "sky", typed="n\n", tty=True)
    assert "sky234  sky, 3 messages" in err
    assert "Delete this conversation? [y/N] " in err
    assert "Nothing was deleted." in err
    assert "sky234" in gptcli_chats("list")[0]
    gptcli_chats("rm", "sky", typed="", tty=True)
    assert "sky234" in gptcli_chats("list")[0]
    gptcli_chats("rm", "sky", "sea", "sky", typed="Y\n", tty=True)
    assert gptcli_chats("list")[0] == ""


def test_rm_without_a_terminal_needs_yes(sky: Conversation) -> None:
    with pytest.raises(UsageError, match="there is no terminal to ask on"):
        gptcli_chats("rm", "sky", typed="y\n")
    assert "sky234" in gptcli_chats("list")[0]
    assert gptcli_chats("rm", "sky", "--yes") == ("", "")
    assert gptcli_chats("list")[0] == ""


def test_rm_deletes_nothing_if_one_of_them_is_unknown(sky: Conversation) -> None:
    with pytest.raises(GptcliError, match="None of the 1"):
        gptcli_chats("rm", "sky", "sly", "--yes")
    assert "sky234" in gptcli_chats("list")[0]


@pytest.mark.parametrize("command", ["show", "export", "rm"])
def test_an_unknown_conversation_is_an_error_with_the_nearest_name(sky: Conversation, command: str) -> None:
    with pytest.raises(GptcliError) as caught:
        gptcli_chats(command, "sly")
    assert caught.value.hint == "Did you mean sky?"
