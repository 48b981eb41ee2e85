"""A file of an older schema is brought up to date with all its rows; one of a newer schema is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.database import MIGRATIONS
from gptcli.chat.store import Store
from gptcli.errors import GptcliError

CONTENTS = """
INSERT INTO conversations VALUES ('abcdef', 'old', 'hello', 'tiny', 'b', 1.5, 2.5);
INSERT INTO messages (seq, id, conversation, parent, role, content, created, model, finish, sampling)
VALUES (1, 'a', 'abcdef', NULL, 'user', 'hello', 1.5, NULL, NULL, '{}'),
       (2, 'b', 'abcdef', 'a', 'assistant', 'hi', 2.5, 'tiny', 'stop', '{"seed": 1}');
"""


def file_of(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statements in MIGRATIONS[:version]:
            for statement in statements:
                db.execute(statement)
        if version:
            db.executescript(CONTENTS)
        db.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_every_older_version_keeps_its_conversations(tmp_path: Path, version: int) -> None:
    path = tmp_path / "conversations.db"
    file_of(path, version)
    with Store(path) as store:
        old = store.find("old")
        assert [(turn.id, turn.content, turn.reasoning) for turn in old.path()] == [
            ("a", "hello", ""),
            ("b", "hi", ""),
        ]
        assert old.path()[-1].sampling == {"seed": 1}
        assert [hit.message for hit in store.search("hello")] == ["a"]
        store.append(old, Turn("user", "more", old.leaf, reasoning="none"))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    file_of(path, 1)
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE messages ADD COLUMN reasoning")  # which the next step will trip over
        before = list(db.iterdump())
    with pytest.raises(sqlite3.OperationalError):
        Store(path)
    with closing(sqlite3.connect(path)) as db:
        assert list(db.iterdump()) == before
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    with Store(path) as store:
        store.create(Conversation())
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
        db.execute("PRAGMA journal_mode = DELETE")
    before = path.read_bytes()
    with pytest.raises(GptcliError, match="newer gptcli \\(schema 99"):
        Store(path)
    assert path.read_bytes() == before
