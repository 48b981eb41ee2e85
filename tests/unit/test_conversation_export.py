"""Conversations as documents: messages, branches, and unclosed code blocks."""

from __future__ import annotations

import json

import pytest

from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.export import markdown, record, tree
from gptcli.types import FinishReason

ASK = Turn("user", "hi", id="a" * 32, created=0.0)
ONE = Turn("assistant", "hello", ASK.id, id="b" * 32, created=1.0, finish=FinishReason.STOP, model="tiny")
MORE = Turn("user", "more", ONE.id, id="c" * 32, created=2.0)
TWO = Turn("assistant", "hel", ASK.id, id="d" * 32, created=3.0, finish=FinishReason.CANCELLED)
CONVERSATION = Conversation(id="abc234", created=0.0).add(ASK, ONE, MORE, TWO)


def test_markdown_is_the_current_path() -> None:
    assert markdown(CONVERSATION) == "# hi\n\n## User\n\nhi\n\n## Assistant (stopped by the user)\n\nhel\n"
    assert markdown(Conversation(id="abc234")) == "# abc234\n"


def test_the_tree_has_every_message_once() -> None:
    assert tree(CONVERSATION).split("\n\n")[1::2] == [
        "## User (aaaaaaaa)",
        "## Assistant (bbbbbbbb, 1 of 2, another branch)",
        "## User (cccccccc, another branch)",
        "## Assistant (dddddddd, 2 of 2, after aaaaaaaa, stopped by the user)",
    ]
    other = CONVERSATION.add(Turn("user", "anew", id="e" * 32))
    assert "## User (eeeeeeee, 2 of 2, first message)\n\nanew\n" in tree(other)


def test_a_record_is_a_json_value() -> None:
    found = record(CONVERSATION, CONVERSATION.turns.values())
    assert json.loads(json.dumps(found)) == found
    assert found["leaf"] == TWO.id
    assert found["messages"][1] == {  # type: ignore[index]
        "id": ONE.id,
        "parent": ASK.id,
        "role": "assistant",
        "content": "hello",
        "created": "1970-01-01T00:00:01+00:00",
        "model": "tiny",
        "finish_reason": "stop",
        "sampling": {},
        "usage": {"prompt_tokens": None, "completion_tokens": None},
    }


@pytest.mark.parametrize(
    ("content", "end"),
    [
        ("```c++\nint x;", "\n```"),
        ("~~~~\n```\n~~~", "\n~~~~"),
        ("```\nx\n```", ""),
        ("```\nx\n``` y", "\n```"),
        ("````\n```\n````", ""),
        ("``` a ` b", ""),
        ("    ```", ""),
        ("```\n`````", ""),
        ("```a\n```\n```b", "\n```"),
    ],
)
def test_an_unclosed_code_block_is_closed(content: str, end: str) -> None:
    assert markdown(Conversation().add(Turn("user", content))).endswith(f"## User\n\n{content}{end}\n")
