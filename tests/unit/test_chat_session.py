"""A talk on the fake backend: what is computed, what is saved and when, and what every move leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from answers import script
from talker import Talker, hear

from gptcli.chat.conversation import Conversation
from gptcli.chat.store import Store
from gptcli.errors import EngineError, GptcliError
from gptcli.params import Sampling
from gptcli.types import Delta, Event, Finished, FinishReason, Started

ENDS = len("<|im_end|>\n")
WRAP = len("<|im_start|>user\n") + ENDS + len("<|im_start|>assistant\n")
"""Bytes, each a token here, that ChatML puts around a question."""


@pytest.fixture
def talker(tmp_path: Path) -> Talker:
    return Talker(tmp_path / "conversations.db")


def on(kind: type, act: Callable[[], None], after: int = 1) -> Callable[[Event], None]:
    """Something to do when so many events of a kind have come."""
    left = after

    def look(event: Event) -> None:
        nonlocal left
        left -= isinstance(event, kind)
        if left == 0:
            left = -1
            act()

    return look


def test_every_turn_is_in_the_store_before_its_last_event_is_out(talker: Talker) -> None:
    seen: list[list[str]] = []

    def look(event: Event) -> None:
        if isinstance(event, Started | Finished):
            seen.append([turn.content for turn in talker.stored().path()])

    first = hear(talker.session.say("one"), look)
    second = hear(talker.session.say("two"), look)
    whole = ["one", first.answer, "two", second.answer]
    assert seen == [whole[:1], whole[:2], whole[:3], whole]
    assert talker.stored().path()[-1].finish is second.finished.reason
    assert talker.stored().path()[-1].model == "/models/fake.gguf"


def test_a_further_turn_computes_only_what_is_new(talker: Talker) -> None:
    hear(talker.session.say("one"))
    for question in ("two", "and three"):
        before = talker.backend.computed
        heard = hear(talker.session.say(question))
        # of the answer before, the last token was sampled but not computed
        assert heard.computed == 1 + ENDS + WRAP + len(question)
        assert talker.backend.computed - before == heard.computed + heard.finished.completion_tokens - 1


def test_another_answer_and_another_wording_compute_only_what_differs(talker: Talker) -> None:
    hear(talker.session.say("one"))
    first = hear(talker.session.say("two"))
    again = hear(talker.session.retry())
    assert again.computed == 1
    assert again.answer != first.answer
    edited = hear(talker.session.edit("twenty"))
    assert edited.computed == len("enty") + WRAP - len("<|im_start|>user\n")
    talker.session.undo()
    assert hear(talker.session.say("two")).computed == len("o") + WRAP - len("<|im_start|>user\n")


def test_what_was_there_stays_on_its_branch(talker: Talker) -> None:
    session = talker.session
    one = hear(session.say("one")).answer
    two = hear(session.say("two")).answer
    other = hear(session.retry()).answer
    third = hear(session.edit("three")).answer
    ends = [[turn.content for turn in path] for path in talker.stored().branches()]
    assert ends == [["one", one, "two", two], ["one", one, "two", other], ["one", one, "three", third]]
    session.goto(session.conversation.branches()[0][-1].id[:8])
    assert talker.texts() == ["one", one, "two", two]
    assert session.undo().content == "two"
    assert talker.texts() == ["one", one]
    assert talker.stored().leaf == session.conversation.leaf


def test_each_answer_to_a_message_has_a_seed_of_its_own(talker: Talker) -> None:
    talker.session.settings.sampling = Sampling(seed=2**32 - 2)
    seeds = [hear(talker.session.say("one")).finished.seed]
    seeds += [hear(talker.session.retry()).finished.seed for _ in range(2)]
    assert seeds == [2**32 - 2, 0, 1]


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_continue_goes_on_from_the_very_tokens(talker: Talker, tmp_path: Path, cut: int) -> None:
    whole = hear(Talker(tmp_path / "other.db").session.say("one"))
    talker.session.settings.max_tokens = cut
    hear(talker.session.say("one"))
    talker.session.settings.max_tokens = 12 - cut
    rest = hear(talker.session.resume())
    assert rest.computed == 1
    assert talker.texts() == ["one", whole.answer]
    (turn,) = [turn for turn in talker.stored().turns.values() if turn.role == "assistant"]
    assert (turn.content, turn.completion_tokens) == (whole.answer, 12)


def test_continue_goes_on_inside_reasoning_and_inside_a_character(tmp_path: Path) -> None:
    said = "<think>Hm — é?</think>It is é.".encode()
    whole = Talker(tmp_path / "whole.db", script(said), template="{{ messages[0].content }}\0")
    whole.session.settings.max_tokens = None
    hear(whole.session.say("What?"))
    for cut in range(8, len(said)):
        talker = Talker(tmp_path / f"{cut}.db", script(said), template="{{ messages[0].content }}\0")
        talker.session.settings.max_tokens = cut
        hear(talker.session.say("What?"))
        talker.session.settings.max_tokens = None
        hear(talker.session.resume())
        turn = talker.stored().path()[-1]
        assert turn.content == whole.stored().path()[-1].content
        assert turn.reasoning.startswith("Hm — é?")  # and, cut amid the marker, the beginning of that
        assert "</think>".startswith(turn.reasoning.removeprefix("Hm — é?"))


def test_continue_of_another_session_goes_on_from_the_text(talker: Talker, tmp_path: Path) -> None:
    talker.session.settings.max_tokens = 5
    first = hear(talker.session.say("one")).answer
    later = Talker(talker.path, conversation=talker.stored())
    rest = hear(later.session.resume()).answer
    assert later.texts() == ["one", first + rest]
    assert len(talker.stored().turns) == 2


def test_thinking_that_another_session_began_is_not_gone_on_with(tmp_path: Path) -> None:
    talker = Talker(tmp_path / "c.db", script(b"<think>hm hm hm"), template="{{ messages[0].content }}\0")
    hear(talker.session.say("What?"))
    later = Talker(talker.path, conversation=talker.stored())
    with pytest.raises(GptcliError, match="while the model was thinking"):
        hear(later.session.resume())


def test_another_model_goes_on_from_the_text(talker: Talker) -> None:
    first = hear(talker.session.say("one")).answer
    talker.session.voice = talker.voice("other")
    rest = hear(talker.session.resume())
    assert rest.finished is not None
    assert talker.texts() == ["one", first + rest.answer]
    assert talker.stored().model == "/models/other.gguf"


def test_an_answer_that_is_stopped_is_kept_and_gone_on_with(talker: Talker, tmp_path: Path) -> None:
    talker.session.settings.max_tokens = 40
    whole = hear(Talker(tmp_path / "o.db", settings=talker.session.settings).session.say("one")).answer
    heard = hear(talker.session.say("one"), on(Delta, talker.interrupt.request, after=3))
    talker.interrupt.clear()
    assert heard.finished.reason is FinishReason.CANCELLED
    assert [(turn.content, turn.finish) for turn in talker.stored().path()][1] == (heard.answer, heard.finished.reason)
    assert whole.startswith(heard.answer)
    assert heard.answer != whole
    talker.session.settings.max_tokens = 40 - heard.finished.completion_tokens
    hear(talker.session.resume())
    assert talker.texts() == ["one", whole]
    assert talker.stored().path()[-1].finish is not FinishReason.CANCELLED


@pytest.mark.parametrize("move", ["say", "retry", "edit", "resume"])
def test_what_is_stopped_before_a_word_leaves_everything_as_it_was(talker: Talker, move: str) -> None:
    hear(talker.session.say("one"))
    before = talker.texts()
    talker.interrupt.request()
    arguments = {"say": ("two",), "edit": ("two",)}.get(move, ())
    hear(getattr(talker.session, move)(*arguments))
    assert talker.texts() == before
    assert talker.stored().leaf == talker.session.conversation.leaf
    talker.interrupt.clear()
    hear(talker.session.say("two"))
    assert talker.texts()[:3] == [*before, "two"]


def test_who_stops_listening_leaves_what_was_said_in_the_store(talker: Talker) -> None:
    events = talker.session.say("one")
    said = ""
    for event in events:
        if isinstance(event, Delta):
            said += event.text
            if len(said) > 3:
                break
    events.close()
    assert [(turn.content, turn.finish) for turn in talker.stored().path()] == [
        ("one", None),
        (said, FinishReason.CANCELLED),
    ]
    assert hear(talker.session.say("two")).answer


def test_a_failed_answer_leaves_the_talk_where_it_was_and_can_be_tried_again(tmp_path: Path) -> None:
    talker = Talker(tmp_path / "c.db", fail_at=frozenset({1, 2}))
    with pytest.raises(EngineError):
        hear(talker.session.say("one"))
    assert talker.texts() == []
    with pytest.raises(EngineError):
        hear(talker.session.say("one"))
    heard = hear(talker.session.say("one"))
    assert talker.texts() == ["one", heard.answer]
    assert len(talker.stored().turns) == 2  # the message that was sent three times is there once


def test_an_answer_that_fails_midway_is_kept_as_far_as_it_came(tmp_path: Path) -> None:
    talker = Talker(tmp_path / "c.db", fail_at=frozenset({8}))
    said: list[str] = []
    with pytest.raises(EngineError):
        hear(talker.session.say("one"), lambda event: said.append(getattr(event, "text", "")))
    assert "".join(said)
    assert [turn.content for turn in talker.stored().path()] == ["one", "".join(said)]
    assert hear(talker.session.resume()).answer


def test_two_messages_never_follow_each_other(talker: Talker) -> None:
    hear(talker.session.say("one"))
    asked = talker.session.conversation.path()[0]
    talker.session.goto(asked.id)
    heard = hear(talker.session.say("two"))
    assert talker.texts() == ["two", heard.answer]
    assert "stays on a branch of its own" in talker.told[0]
    assert len(talker.stored().branches()) == 2


def test_nothing_is_answered_before_something_was_said(talker: Talker) -> None:
    for move in (talker.session.retry, talker.session.resume, lambda: talker.session.edit("x")):
        with pytest.raises(GptcliError, match=r"Nothing has been said|no answer to go on with"):
            hear(move())
    with pytest.raises(GptcliError):
        talker.session.undo()


def test_another_system_message_keeps_what_was_said(talker: Talker) -> None:
    talker.session.set_system("Be brief.")
    with Store(talker.path) as store:
        assert store.summaries() == []  # nobody has spoken yet
    first = hear(talker.session.say("one")).answer
    talker.session.set_system("Be brief.")
    assert len(talker.stored().turns) == 3
    talker.session.set_system("Be long.")
    assert talker.texts() == ["Be long.", "one", first]
    talker.session.set_system("")
    assert talker.texts() == ["one", first]
    assert len(talker.stored().branches()) == 3


def test_nothing_is_saved_that_should_not_be_until_it_should(tmp_path: Path) -> None:
    talker = Talker(tmp_path / "c.db", saving=False)
    first = hear(talker.session.say("one")).answer
    assert talker.store.summaries() == []
    talker.session.book.keep("later", talker.store)
    second = hear(talker.session.say("two")).answer
    assert [turn.content for turn in talker.store.find("later").path()] == ["one", first, "two", second]


def test_a_full_disk_is_told_and_the_talk_goes_on_until_there_is_room(tmp_path: Path) -> None:
    talker = Talker(tmp_path / "c.db", limit=30_000)
    hear(talker.session.say("one"))
    db = talker.store._file.connection
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    hear(talker.session.say("two" * 5000))
    assert "not saved" in talker.told[0]
    assert "full" in talker.told[0]
    assert talker.session.book.behind
    hear(talker.session.resume())
    db.execute("PRAGMA max_page_count = 100000")
    hear(talker.session.say("three"))
    assert not talker.session.book.behind
    assert [turn.content for turn in talker.stored().path()] == talker.texts()
    assert len(talker.texts()) == 6


def test_a_conversation_that_another_process_deletes_is_saved_anew(talker: Talker) -> None:
    hear(talker.session.say("one"))
    with Store(talker.path) as store:
        store.delete(talker.session.conversation.id)
    hear(talker.session.say("two"))
    assert "not saved" in talker.told[0]
    hear(talker.session.say("three"))
    assert [turn.content for turn in talker.stored().path()] == talker.texts()


def test_a_new_conversation_begins_with_nothing(talker: Talker) -> None:
    hear(talker.session.say("one"))
    first = talker.session.conversation.id
    talker.session.begin(Conversation())
    hear(talker.session.say("two"))
    assert {summary.id for summary in talker.store.summaries()} == {first, talker.session.conversation.id}
    talker.session.begin(talker.store.load(first))
    assert talker.texts()[0] == "one"


def test_the_answers_settings_are_kept_with_it(talker: Talker) -> None:
    sampling = Sampling(seed=1, temperature=0.2, chosen=frozenset({"temperature"}))
    talker.session.settings.sampling = replace(sampling)
    hear(talker.session.say("one"))
    assert talker.stored().path()[-1].sampling == {"temperature": 0.2, "seed": 1}
