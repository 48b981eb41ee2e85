"""A full context: whole turns are left out, the system message stays, and the user is notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_chat import FakeChat, collect
from hypothesis import assume, given
from hypothesis import strategies as st

from gptcli.chat.context_window import Overflow, reserved_tokens, shorten, with_summary
from gptcli.chat.settings import Settings
from gptcli.errors import Cancelled, ContextFull
from gptcli.params import Sampling
from gptcli.types import Message

LIMIT = 600
QUESTION = "What is it, then? " * 5


def count(messages: tuple[Message, ...]) -> int:
    return sum(len(message.content) + 4 for message in messages)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    texts = st.text("x", max_size=60)
    system = draw(st.lists(texts, max_size=1))
    turns = draw(st.lists(st.tuples(texts, texts), max_size=12))
    history = [
        message for question, answer in turns for message in (Message("user", question), Message("assistant", answer))
    ]
    return (*(Message("system", text) for text in system), *history, Message("user", draw(texts)))


@given(messages=conversations(), limit=st.integers(20, 400), before=st.integers(0, 20))
def test_the_oldest_whole_turns_are_left_out(messages: tuple[Message, ...], limit: int, before: int) -> None:
    reserved = reserved_tokens(limit, 10)
    assume(count(messages) > limit - reserved)
    at = int(messages[0].role == "system")
    system, rest = messages[:at], messages[at:]
    try:
        left_out, shown = shorten(messages, count, limit, reserved, before)
    except ContextFull:
        assert count(system + rest[-1:]) > limit - reserved
        return
    assert shown == system + rest[left_out:]
    assert left_out > 0
    assert shown[at].role == "user"
    assert count(shown) <= limit - reserved
    # no more than leaves three quarters full, or the last question alone
    more = [start for start in range(2, left_out, 2) if count(system + rest[start:]) <= int((limit - reserved) * 0.75)]
    assert not more or left_out == before


@given(turns=st.integers(4, 20), more=st.integers(1, 40))
def test_the_same_messages_are_left_out_while_that_is_enough(turns: int, more: int) -> None:
    messages = (*(Message("user", "x" * 6), Message("assistant", "y" * 6)) * turns, Message("user", "x" * 6))
    limit = count(messages) - 1
    left_out, shown = shorten(messages, count, limit, 0)
    longer = (*messages, Message("assistant", "y" * more), Message("user", "z"))
    again, longer_shown = shorten(longer, count, limit, 0, left_out)
    assert (again == left_out) == (count(shown) + more + 9 <= limit)
    assert again >= left_out
    assert count(longer_shown) <= limit


def test_at_most_half_of_the_context_is_reserved_for_the_answer() -> None:
    assert reserved_tokens(8192, None) == 256
    assert reserved_tokens(8192, 1000) == 1000
    assert reserved_tokens(100, 1000) == 50


def test_a_summary_is_appended_to_the_system_message() -> None:
    messages = (Message("user", "Hi"),)
    assert with_summary(messages, "x")[0] == Message("system", "Earlier in this conversation: x")
    assert with_summary((Message("system", "Be brief."), *messages), "x")[0].content.startswith("Be brief.\n\nEarlier")


@pytest.fixture
def chat(tmp_path: Path) -> FakeChat:
    """A chat in which the next question is too much."""
    chat = FakeChat(tmp_path / "c.db", limit=LIMIT, settings=Settings(Sampling(seed=1), max_tokens=40))
    chat.session.set_system("Be brief.")
    for _ in range(2):
        collect(chat.session.send(QUESTION))
    return chat


def test_a_refusal_has_the_numbers_and_changes_nothing(chat: FakeChat) -> None:
    before = chat.texts()
    with pytest.raises(ContextFull, match=r"has \d+ tokens; the context holds 600, 40 of them reserved"):
        collect(chat.session.send(QUESTION))
    assert chat.texts() == before


def test_the_oldest_messages_are_left_out_with_one_notice_per_change(chat: FakeChat) -> None:
    chat.session.settings.overflow = Overflow.OLDEST
    result = collect(chat.session.send(QUESTION))
    assert result.started.prompt_tokens <= LIMIT - 40
    assert len(chat.texts()) == 7  # the conversation itself is whole
    (notice,) = chat.notices
    assert "The context is full" in notice
    assert "no longer sees the 2 oldest messages" in notice
    collect(chat.session.retry())
    assert len(chat.notices) == 1
    collect(chat.session.send(QUESTION))
    assert "no longer sees the 4 oldest" in chat.notices[1]
    assert chat.session.window.left_out == 4


@pytest.fixture
def summarizer(tmp_path: Path) -> FakeChat:
    """A chat that has just been summarized."""
    settings = Settings(Sampling(seed=1), max_tokens=40, overflow=Overflow.SUMMARIZE)
    chat = FakeChat(tmp_path / "c.db", limit=1400, settings=settings)
    chat.session.set_system("Be brief.")
    while not chat.notices:
        collect(chat.session.send(QUESTION))
    return chat


def summaries(chat: FakeChat) -> int:
    return sum("summarizing" in text for text in chat.notices)


def test_the_oldest_messages_are_summarized_once(summarizer: FakeChat) -> None:
    assert "no longer sees" in summarizer.notices[0]
    assert summaries(summarizer) == 1
    before = summarizer.backend.computed
    again = collect(summarizer.session.retry())
    assert summarizer.backend.computed - before == again.finished.completion_tokens
    assert again.started.prompt_tokens <= 1400 - 40
    while summaries(summarizer) == 1:
        collect(summarizer.session.send(QUESTION))
    assert summarizer.texts()[:2] == ["Be brief.", QUESTION]  # the conversation itself is whole


def test_a_stopped_summary_answers_nothing_and_is_made_again(summarizer: FakeChat) -> None:
    later = FakeChat(
        summarizer.path, limit=1400, conversation=summarizer.stored(), settings=summarizer.session.settings
    )
    later.interrupt.request()
    with pytest.raises(Cancelled):
        collect(later.session.retry())
    assert later.texts() == summarizer.texts()
    later.interrupt.clear()
    assert collect(later.session.retry()).finished.reason.value == "length"
    assert summaries(later) == 2


@pytest.mark.parametrize("choice", [Overflow.OLDEST, Overflow.REFUSE])
def test_the_user_is_asked(chat: FakeChat, choice: Overflow) -> None:
    asked: list[str] = []

    def ask(question: str) -> Overflow:
        asked.append(question)
        return choice

    chat.session.settings.overflow = Overflow.ASK
    chat.session.ask_overflow = ask
    if choice is Overflow.REFUSE:
        with pytest.raises(ContextFull):
            collect(chat.session.send(QUESTION))
    else:
        assert collect(chat.session.send(QUESTION)).finished
    (question,) = asked
    assert "the context holds 600" in question


def test_an_answer_that_fills_the_context_is_kept(tmp_path: Path) -> None:
    chat = FakeChat(tmp_path / "c.db", limit=LIMIT, settings=Settings(Sampling(seed=1), overflow=Overflow.OLDEST))
    collect(chat.session.send("one"))
    cut = collect(chat.session.send("two")).finished
    assert cut.reason.value == "context"
    before = chat.texts()[-1]
    with pytest.raises(ContextFull):
        collect(chat.session.resume())  # the answer alone is too long now
    assert chat.texts()[-1] == before
