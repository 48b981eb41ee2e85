"""Kills, many processes and a full disk: every acknowledged turn is in the file, once."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from fake_chat import FakeChat, collect

from gptcli.chat.store import Store
from gptcli.types import FinishReason

SOURCES = str(Path(__file__).parents[2] / "src")
TESTS = str(Path(__file__).parents[1])

# Writes turns for ever and says the id of each on stdout once it was told that it is saved. It opens the file
# anew after every seventh, so that kills also meet opening and closing.
WRITER = """
import sys
from pathlib import Path
from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.store import Store

while True:
    with Store(Path(sys.argv[1])) as store:
        chat = store.create(Conversation()) if not store.summaries(1) else store.last()
        for number in range(7):
            turn = Turn("user", "word " * (number * 200), chat.leaf)
            chat = store.append(chat, turn)
            sys.stdout.write(turn.id + "\\n")
            sys.stdout.flush()
"""

# Waits for its stdin to end, then adds ten turns to the conversation, and a new conversation of its own.
ONE_OF_MANY = """
import sys
from pathlib import Path
from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.store import Store

print("ready", flush=True)
sys.stdin.read()
with Store(Path(sys.argv[1])) as store:
    own = store.create(Conversation().add(Turn("user", "mine")))
    print(own.leaf)
    chat = store.create(Conversation(id="shared", created=1.0))
    for number in range(10):
        turn = Turn("user", "word", chat.leaf)
        chat = store.append(chat, turn)
        print(turn.id)
"""

# Fills up a file that may grow no further, where writes then fail as on a full disk, and says what was saved.
FILLER = """
import resource, sys
from pathlib import Path
from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.store import Store
from gptcli.errors import GptcliError

store = Store(Path(sys.argv[1]))
chat = store.create(Conversation())
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    while True:
        turn = Turn("user", "word " * 2000, chat.leaf)
        chat = store.append(chat, turn)
        print(turn.id)
except GptcliError as error:
    print(error.message, file=sys.stderr)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.append(chat, turn)
print(turn.id)
"""


# Writes an answer for ever, a token every few milliseconds, to stdout.
ANSWERER = """
import sys, time
from pathlib import Path
from fake_chat import FakeChat, endless
from gptcli.chat.settings import Settings
from gptcli.params import Sampling
from gptcli.types import Delta

def slow(tokens, seed):
    time.sleep(0.01)
    return endless(tokens, seed)

chat = FakeChat(Path(sys.argv[1]), slow, settings=Settings(Sampling(seed=1)))
for event in chat.session.send("Hello"):
    if isinstance(event, Delta):
        sys.stdout.write(event.text)
        sys.stdout.flush()
"""


def start(source: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(["-S"] if "fake_chat" not in source else []), "-c", source, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([SOURCES, TESTS])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stored(path: Path) -> Counter[str]:
    with Store(path) as store:
        conversations = [store.load(summary.id) for summary in store.summaries()]
    for conversation in conversations:
        conversation.branches()  # walks all of the tree
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        db.execute("INSERT INTO message_index (message_index) VALUES ('integrity-check')")
        return Counter(key for (key,) in db.execute("SELECT id FROM messages"))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_fifty_kills_lose_no_acknowledged_turn(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    chance = random.Random(4)
    acknowledged: list[str] = []
    with_some = 0
    for _ in range(50):
        with start(WRITER, path) as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline() for _ in range(chance.choice([0, 1, 3, 8, 20]))]
            time.sleep(chance.random() * 0.004 if told else chance.random() * 0.1)  # the latter: while it starts
            writer.kill()
            told += writer.stdout.readlines()
            assert writer.stderr is not None
            assert writer.stderr.read() == ""
        fresh = [line.strip() for line in told if line.endswith("\n")]
        with_some += bool(fresh)
        before = len(acknowledged)
        acknowledged += fresh
        turns = stored(path) if path.exists() else Counter()
        assert set(turns) >= set(acknowledged)
        assert set(turns.values()) <= {1}
        unsaid = set(turns) - set(acknowledged)
        assert len(unsaid) <= 1, "at most the turn that was being written"
        acknowledged += unsaid
        assert len(acknowledged) - before <= len(fresh) + 1
    assert with_some >= 30
    assert len(acknowledged) == len(set(acknowledged))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_kill_loses_at_most_the_last_second_of_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    with start(ANSWERER, path) as answerer:
        assert answerer.stdout is not None
        shown, arrived = "", []
        while not arrived or time.monotonic() < arrived[0] + 4:
            shown += answerer.stdout.read(1)
            arrived.append(time.monotonic())
        answerer.kill()
        shown += answerer.stdout.read()
    sure = sum(when < arrived[-1] - 2 for when in arrived)  # a second, and another for a busy machine
    assert sure > 0
    with Store(path) as store:
        question, answer = store.load(store.summaries()[0].id).path()
    assert (question.content, answer.finish) == ("Hello", FinishReason.CANCELLED)
    assert shown.startswith(answer.content)
    assert len(answer.content) >= sure

    again = FakeChat(path, conversation=Store(path).load(Store(path).summaries()[0].id))
    more = collect(again.session.resume()).text
    assert more
    assert again.stored().path()[-1].content == answer.content + more
    assert len(again.stored().turns) == 2
    stored(path)


def test_twenty_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    crowd = [start(ONE_OF_MANY, path) for _ in range(20)]
    for one in crowd:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in crowd:
        assert one.stdin is not None
        one.stdin.close()
        one.stdin = None
    said: list[str] = []
    for one in crowd:
        output, complaints = one.communicate(timeout=60)
        assert complaints == ""
        said += output.split()
    assert len(said) == 20 * 11
    assert stored(path) == Counter(said)
    with Store(path) as store:
        assert len(store.summaries()) == 21
        assert len(store.load("shared").branches()) == 20


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits of POSIX")
def test_a_file_that_cannot_grow_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    output, complaints = start(FILLER, path).communicate(timeout=60)
    assert "full" in complaints
    assert "Traceback" not in complaints
    said = output.split()
    assert len(said) > 3
    assert stored(path) == Counter(said)
