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
        self.added: list[Turn] = []

    @initialize(name=st.none() | st.just("name"))
    def create(self, name: str | None) -> None:
        self.conversation = self.store.create(Conversation(name=name))

    def some(self, data: st.DataObject) -> str | None:
        return (
            data.draw(st.none() | st.sampled_from(list(self.conversation.turns))) if self.conversation.turns else None
        )

    @rule(data=st.data(), role=roles, content=texts, finish=finishes)
    def append(self, data: st.DataObject, role: str, content: str, finish: FinishReason | None) -> None:
        turn = Turn(role, content, self.some(data), finish=finish, sampling={"seed": 1}, model=content[:3] or None)
        self.added.append(turn)
        self.conversation = self.store.append(self.conversation, turn)
        assert self.conversation.path()[-1] == turn

    @precondition(lambda self: self.conversation.turns)
    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        turn = data.draw(st.sampled_from(list(self.conversation.turns.values())))
        before = self.conversation.turns
        self.conversation = self.store.append(self.conversation, turn)
        assert self.conversation.turns == before

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        self.conversation = self.store.set_leaf(self.conversation, self.some(data))

    @precondition(lambda self: self.conversation.leaf)
    @rule(more=texts)
    def extend(self, more: str) -> None:
        leaf = self.conversation.path()[-1]
        # through bytes: two halves of a character may meet
        content = (leaf.content + more).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        self.conversation = self.store.extend(self.conversation, replace(leaf, content=content))
        assert self.conversation.path()[-1].content == content

    @precondition(lambda self: self.conversation.leaf)
    @rule(data=st.data())
    def copy_elsewhere(self, data: st.DataObject) -> None:
        path = self.conversation.path()
        self.conversation = self.store.append(self.conversation, *copy_turns(path, self.some(data)))
        assert [turn.content for turn in self.conversation.path()[-len(path) :]] == [turn.content for turn in path]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.folder / "conversations.db")

    @invariant()
    def the_file_agrees(self) -> None:
        assert self.store.load(self.conversation.id) == self.conversation
        assert list(self.store.load(self.conversation.id).turns) == list(self.conversation.turns)
        assert self.store.summaries()[0].messages == len(self.conversation.turns)

    @invariant()
    def no_turn_is_lost(self) -> None:
        for turn in self.added:
            assert self.conversation.turns[turn.id].parent == turn.parent

    @invariant()
    def it_is_a_tree(self) -> None:
        branches = self.conversation.branches()
        assert {turn.id for path in branches for turn in path} == set(self.conversation.turns)
        assert len({path[-1].id for path in branches}) == len(branches)
        for turn in self.conversation.turns.values():
            path = self.conversation.path(turn.id)
            assert path[-1] == turn
            assert path[0].parent is None
            assert turn in self.conversation.siblings(turn.id)
            assert turn in self.conversation.children(turn.parent)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


TestStoredTree = StoredTree.TestCase
TestStoredTree.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
