"""The SQLite file of conversations: its schema, its transactions, and what its errors mean.

It has a write-ahead log with `synchronous=FULL`: a commit is synced before it returns
(https://sqlite.org/pragma.html#pragma_synchronous), so it survives a kill and a loss of power."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from gptcli.chat import search
from gptcli.errors import GptcliError

BUSY_SECONDS = 30.0  # to wait for other processes' transactions, each of which takes milliseconds

_ERRORS = (  # SQLite's text (https://sqlite.org/rescode.html), what it means, what to do
    ("is full", "the disk is full", "Free some space and save again; nothing saved before is lost."),
    ("disk I/O", "the disk failed or is full", "Check it and save again; nothing saved before is lost."),
    ("is locked", f"another process has locked it for {BUSY_SECONDS:.0f} s", "End that process, or try again."),
    ("readonly", "it cannot be written", "Check its permissions, or set GPTCLI_DATA_DIR to another folder."),
    ("unable to open", "it cannot be opened", "Check its folder, or set GPTCLI_DATA_DIR to another one."),
    ("not a database", "it is not an SQLite file", "Move it away; gptcli then creates a new one."),
    ("malformed", "it is damaged", "Move it away, and recover its contents with `sqlite3 FILE .recover`."),
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (  # a released migration never changes
    (  # 1: conversations, each a tree of messages
        """
        CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            name TEXT UNIQUE COLLATE NOCASE,
            title TEXT NOT NULL,
            model TEXT,
            leaf TEXT,               -- a message of it; NULL: before the first
            created REAL NOT NULL,   -- seconds since 1970, as all times here
            updated REAL NOT NULL
        )
        """,
        """
        CREATE TABLE messages (
            seq INTEGER PRIMARY KEY, -- the order of arrival, and the row of the search index
            id TEXT NOT NULL,        -- given by the one who said it, so that saving it twice is saving it once
            conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            parent TEXT,
            role TEXT NOT NULL,
            content TEXT NOT NULL,
            created REAL NOT NULL,
            model TEXT,
            finish TEXT,
            sampling TEXT NOT NULL,  -- a JSON object
            prompt_tokens INTEGER,
            completion_tokens INTEGER,
            UNIQUE (conversation, id),
            FOREIGN KEY (conversation, parent) REFERENCES messages (conversation, id)
        )
        """,
        "CREATE INDEX messages_parent ON messages (conversation, parent)",
        "CREATE INDEX conversations_updated ON conversations (updated)",
    ),
    (  # 2: a model's reasoning, apart from its answer
        "ALTER TABLE messages ADD COLUMN reasoning TEXT NOT NULL DEFAULT ''",
    ),
)
"""The statements of each schema version; `PRAGMA user_version` is how many a file has had."""


class Database:
    """A connection to the file, which is created or migrated first; close it."""

    def __init__(self, path: Path) -> None:
        """Raises GptcliError if the file cannot be opened or created, or a newer gptcli wrote it."""
        self.path = path
        with self._explained_errors():
            _create_private(path)
            self.connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self.connection.close()
                raise

    def close(self) -> None:
        """Close the file; the last process to do so merges the log into it."""
        self.connection.close()

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """One transaction, rolled back if the block raises. It has the write lock: what it has read cannot change."""
        return self._transaction("BEGIN IMMEDIATE")

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """One state of the file for several queries; waits for no writer."""
        return self._transaction("BEGIN")

    def scrub(self) -> None:
        """Merge the log into the file, so that deleted text is in neither."""
        with self._explained_errors():
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _prepare(self) -> None:
        db = self.connection
        db.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        current = self._version() == len(MIGRATIONS)  # or it raises, before anything is written
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")  # macOS, where fsync alone leaves the bytes in the drive's cache
        db.execute("PRAGMA secure_delete = ON")
        _enable_wal(db)
        if not current:
            self._migrate()
        self.fts5 = search.has_fts5(db)
        if search.has_triggers(db) != self.fts5:
            with self.writing():
                search.prepare(db, self.fts5)

    def _version(self) -> int:
        """The schema version of the file, 0 for a new one. Raises GptcliError if a newer gptcli wrote it."""
        version = int(self.connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise GptcliError(
                f"{self.path} was written by a newer gptcli (schema {version}; this one knows {len(MIGRATIONS)}).",
                "Upgrade gptcli, or set GPTCLI_DATA_DIR to another folder.",
            )
        return version

    def _migrate(self) -> None:
        """Apply all missing migrations or none. Another process may have applied them meanwhile."""
        with self.writing() as db:
            for statements in MIGRATIONS[self._version() :]:
                for statement in statements:
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        db = self.connection
        with self._explained_errors():
            db.execute(begin)
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk may have ended it already
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
        """Turn what the machine and other processes can do to the file into GptcliError; a bug stays as it is."""
        try:
            yield
        except OSError as error:
            hint = "Check its folder, or set GPTCLI_DATA_DIR to another one."
            raise GptcliError(f"Cannot use {self.path}: {error.strerror or error}.", hint) from error
        except sqlite3.DatabaseError as error:
            for text, meaning, hint in _ERRORS:
                if text in str(error):
                    raise GptcliError(f"Cannot use {self.path}: {meaning} ({error}).", hint) from error
            raise


def _create_private(path: Path) -> None:
    """Create the file before SQLite does, which would let others read it; -wal and -shm get its mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.name == "posix" and path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _enable_wal(db: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. If many processes do so at once, SQLite refuses some without waiting."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
