"""Search with and without the index; any character may be in a query."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptcli.chat import search
from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.store import Store

TEXTS = (
    "Deployment of the café's web shop",
    "C++ templates, and NEAR misses",
    'He said "hello" and left',
    "全文検索は便利です",
    "run it with --yes, or a*b",
    "x" * 200 + " needle " + "y" * 200,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("search") / "conversations.db") as opened:
        conversation = Conversation(name="all")
        for text in TEXTS:
            conversation = conversation.add(Turn("user", text, conversation.leaf))
        opened.create(conversation)
        yield opened


@pytest.fixture(params=[True, False], ids=["index", "scan"])
def fts5(request: pytest.FixtureRequest, store: Store) -> bool:
    with store._file.reading() as db:
        if request.param and not search.has_fts5(db):
            pytest.skip("this SQLite has no FTS5")
    return bool(request.param)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("deployment", [0]),
        ("DEPLOY shop", [0]),
        ("shop deploy", [0]),
        ("deploy needle", []),
        ("c++", [1]),
        ("near", [1]),
        ("NEAR AND", [1]),
        ('"hello"', [2]),
        ("検索", [3]),
        ("--yes", [4]),
        ("a*b", [4]),
        ("eedl", [5]),
        ("and", [2, 1]),
        ("", []),
        (" \n", []),
    ],
)
def test_every_word_is_found_in_any_case_newest_first(
    store: Store, fts5: bool, query: str, expected: list[int]
) -> None:
    with store._file.reading() as db:
        hits = search.find(db, query, fts5, 10)
    contents = {turn.id: turn.content for turn in store.find("all").turns.values()}
    assert [contents[hit.message] for hit in hits] == [TEXTS[number] for number in expected]


def test_the_index_ignores_accents(store: Store) -> None:
    assert [hit.snippet for hit in store.search("cafe")] == [TEXTS[0]]


def test_a_hit_has_its_place_and_a_snippet(store: Store) -> None:
    (hit,) = store.search("needle")
    assert hit.name == "all"
    assert hit.conversation == store.find("all").id
    assert hit.role == "user"
    assert " needle " in hit.snippet
    assert hit.snippet[0] == hit.snippet[-1] == "…"
    assert len(hit.snippet) < 130


def test_no_more_than_the_limit(store: Store, fts5: bool) -> None:
    with store._file.reading() as db:
        assert len(search.find(db, "a", fts5, 2)) == 2


@given(
    query=st.text()
    | st.lists(st.sampled_from(['"', "*", "NEAR(", "NOT", "-", "^", "content:", "a", ")"])).map(" ".join)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_query_raises(store: Store, query: str) -> None:
    for hit in store.search(query):
        assert hit.message


def test_the_index_is_rebuilt_after_a_sqlite_without_fts5_wrote(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    with Store(path) as store:
        conversation = store.create(Conversation().add(Turn("user", "before")))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        search.prepare(db, fts5=False)
        db.execute(
            "INSERT INTO messages (id, conversation, parent, role, content, created, sampling)"
            " VALUES ('x', ?, ?, 'assistant', 'meanwhile', 1, '{}')",
            (conversation.id, conversation.leaf),
        )
        assert [hit.snippet for hit in search.find(db, "meanwhile", False, 10)] == ["meanwhile"]
    with Store(path) as store, store._file.reading() as db:
        found = db.execute("SELECT count(*) FROM message_index WHERE message_index MATCH 'meanwhile'").fetchone()
        assert found == (1,)
        assert search.find(db, "before", True, 10)
