"""/why and /surprise: what is shown of the last answer, on the fake backend."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fake_chat import FakeChat, collect

from gptcli.chat.explanation import show_surprise, show_why
from gptcli.errors import GptcliError
from gptcli.terminal import Terminal


@pytest.fixture
def chat(tmp_path: Path) -> FakeChat:
    return FakeChat(tmp_path / "conversations.db")


def terminal() -> tuple[Terminal, io.BytesIO]:
    out = io.BytesIO()
    return Terminal(io.BytesIO(), out, io.StringIO()), out


def test_without_an_answer_there_is_nothing_to_explain(chat: FakeChat) -> None:
    for show in (show_why, show_surprise):
        with pytest.raises(GptcliError, match="no answer to explain"):
            show(chat.session, terminal()[0])


def test_why_goes_by_the_sentences_of_the_last_message(chat: FakeChat) -> None:
    collect(chat.session.send("One is here. Two is there. Where is three?"))
    shown, out = terminal()
    show_why(chat.session, shown)
    lines = [line.split("\t") for line in out.getvalue().decode().splitlines()]
    assert [text for _, text in lines] == ["One is here.", "Two is there.", "Where is three?"]
    assert all(support[0] in "+-" and float(support) < 1e6 for support, _ in lines)


def test_why_goes_by_messages_where_the_last_one_is_a_sentence(chat: FakeChat) -> None:
    first = collect(chat.session.send("One"))
    collect(chat.session.send("Two"))
    shown, out = terminal()
    show_why(chat.session, shown)
    texts = [line.split("\t")[1] for line in out.getvalue().decode().splitlines()]
    assert texts == ["user: One", f"assistant: {first.text}", "user: Two"]


def test_surprise_shows_every_token_of_the_answer(chat: FakeChat) -> None:
    answer = collect(chat.session.send("One"))
    shown, out = terminal()
    show_surprise(chat.session, shown)
    lines = [line.split("\t") for line in out.getvalue().decode().splitlines()]
    assert "".join(text.strip("'") for _, text, _ in lines) == answer.text
    assert all(float(bits) > 0 for bits, _, _ in lines)
