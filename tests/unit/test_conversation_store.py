"""Conversations in their file: durable, private, found again, shared, and safe from a full disk."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.store import Store
from gptcli.errors import GptcliError
from gptcli.types import FinishReason


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as opened:
        yield opened


def save(store: Store, *texts: str, name: str | None = None) -> Conversation:
    conversation = store.create(Conversation(name=name))
    for number, text in enumerate(texts):
        role = "assistant" if number % 2 else "user"
        conversation = store.append(conversation, Turn(role, text, conversation.leaf, created=number + 1e9))
    return conversation


def test_every_field_is_loaded_again(store: Store, path: Path) -> None:
    question = Turn("user", "a\0b\udc80 ü", created=3.25)
    answer = Turn(
        "assistant",
        "c",
        question.id,
        reasoning="hm",
        model="m\udcff.gguf",
        finish=FinishReason.CANCELLED,
        sampling={"seed": 7, "dry_sequence_breakers": ["\n"]},
        prompt_tokens=11,
        completion_tokens=0,
    )
    saved = store.append(store.create(Conversation(name="all")), question, answer)
    store.close()
    with Store(path) as again:
        assert again.load(saved.id) == saved
        assert again.last() == saved


def test_a_lone_surrogate_that_no_byte_made_does_not_stop_a_turn(store: Store) -> None:
    saved = save(store, "a\ud800b")
    assert [turn.content for turn in store.load(saved.id).path()] == ["a?b"]


def test_create_saves_missing_turns(store: Store) -> None:
    kept = Conversation().add(Turn("user", "hello"))
    saved = store.create(kept)
    assert store.load(kept.id) == saved
    grown = saved.add(Turn("assistant", "hi", saved.leaf))
    assert store.create(grown) == grown
    assert len(store.load(kept.id).turns) == 2


def test_a_taken_id_is_replaced(store: Store) -> None:
    first = save(store, "one")
    second = store.create(Conversation(id=first.id, created=1.0))
    assert second.id != first.id
    assert store.load(first.id) == first


def test_a_copy_under_another_id_has_turns_of_its_own(store: Store) -> None:
    first = save(store, "one", "two")
    copy = store.create(replace(first, id="copy22", name="copy"))
    store.delete(first.id)
    assert store.load("copy22") == copy


def test_a_turn_saved_twice_is_stored_once(store: Store, path: Path) -> None:
    conversation = store.create(Conversation())
    turn = Turn("user", "once")
    with Store(path) as other:
        grown = store.append(conversation, turn)
        other.append(conversation, turn)
        assert store.append(grown, turn) == grown
    assert store.load(conversation.id) == grown


def test_two_processes_that_answer_the_same_turn_create_branches(store: Store, path: Path) -> None:
    mine = save(store, "question")
    with Store(path) as other:
        theirs = other.append(other.load(mine.id), Turn("assistant", "theirs", mine.leaf))
        mine = store.append(mine, Turn("assistant", "mine", mine.leaf))
        assert [path[-1].content for path in other.load(mine.id).branches()] == ["theirs", "mine"]
        assert store.load(mine.id).leaf == mine.leaf != theirs.leaf


def test_continue_replaces_the_stopped_answer(store: Store) -> None:
    stopped = save(store, "question", "ans")
    whole = replace(stopped.path()[-1], content="answer", finish=FinishReason.STOP)
    done = store.extend(stopped, whole)
    assert done.path()[-1] == whole
    assert store.load(done.id) == done
    assert [hit.snippet for hit in store.search("answer")] == ["answer"]


@pytest.mark.parametrize("first", ["answered", "continued"])
def test_continue_keeps_the_changes_of_another_process(store: Store, path: Path, first: str) -> None:
    mine = save(store, "question", "ans")
    stopped = mine.path()[-1]
    with Store(path) as other:
        if first == "answered":
            other.append(other.load(mine.id), Turn("user", "enough", stopped.id))
        else:
            other.extend(other.load(mine.id), replace(stopped, content="ans1"))
        mine = store.extend(mine, replace(stopped, content="ans2"))
    stored = store.load(mine.id)
    assert stored.path()[-1].content == "ans2"
    assert stored.turns[stopped.id].content == ("ans" if first == "answered" else "ans1")
    assert len(stored.siblings(stopped.id)) == 2


def test_the_leaf_is_saved(store: Store) -> None:
    conversation = save(store, "one", "two", "three")
    moved = store.set_leaf(conversation, conversation.path()[0].id)
    assert store.load(conversation.id) == moved
    assert store.load(store.set_leaf(moved, None).id).leaf is None


def test_the_last_conversation_is_the_one_used_last(store: Store) -> None:
    assert store.last() is None
    old = save(store, "a")
    new = save(store, "b")
    assert store.last() == new
    store.append(old, Turn("assistant", "c", old.leaf))
    assert [summary.id for summary in store.summaries()] == [old.id, new.id]
    assert [(summary.title, summary.messages) for summary in store.summaries(limit=1)] == [("a", 2)]


def test_find_by_id_name_and_prefix(store: Store) -> None:
    with pytest.raises(GptcliError, match="There are no saved conversations"):
        store.find("sky")
    first = store.create(Conversation(id="abc234", name="Sky"))
    second = store.create(Conversation(id="abd234"))
    assert store.find("abc234") == first
    assert store.find("ABD") == second
    assert store.find("sky") == first
    with pytest.raises(GptcliError, match="2 conversations start with 'ab': abc234, abd234"):
        store.find("ab")
    with pytest.raises(GptcliError) as caught:
        store.find("skyy")
    assert caught.value.hint == "Did you mean Sky?"
    with pytest.raises(GptcliError, match="None of the 2"):
        store.find("")


def test_names_are_unique_and_can_be_typed(store: Store) -> None:
    first = save(store, "a", name="sky")
    second = save(store, "b")
    for name in ("sky", "SKY", first.id, "", " ", "a\nb", "\x1b[31m", "\udc80"):
        with pytest.raises(GptcliError):
            store.rename(second.id, name)
    with pytest.raises(GptcliError, match="already called 'sky'"):
        store.create(Conversation(name="sky"))
    assert len(store.summaries()) == 2
    store.rename(first.id, "Sky")
    store.rename(first.id, None)
    store.rename(second.id, "sky")
    assert store.find("sky").id == second.id
    with pytest.raises(GptcliError, match="not stored"):
        store.rename("nowhere", "x")


def test_a_deleted_conversation_is_not_in_the_file(store: Store, path: Path) -> None:
    secret = save(store, "xylophone", "zanzibar")
    kept = save(store, "trombone")
    store.delete(secret.id)
    assert store.search("xylophone") == []
    with pytest.raises(GptcliError):
        store.load(secret.id)
    data = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"trombone" in data
    assert b"xylophone" not in data
    assert b"zanzibar" not in data
    assert store.load(kept.id) == kept


def test_a_long_conversation_can_be_deleted(store: Store) -> None:
    turns: list[Turn] = []
    for _ in range(3000):  # more than SQLite's depth of nested triggers
        turns.append(Turn("user", "x", turns[-1].id if turns else None))
    conversation = store.create(Conversation().add(*turns))
    store.delete(conversation.id)
    assert store.summaries() == []


def test_writing_to_a_deleted_conversation_fails_and_it_can_be_saved_again(store: Store, path: Path) -> None:
    conversation = save(store, "one")
    with Store(path) as other:
        other.delete(conversation.id)
    with pytest.raises(GptcliError, match="deleted it"):
        store.append(conversation, Turn("assistant", "two", conversation.leaf))
    with pytest.raises(GptcliError, match="deleted it"):
        store.extend(conversation, conversation.path()[-1])
    assert store.create(conversation) == conversation


def test_a_commit_is_synced(store: Store) -> None:
    with store._file.reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_full_disk_is_an_error_and_loses_nothing(store: Store, path: Path) -> None:
    conversation = save(store, "one")
    db = store._file.connection
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + 2}")
    turn = Turn("assistant", "x" * 100_000, conversation.leaf)
    with pytest.raises(GptcliError, match="the disk is full"):
        store.append(conversation, turn)
    assert store.load(conversation.id) == conversation
    db.execute("PRAGMA max_page_count = 100000")
    grown = store.append(conversation, turn)
    with Store(path) as again:
        assert again.load(conversation.id) == grown


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_only_the_user_can_read_it(path: Path) -> None:
    old = os.umask(0)
    try:
        with Store(path) as store:
            save(store, "one")
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert modes == dict.fromkeys([path.name, f"{path.name}-wal", f"{path.name}-shm"], 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    Store(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_not_a_database_is_refused_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    path.write_bytes(b"no database " * 100)
    with pytest.raises(GptcliError, match="not an SQLite file"):
        Store(path)
    assert path.read_bytes() == b"no database " * 100


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GptcliError) as caught:
        Store(tmp_path / "file" / "conversations.db")
    assert "GPTCLI_DATA_DIR" in caught.value.hint


def test_the_environment_chooses_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTCLI_DATA_DIR", str(tmp_path))
    Store().close()
    assert (tmp_path / "conversations.db").exists()


def test_an_interrupted_transaction_leaves_nothing(store: Store, path: Path) -> None:
    def interrupted() -> None:
        with store._file.writing() as db:
            db.execute("DELETE FROM conversations")
            raise KeyboardInterrupt

    conversation = save(store, "one")
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT id FROM conversations").fetchall() == [(conversation.id,)]
