"""The tree of messages as a value: walking, branching, growing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gptcli.chat.conversation import Conversation, Turn, copy_turns, settings_of, title_of
from gptcli.errors import GptcliError
from gptcli.params import Sampling
from gptcli.types import FinishReason, Message

SYSTEM = Turn("system", "be brief", id="5y5")
ASK = Turn("user", "why is the sky blue?", "5y5", id="a5k")
SHORT = Turn("assistant", "Rayleigh.", "a5k", id="540", model="tiny", finish=FinishReason.STOP)
LONG = Turn("assistant", "Light is scattered", "a5k", id="100", finish=FinishReason.CANCELLED)
OTHER = Turn("user", "why is it red?", "5y5", id="07e")


@pytest.fixture
def sky() -> Conversation:
    return Conversation(id="5ky").add(SYSTEM, ASK, SHORT)


def test_messages_are_the_path_to_the_leaf(sky: Conversation) -> None:
    assert sky.messages() == (
        Message("system", "be brief"),
        Message("user", "why is the sky blue?"),
        Message("assistant", "Rayleigh."),
    )
    assert Conversation().messages() == ()


def test_retry_keeps_the_first_answer_as_a_sibling(sky: Conversation) -> None:
    ask = sky.last("user")
    assert ask is not None
    again = sky.at(ask.id).add(LONG)
    assert again.path() == (SYSTEM, ASK, LONG)
    assert again.siblings(LONG.id) == (SHORT, LONG)
    assert again.branches() == ((SYSTEM, ASK, SHORT), (SYSTEM, ASK, LONG))
    assert again.at(SHORT.id).path() == sky.path()


def test_edit_and_undo_go_back_to_before_the_message(sky: Conversation) -> None:
    undone = sky.at(ASK.parent)
    assert undone.messages() == (Message(SYSTEM.role, SYSTEM.content),)
    edited = undone.add(OTHER)
    assert edited.path() == (SYSTEM, OTHER)
    assert edited.children("5y5") == (ASK, OTHER)


def test_everything_can_be_undone() -> None:
    empty = Conversation().add(replace(ASK, parent=None)).at(None)
    assert empty.path() == ()
    assert empty.last("user") is None
    assert empty.children(None) == (replace(ASK, parent=None),)


def test_a_value_never_changes(sky: Conversation) -> None:
    sky.add(LONG)
    sky.at("5y5")
    sky.extend(replace(SHORT, content="Rayleigh. More"))
    assert sky == Conversation(id="5ky", created=sky.created).add(SYSTEM, ASK, SHORT)


def test_a_turn_needs_a_known_parent(sky: Conversation) -> None:
    with pytest.raises(KeyError):
        sky.add(Turn("user", "?", "nowhere"))
    with pytest.raises(KeyError):
        sky.at("nowhere")


def test_the_title_comes_from_the_first_message_and_the_model_from_the_last_answer(sky: Conversation) -> None:
    assert sky.add(Turn("user", "and now?", SHORT.id)).title == "why is the sky blue?"
    assert sky.model == "tiny"
    assert sky.updated == max(turn.created for turn in (SYSTEM, ASK, SHORT))


def test_a_continued_answer_replaces_the_stopped_one(sky: Conversation) -> None:
    stopped = sky.add(LONG)
    whole = replace(LONG, content="Light is scattered by air.", finish=FinishReason.STOP)
    done = stopped.extend(whole)
    assert done.path() == (SYSTEM, ASK, whole)
    assert len(done.turns) == len(stopped.turns)


@pytest.mark.parametrize("answered", [True, False])
def test_a_continued_answer_becomes_a_sibling_if_replacing_would_lose_text(sky: Conversation, answered: bool) -> None:
    there = sky.add(LONG, *([Turn("user", "go on", LONG.id)] if answered else []))
    new = replace(LONG, content="Light is scattered, yes." if answered else "Light is bent.")
    done = there.extend(new)
    assert done.turns[LONG.id] == LONG
    assert done.path()[-1].content == new.content
    assert done.siblings(LONG.id)[-1] == done.path()[-1]


def test_a_path_can_be_copied_below_another_system_message(sky: Conversation) -> None:
    other = Turn("system", "be verbose")
    moved = sky.add(other).add(*copy_turns(sky.path()[1:], other.id))
    assert [turn.content for turn in moved.path()] == ["be verbose", ASK.content, SHORT.content]
    assert [turn.content for turn in moved.at(SHORT.id).path()] == ["be brief", ASK.content, SHORT.content]
    assert len(moved.turns) == 6


def test_a_turn_is_found_by_a_prefix_of_its_id(sky: Conversation) -> None:
    both = sky.add(Turn("user", "?", SHORT.id, id="541"))
    assert both.find("5Y") == SYSTEM
    with pytest.raises(GptcliError, match="2 message ids"):
        both.find("54")
    with pytest.raises(GptcliError, match="No message id"):
        both.find("zz")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("short", "short"),
        ("  two\n\nlines\tand more ", "two lines and more"),
        ("word " * 30, "word word word word word word word word word word word…"),
        ("x" * 100, "x" * 59 + "…"),
        ("", ""),
    ],
)
def test_title(text: str, title: str) -> None:
    assert title_of(text) == title


def test_changed_parameters_become_json_values() -> None:
    assert settings_of(Sampling()) == {}
    sampling = Sampling(temperature=0.0, seed=7, logit_bias=((5, float("-inf")), ("a", 1.5)), samplers=("top_k",))
    changed = settings_of(sampling)
    assert changed == {
        "temperature": 0.0,
        "seed": 7,
        "logit_bias": [[5, "-inf"], ["a", 1.5]],
        "samplers": ["top_k"],
    }
    assert json.loads(json.dumps(changed, allow_nan=False)) == changed
