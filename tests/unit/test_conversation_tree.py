"""After any sequence of changes, the file and the value in memory agree."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gptcli.chat.conversation import Conversation, Turn, copy_turns
from gptcli.chat.store import Store
from gptcli.types import FinishReason

texts = st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape"))
roles = st.sampled_from(["system", "user", "assistant", "tool"])
finishes = st.none() | st.sampled_from(FinishReason)


class StoredTree(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(self.folder / "conversations.db")
        self.said: list[Turn] = []

    @initialize(name=st.none() | st.just("name"))
    def create(self, name: str | None) -> None:
        self.talk = self.store.create(Conversation(name=name))

    def some(self, data: st.DataObject) -> str | None:
        return data.draw(st.none() | st.sampled_from(list(self.talk.turns))) if self.talk.turns else None

    @rule(data=st.data(), role=roles, content=texts, finish=finishes)
    def say(self, data: st.DataObject, role: str, content: str, finish: FinishReason | None) -> None:
        turn = Turn(role, content, self.some(data), finish=finish, sampling={"seed": 1}, model=content[:3] or None)
        self.said.append(turn)
        self.talk = self.store.append(self.talk, turn)
        assert self.talk.path()[-1] == turn

    @precondition(lambda self: self.talk.turns)
    @rule(data=st.data())
    def say_again(self, data: st.DataObject) -> None:
        turn = data.draw(st.sampled_from(list(self.talk.turns.values())))
        before = self.talk.turns
        self.talk = self.store.append(self.talk, turn)
        assert self.talk.turns == before

    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        self.talk = self.store.set_leaf(self.talk, self.some(data))

    @precondition(lambda self: self.talk.leaf)
    @rule(more=texts)
    def go_on(self, more: str) -> None:
        leaf = self.talk.path()[-1]
        # through bytes: two halves of a character may meet
        content = (leaf.content + more).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        self.talk = self.store.extend(self.talk, replace(leaf, content=content))
        assert self.talk.path()[-1].content == content

    @precondition(lambda self: self.talk.leaf)
    @rule(data=st.data())
    def copy_elsewhere(self, data: st.DataObject) -> None:
        path = self.talk.path()
        self.talk = self.store.append(self.talk, *copy_turns(path, self.some(data)))
        assert [turn.content for turn in self.talk.path()[-len(path) :]] == [turn.content for turn in path]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.folder / "conversations.db")

    @invariant()
    def the_file_agrees(self) -> None:
        assert self.store.load(self.talk.id) == self.talk
        assert list(self.store.load(self.talk.id).turns) == list(self.talk.turns)
        assert self.store.summaries()[0].messages == len(self.talk.turns)

    @invariant()
    def nothing_said_is_gone(self) -> None:
        for turn in self.said:
            assert self.talk.turns[turn.id].parent == turn.parent

    @invariant()
    def it_is_a_tree(self) -> None:
        branches = self.talk.branches()
        assert {turn.id for path in branches for turn in path} == set(self.talk.turns)
        assert len({path[-1].id for path in branches}) == len(branches)
        for turn in self.talk.turns.values():
            path = self.talk.path(turn.id)
            assert path[-1] == turn
            assert path[0].parent is None
            assert turn in self.talk.siblings(turn.id)
            assert turn in self.talk.children(turn.parent)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


TestStoredTree = StoredTree.TestCase
TestStoredTree.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
