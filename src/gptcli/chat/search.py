"""Finds words in stored messages: with an FTS5 index, which also ignores accents, else by reading them all."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

_ADD = "INSERT INTO message_index (rowid, content) VALUES (new.seq, new.content);"
_REMOVE = "INSERT INTO message_index (message_index, rowid, content) VALUES ('delete', old.seq, old.content);"
_TRIGGERS = {
    "message_index_insert": f"AFTER INSERT ON messages BEGIN {_ADD} END",
    "message_index_delete": f"AFTER DELETE ON messages BEGIN {_REMOVE} END",
    "message_index_update": f"AFTER UPDATE OF content ON messages BEGIN {_REMOVE} {_ADD} END",
}
_Row = tuple[Any, ...]
_SNIPPET_BEFORE, _SNIPPET_LENGTH = 30, 120  # characters


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that matches, and where it is."""

    conversation: str
    name: str | None
    title: str
    message: str
    role: str
    created: float
    snippet: str


def has_fts5(db: sqlite3.Connection) -> bool:
    """Whether this SQLite can keep a full-text index (https://sqlite.org/fts5.html)."""
    return db.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone() is not None


def prepare(db: sqlite3.Connection, fts5: bool) -> None:
    """In a transaction: create the index; without FTS5, drop the triggers, which would make every write fail.
    Both kinds of SQLite may open the same file. Without triggers the index is stale, and is rebuilt."""
    if fts5 and not has_triggers(db):
        db.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS message_index USING fts5"
            " (content, content='messages', content_rowid='seq', tokenize='unicode61 remove_diacritics 2')"
        )
        for name, action in _TRIGGERS.items():
            db.execute(f"CREATE TRIGGER {name} {action}")
        db.execute("INSERT INTO message_index (message_index) VALUES ('rebuild')")
    elif not fts5:
        for name in _TRIGGERS:
            db.execute(f"DROP TRIGGER IF EXISTS {name}")


def optimize(db: sqlite3.Connection, fts5: bool) -> None:
    """Merge the index, so that the words of deleted messages leave the file."""
    if fts5:
        db.execute("INSERT INTO message_index (message_index) VALUES ('optimize')")


def find(db: sqlite3.Connection, query: str, fts5: bool, limit: int | None) -> list[Hit]:
    """Messages with every word of `query`, newest first; case is ignored, and words may have any ending. What is not in
    the index ("C++", "--yes", the middle of a word, scripts without spaces) is searched for literally."""
    words = query.split()
    if not words:
        return []
    if fts5 and all(word.isalnum() for word in words):
        match = " ".join(f'"{word}"*' for word in words)
        rows = _rows(db, "WHERE seq IN (SELECT rowid FROM message_index WHERE message_index MATCH ?)", match)
        if found := _hits(rows, words, limit):
            return found
    patterns = [re.compile(re.escape(word), re.IGNORECASE) for word in words]
    rows = _rows(db, "")
    return _hits((row for row in rows if all(pattern.search(row[-1]) for pattern in patterns)), words, limit)


def _rows(db: sqlite3.Connection, where: str, *values: str) -> Iterator[_Row]:
    return db.execute(
        "SELECT c.id, c.name, c.title, m.id, m.role, m.created, m.content FROM messages AS m"
        f" JOIN conversations AS c ON c.id = m.conversation {where} ORDER BY m.seq DESC",
        values,
    )


def _hits(rows: Iterator[_Row], words: list[str], limit: int | None) -> list[Hit]:
    return [Hit(*(*place, _snippet(content, words))) for *place, content in islice(rows, limit)]


def _snippet(content: str, words: list[str]) -> str:
    """One line around the first of `words` that occurs literally."""
    places = (re.search(re.escape(word), content, re.IGNORECASE) for word in words)
    start = max(0, next((place.start() for place in places if place), 0) - _SNIPPET_BEFORE)
    end = start + _SNIPPET_LENGTH
    text = " ".join(content[start:end].split())
    return ("…" if start else "") + text + ("…" if end < len(content) else "")


def has_triggers(db: sqlite3.Connection) -> bool:
    """Whether changes of messages change the index."""
    names = ", ".join("?" * len(_TRIGGERS))
    query = f"SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name IN ({names})"
    return bool(db.execute(query, tuple(_TRIGGERS)).fetchone()[0])
