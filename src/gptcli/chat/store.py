"""Saved conversations. When a method returns, the change is on disk, whatever other processes do.

Turns bring their own ids, so writing one again after a failure is safe."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

from gptcli import settings
from gptcli.chat import search
from gptcli.chat.conversation import Conversation, Summary, Turn, extension, new_conversation_id
from gptcli.chat.database import Database
from gptcli.errors import GptcliError
from gptcli.types import FinishReason

_CONVERSATION = "id, name, title, model, leaf, created, updated"
_TURN = "role, content, parent, id, created, reasoning, model, finish, sampling, prompt_tokens, completion_tokens"
"""The columns of both tables, in the order of `Conversation` and `Turn`."""
_LONGER = " AND ".join(
    f"instr(CAST(excluded.{name} AS BLOB), CAST({name} AS BLOB)) = 1" for name in ("content", "reasoning")
)
_REPLACE = ", ".join(f"{name} = excluded.{name}" for name in _TURN.split(", "))


class Store:
    """The file of conversations; close it, or use it in a `with`."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or create the file, by default `conversations.db` in the data folder. Every method raises GptcliError if
        it fails, if the disk is full, say; this one also if a newer gptcli wrote the file."""
        self.path = path or settings.data_dir() / "conversations.db"
        self._file = Database(self.path)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def create(self, conversation: Conversation) -> Conversation:
        """Save a whole conversation, stored already or not; under another id if its own is taken. Raises GptcliError
        for a name that is taken or invalid."""
        conversation = replace(conversation, updated=max(conversation.created, conversation.updated))
        query = "SELECT created FROM conversations WHERE id = ?"
        with self._file.writing() as db:
            while (row := db.execute(query, (conversation.id,)).fetchone()) and row[0] != conversation.created:
                conversation = replace(conversation, id=new_conversation_id())
            if not row:
                _check_name(db, conversation.id, conversation.name)
                db.execute(
                    f"INSERT INTO conversations ({_CONVERSATION}) VALUES (?, ?, '', NULL, NULL, ?, ?)",
                    (conversation.id, conversation.name, conversation.created, conversation.updated),
                )
            _insert(db, conversation.id, tuple(conversation.turns.values()))
            _update(db, conversation)
        return conversation

    def append(self, conversation: Conversation, *turns: Turn) -> Conversation:
        """Save turns of a stored conversation, all or none, and return it with them; the last becomes its leaf. A turn
        whose id is stored stays as it is, or grows. Raises GptcliError if the conversation was deleted."""
        grown = conversation.add(*turns)
        with self._file.writing() as db:
            _update(db, grown)
            _insert(db, grown.id, turns)
        return grown

    def extend(self, conversation: Conversation, turn: Turn) -> Conversation:
        """Save a longer version of a stored answer, in its place or beside it (see `conversation.extension`), as the
        leaf. Raises GptcliError if the conversation was deleted."""
        with self._file.writing() as db:
            query = f"SELECT {_TURN} FROM messages WHERE conversation = ? AND id = ?"
            row = db.execute(query, (conversation.id, turn.id)).fetchone()
            if not row:
                raise _not_stored(conversation.id)
            query = "SELECT 1 FROM messages WHERE conversation = ? AND parent = ?"
            answered = db.execute(query, (conversation.id, turn.id)).fetchone() is not None
            kept = extension(_turn(row), answered, turn)
            grown = conversation.put(kept)
            _update(db, grown)
            _insert(db, grown.id, (kept,))
        return grown

    def set_leaf(self, conversation: Conversation, leaf: str | None) -> Conversation:
        """Save another leaf: /undo, /goto, /branch. Nothing is deleted."""
        moved = conversation.at(leaf)
        with self._file.writing() as db:
            _update(db, moved)
        return moved

    def rename(self, conversation_id: str, name: str | None) -> None:
        """Set or remove the name. Raises GptcliError for a name that is taken or invalid."""
        with self._file.writing() as db:
            _check_name(db, conversation_id, name)
            if not db.execute("UPDATE conversations SET name = ? WHERE id = ?", (name, conversation_id)).rowcount:
                raise _not_stored(conversation_id)

    def delete(self, conversation_id: str) -> None:
        """Delete a conversation with all its branches, and its words from the file and the index."""
        with self._file.writing() as db:
            db.execute("DELETE FROM conversations WHERE id = ?", (conversation_id,))
            search.optimize(db, self._file.fts5)
        self._file.scrub()

    def load(self, conversation_id: str) -> Conversation:
        """The conversation with exactly this id. Raises GptcliError if there is none."""
        with self._file.reading() as db:
            query = f"SELECT {_CONVERSATION} FROM conversations WHERE id = ?"
            head = db.execute(query, (conversation_id,)).fetchone()
            query = f"SELECT {_TURN} FROM messages WHERE conversation = ? ORDER BY seq"
            rows = db.execute(query, (conversation_id,)).fetchall()
        if head is None:
            raise _not_stored(conversation_id)
        return Conversation(*(*head, {turn.id: turn for turn in map(_turn, rows)}))

    def find(self, reference: str) -> Conversation:
        """The conversation with this id or name, or the only one whose id starts with it. Or GptcliError."""
        with self._file.reading() as db:
            names = db.execute("SELECT id, name FROM conversations").fetchall()
        wanted = reference.lower()
        for matches in (
            [key for key, _ in names if key == wanted],
            [key for key, name in names if name and name.lower() == wanted],
            [key for key, _ in names if wanted and key.startswith(wanted)],
        ):
            if len(matches) == 1:
                return self.load(matches[0])
            if matches:
                some = ", ".join(matches[:5]) + (", …" if len(matches) > 5 else "")
                raise GptcliError(f"{len(matches)} conversations start with {reference!r}: {some}.", "Type more of it.")
        if not names:
            raise GptcliError("There are no saved conversations.", "Start one with `gptcli chat`.")
        raise GptcliError(f"None of the {len(names)} conversations is {reference!r}.", _nearest(wanted, names))

    def last(self) -> Conversation | None:
        """The conversation used last; None if there is none."""
        newest = self.summaries(limit=1)
        return self.load(newest[0].id) if newest else None

    def summaries(self, limit: int | None = None) -> list[Summary]:
        """All conversations, or `limit` of them, the last used first."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT id, name, title, model, created, updated,"
                " (SELECT count(*) FROM messages WHERE conversation = c.id)"
                " FROM conversations AS c ORDER BY updated DESC, rowid DESC LIMIT ?",
                (-1 if limit is None else limit,),
            ).fetchall()
        return [Summary(*row) for row in rows]

    def search(self, query: str, limit: int | None = None) -> list[search.Hit]:
        """Messages with every word of `query`, newest first, on every branch."""
        with self._file.reading() as db:
            return search.find(db, query, self._file.fts5, limit)


def _turn(row: tuple[Any, ...]) -> Turn:
    """From the columns `_TURN`."""
    *before, finish, sampling, prompt_tokens, completion_tokens = row
    reason = FinishReason(finish) if finish else None
    return Turn(*(*before, reason, json.loads(sampling), prompt_tokens, completion_tokens))


def _row(turn: Turn) -> tuple[object, ...]:
    """The columns `_TURN`."""
    return (
        turn.role,
        _stored_text(turn.content),
        turn.parent,
        turn.id,
        turn.created,
        _stored_text(turn.reasoning),
        _stored_text(turn.model),
        turn.finish.value if turn.finish else None,
        json.dumps(dict(turn.sampling)),
        turn.prompt_tokens,
        turn.completion_tokens,
    )


def _stored_text(text: str | None) -> bytes | None:
    """Text as its bytes, UTF-8 or not (SQL casts them to TEXT); other lone surrogates become "?"."""
    try:
        return None if text is None else text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        return error.object.encode("utf-8", "replace")


def _insert(db: sqlite3.Connection, conversation_id: str, turns: tuple[Turn, ...]) -> None:
    """Turns as new rows. A row with the same id stays as it is, unless the turn starts with its text."""
    db.executemany(
        f"INSERT INTO messages (conversation, {_TURN}) VALUES"
        " (?, ?, CAST(? AS TEXT), ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, ?)"
        f" ON CONFLICT (conversation, id) DO UPDATE SET {_REPLACE} WHERE {_LONGER}",
        [(conversation_id, *_row(turn)) for turn in turns],
    )


def _update(db: sqlite3.Connection, conversation: Conversation) -> None:
    """Leaf, model, title and time of a stored conversation. Raises GptcliError if it was deleted."""
    model, title = _stored_text(conversation.model), _stored_text(conversation.title)
    done = db.execute(
        "UPDATE conversations SET leaf = ?, model = CAST(? AS TEXT), updated = max(updated, ?),"
        " title = CASE title WHEN '' THEN CAST(? AS TEXT) ELSE title END WHERE id = ?",
        (conversation.leaf, model, conversation.updated, title, conversation.id),
    )
    if not done.rowcount:
        raise _not_stored(conversation.id)


def _check_name(db: sqlite3.Connection, conversation_id: str, name: str | None) -> None:
    if name is None:
        return
    if not name.strip() or not name.isprintable():
        raise GptcliError(f"{name!r} cannot be the name of a conversation.", "Use printable characters.")
    query = "SELECT id FROM conversations WHERE (name = ? OR id = ?) AND id != ?"
    if taken := db.execute(query, (name, name, conversation_id)).fetchone():
        hint = f"Choose another name, or rename that one: gptcli chats rename {taken[0]} NAME"
        raise GptcliError(f"Conversation {taken[0]} is already called {name!r}.", hint)


def _not_stored(key: str) -> GptcliError:
    message = f"Conversation {key} is not stored, or another gptcli deleted it."
    return GptcliError(message, "`/save` saves all of it again.")


def _nearest(wanted: str, names: list[tuple[str, str | None]]) -> str:
    import difflib

    known = {text.lower(): text for row in names for text in row if text}
    near = difflib.get_close_matches(wanted, known, n=3)
    if not near:
        return "`gptcli chats list` lists them."
    return f"Did you mean {' or '.join(known[text] for text in near)}?"
