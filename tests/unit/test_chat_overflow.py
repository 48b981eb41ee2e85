"""A context that is full: whole turns are left out, the system message stays, and it is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from talker import Talker, hear

from gptcli.chat.context_window import Overflow, answer_room, shorten, with_summary
from gptcli.chat.model import Settings
from gptcli.errors import Cancelled, ContextFull
from gptcli.params import Sampling
from gptcli.types import Message

LIMIT = 600
QUESTION = "What is it, then? " * 5


def count(messages: tuple[Message, ...]) -> int:
    return sum(len(message.content) + 4 for message in messages)


@st.composite
def talks(draw: st.DrawFn) -> tuple[Message, ...]:
    texts = st.text("x", max_size=60)
    system = draw(st.lists(texts, max_size=1))
    turns = draw(st.lists(st.tuples(texts, texts), max_size=12))
    said = [message for ask, tell in turns for message in (Message("user", ask), Message("assistant", tell))]
    return (*(Message("system", text) for text in system), *said, Message("user", draw(texts)))


@given(talk=talks(), limit=st.integers(20, 400), before=st.integers(0, 20))
def test_whole_turns_are_left_out_from_the_oldest_on(talk: tuple[Message, ...], limit: int, before: int) -> None:
    kept = answer_room(limit, 10)
    assume(count(talk) > limit - kept)
    at = int(talk[0].role == "system")
    system, rest = talk[:at], talk[at:]
    try:
        left_out, shown = shorten(talk, count, limit, kept, before)
    except ContextFull:
        assert count(system + rest[-1:]) > limit - kept
        return
    assert shown == system + rest[left_out:]
    assert left_out > 0
    assert shown[at].role == "user"
    assert count(shown) <= limit - kept
    # no more than for three quarters, or the last question alone
    more = [start for start in range(2, left_out, 2) if count(system + rest[start:]) <= int((limit - kept) * 0.75)]
    assert not more or left_out == before


@given(turns=st.integers(4, 20), more=st.integers(1, 40))
def test_what_was_left_out_stays_so_while_that_will_do(turns: int, more: int) -> None:
    talk = (*(Message("user", "x" * 6), Message("assistant", "y" * 6)) * turns, Message("user", "x" * 6))
    limit = count(talk) - 1
    left_out, shown = shorten(talk, count, limit, 0)
    longer = (*talk, Message("assistant", "y" * more), Message("user", "z"))
    again, longer_shown = shorten(longer, count, limit, 0, left_out)
    assert (again == left_out) == (count(shown) + more + 9 <= limit)
    assert again >= left_out
    assert count(longer_shown) <= limit


def test_the_room_for_the_answer_is_what_was_asked_for_and_never_most_of_it() -> None:
    assert answer_room(8192, None) == 256
    assert answer_room(8192, 1000) == 1000
    assert answer_room(100, 1000) == 50


def test_a_summary_ends_the_system_message_or_is_it() -> None:
    talk = (Message("user", "Hi"),)
    assert with_summary(talk, "x")[0] == Message("system", "Earlier in this conversation: x")
    assert with_summary((Message("system", "Be brief."), *talk), "x")[0].content.startswith("Be brief.\n\nEarlier")


@pytest.fixture
def talker(tmp_path: Path) -> Talker:
    """One that has talked until the next question is too much."""
    talker = Talker(tmp_path / "c.db", limit=LIMIT, settings=Settings(Sampling(seed=1), max_tokens=40))
    talker.session.set_system("Be brief.")
    for _ in range(2):
        hear(talker.session.say(QUESTION))
    return talker


def test_it_is_refused_with_the_numbers_and_nothing_changes(talker: Talker) -> None:
    before = talker.texts()
    with pytest.raises(ContextFull, match=r"has \d+ tokens; the context holds 600, and 40 are kept"):
        hear(talker.session.say(QUESTION))
    assert talker.texts() == before


def test_the_oldest_are_left_out_and_it_is_said_once_for_each_change(talker: Talker) -> None:
    talker.session.settings.overflow = Overflow.OLDEST
    heard = hear(talker.session.say(QUESTION))
    assert heard.started.prompt_tokens <= LIMIT - 40
    assert len(talker.texts()) == 7  # the conversation itself is whole
    (told,) = talker.told
    assert "The context is full" in told
    assert "not shown the 2 oldest messages" in told
    hear(talker.session.retry())
    assert len(talker.told) == 1
    hear(talker.session.say(QUESTION))
    assert "not shown the 4 oldest" in talker.told[1]
    assert talker.session.room.left_out == 4


@pytest.fixture
def summarizer(tmp_path: Path) -> Talker:
    """One that has just had to summarize."""
    settings = Settings(Sampling(seed=1), max_tokens=40, overflow=Overflow.SUMMARIZE)
    talker = Talker(tmp_path / "c.db", limit=1400, settings=settings)
    talker.session.set_system("Be brief.")
    while not talker.told:
        hear(talker.session.say(QUESTION))
    return talker


def summaries(talker: Talker) -> int:
    return sum("summarizes" in text for text in talker.told)


def test_the_oldest_are_summarized_once_and_the_model_is_shown_that(summarizer: Talker) -> None:
    assert "not shown" in summarizer.told[0]
    assert summaries(summarizer) == 1
    before = summarizer.backend.computed
    again = hear(summarizer.session.retry())
    assert summarizer.backend.computed - before == again.finished.completion_tokens
    assert again.started.prompt_tokens <= 1400 - 40
    while summaries(summarizer) == 1:
        hear(summarizer.session.say(QUESTION))
    assert summarizer.texts()[:2] == ["Be brief.", QUESTION]  # the conversation itself is whole


def test_a_summary_that_is_stopped_answers_nothing_and_is_made_anew(summarizer: Talker) -> None:
    later = Talker(summarizer.path, limit=1400, conversation=summarizer.stored(), settings=summarizer.session.settings)
    later.interrupt.request()
    with pytest.raises(Cancelled):
        hear(later.session.retry())
    assert later.texts() == summarizer.texts()
    later.interrupt.clear()
    assert hear(later.session.retry()).finished.reason.value == "length"
    assert summaries(later) == 2


@pytest.mark.parametrize("choice", [Overflow.OLDEST, Overflow.REFUSE])
def test_who_is_asked_decides(talker: Talker, choice: Overflow) -> None:
    asked: list[str] = []

    def ask(question: str) -> Overflow:
        asked.append(question)
        return choice

    talker.session.settings.overflow = Overflow.ASK
    talker.session.ask = ask
    if choice is Overflow.REFUSE:
        with pytest.raises(ContextFull):
            hear(talker.session.say(QUESTION))
    else:
        assert hear(talker.session.say(QUESTION)).finished
    (question,) = asked
    assert "the context holds 600" in question


def test_an_answer_that_fills_the_context_is_kept_and_gone_on_with_where_room_is_made(tmp_path: Path) -> None:
    talker = Talker(tmp_path / "c.db", limit=LIMIT, settings=Settings(Sampling(seed=1), overflow=Overflow.OLDEST))
    hear(talker.session.say("one"))
    cut = hear(talker.session.say("two")).finished
    assert cut.reason.value == "context"
    said = talker.texts()[-1]
    with pytest.raises(ContextFull):
        hear(talker.session.resume())  # the answer alone is too long now
    assert talker.texts()[-1] == said
