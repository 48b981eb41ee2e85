"""Write the files of this folder with the version whose files they are: gptcli 0.1.0 as of commit a65ac91.

    git worktree add OLD a65ac91    # and make a virtual environment there, as its README says
    cd OLD && .venv/bin/python NEW/tests/data/v0.1/make.py

README.md says what is made. This runs the commands of that version as a user whose home folder is /home/ada, so that
no path of a real machine is in the files, and calls its Python functions only where no command does it: for an older
schema, and for the fake backend. No test runs it; it says how the files came about. Files of a later version belong
into a folder of their own.
"""

# ruff: noqa: I001 - these are modules of another version, not all of which are here for ruff to sort
from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import signal
import sqlite3
import sys
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gguf
import gptcli
import llama_cpp
import numpy as np
from gptcli.batch import journal
from gptcli.chat import database, migrations
from gptcli.engine.backend import MemoryKind
from gptcli.engine.engine import Engine
from gptcli.engine.fake import FakeBackend
from gptcli.engine.shelf import Shelf
from gptcli.types import Request, Sampling, TextPrompt

sys.path.insert(0, str(Path(gptcli.__file__).parents[2] / "tests"))
from hub_server import HubServer
from screen import CTRL_D, Screen
from shell import Shell
from tiny_gpt2 import write_tiny_gpt2

HERE = Path(__file__).parent
HOME = Path("/home/ada")
DATA, CACHE, HUB = HOME / ".local/share/gptcli", HOME / ".cache/gptcli", HOME / ".cache/huggingface/hub"
STORY = "Once upon a time there was a king who had three daughters; the first counted the stars, " * 3
FAKE_STORY = "Once upon a time there was a king who had three daughters, and none of them could count. " * 2


def main() -> None:
    HOME.mkdir()  # fails where there is such a user
    try:
        for made in ("cache", "data", "fake", "expected"):
            shutil.rmtree(HERE / made, ignore_errors=True)
            (HERE / made).mkdir()
        tiny = HOME / "Downloads/tiny.gguf"
        tiny.parent.mkdir()
        write_tiny_gpt2(tiny)
        model_store(tiny)
        batches(tiny)
        conversations()
        prefixes()
        collect(tiny)
        older_schema()
        fake_states()
    finally:
        shutil.rmtree(HOME)


def run(*arguments: object, code: int = 0, **more: str) -> bytes:
    outcome = Shell(HOME, **more).run(*arguments)
    assert outcome.code == code, (arguments, outcome)
    return outcome.out


def model_store(tiny: Path) -> None:
    """An imported model, aliases, a default, a model from a hub, and a download that was killed."""
    run("models", "import", tiny)
    run("models", "alias", "nonsense", "tiny")
    run("models", "alias", "pulled", "user/tiny-GGUF:F32")
    run("models", "default", "nonsense")
    stripes = HOME / "Downloads/stripes.gguf"
    write_stripes(stripes)
    (HERE / "stripes-F32.gguf.xz").write_bytes(lzma.compress(stripes.read_bytes()))
    with HubServer(rate=2e6) as server:
        server.put("user/tiny-GGUF", "tiny-F32.gguf", tiny.read_bytes())
        server.put("user/stripes-GGUF", "stripes-F32.gguf", stripes.read_bytes())
        run("models", "pull", "user/tiny-GGUF", HF_ENDPOINT=server.endpoint)
        served = server.served
        process = Shell(HOME, HF_ENDPOINT=server.endpoint).start("models", "pull", "user/stripes-GGUF")
        server.wait_served(served + 1_600_000)
        process.kill()
        process.communicate()
    (record,) = HUB.glob("models--user--stripes-GGUF/blobs/*.blocks")
    assert record.read_bytes().endswith(b"\n#..")


def write_stripes(path: Path) -> None:
    """2.4 MB that compress well: every row of the tensor is full of its own number."""
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(64)
    writer.add_tensor("token_embd.weight", np.repeat(np.arange(600, dtype=np.float32), 1000).reshape(600, 1000))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def batches(tiny: Path) -> None:
    """Four jobs, each stopped in the middle; commands.json has their command lines."""
    commands = json.loads((HERE / "batch/commands.json").read_text())
    stop_at: dict[str, Callable[[Path], bool]] = {
        "jsonl": lambda job: min(*counts(job / "answers.jsonl.gptcli-journal"), 8) == 8,
        "csv": lambda job: lines(job / "answers.csv") > 6,
        "text": lambda job: lines(job / "answers.jsonl") > 6,
        "folder": lambda job: len(list(job.glob("answers/**/*.txt"))) > 4,
    }
    for name, command in commands.items():
        how = signal.SIGINT if name == "csv" else signal.SIGKILL
        stopped(HERE / "batch" / name, [*command, "-m", tiny, "-t", "1"], stop_at[name], how)


def stopped(job: Path, command: list[object], enough: Callable[[Path], bool], how: signal.Signals) -> None:
    """Run the job until there is enough of it, and end it then. Done again where it was faster than its end."""
    given = [path for path in job.iterdir() if path.name.startswith("prompts")]
    while True:
        for path in job.iterdir():
            if path not in given:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        process = Shell(HOME).start("batch", *command, cwd=job)
        while process.poll() is None and not enough(job):
            time.sleep(0.001)
        process.send_signal(how)
        process.communicate()
        if process.returncode == (-signal.SIGKILL if how is signal.SIGKILL else 130) and enough(job):
            return


def counts(path: Path) -> tuple[int, int]:
    """How many rows the journal says are written, and how many wait for their turn."""
    if not path.exists():
        return 0, 0
    kinds = [kind for _, kind, _ in journal.Journal(path).records()]
    return kinds.count(journal.WRITTEN), kinds.count(journal.HELD) - kinds.count(journal.WRITTEN)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def conversations() -> None:
    """One that was interrupted; and from the REPL one with branches, a name, a system message and settings."""
    chat = ("chat", "-m", "tiny", "--device", "cpu", "-t", "1")
    forced = 'root ::= "<think>" [a-z ]{8} "</think>" [a-z ]+'
    while True:  # until the signal comes after the thinking and before the end
        process = Shell(HOME).start(*chat, "-n", "470", "--grammar", forced, "Count the stars.")
        assert process.stdout is not None
        process.stdout.read(30)
        process.send_signal(signal.SIGINT)
        process.communicate()
        if process.returncode == 130:
            break
        run("chats", "rm", "--yes", json.loads(run("chats", "list", "--json"))[0]["id"])
    run("cache", "clear")
    settings = ("--temp", "0.5", "--top-k", "7", "--repeat-penalty", "1.1", "--seed", "3")
    with Screen(Shell(HOME), *chat, "-n", "6", *settings, "--system", "Be kind.") as screen:
        screen.ask("Where is the sea?")
        screen.ask("/retry")
        screen.ask("/edit Where is the moon?")
        screen.ask("/branch")
        screen.ask("Wo ist der Käse? 🧀")
        screen.ask("/save the sea")
        screen.send(CTRL_D)
        assert screen.finish() == 0


def prefixes() -> None:
    """Two computed prefixes: the REPL left that of a model known by its path; this one is known by its hash."""
    complete = ("complete", "-n", "1", "--temp", "0", "--device", "cpu", "-t", "1", "--cache-prompt", "--no-stdin")
    run(*complete, "-m", "pulled", STORY)
    assert len(list((CACHE / "prefixes").iterdir())) == 2


def collect(tiny: Path) -> None:
    """Copy what was made, and what the commands of this version say of it."""
    with sqlite3.connect(DATA / "conversations.db") as db:
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    for name in ("models.json", "conversations.db"):
        shutil.copy(DATA / name, HERE / "data")
    expected("chats", run("chats", "list", "--json"))
    for chat in json.loads(run("chats", "list", "--json")):
        expected(chat["id"], run("chats", "export", "--format", "json", chat["id"]))
    expected("models", run("models", "list", "--json"))
    expected("cache", run("cache", "list", "--json"))
    for name in ("headers.json", "verified.json"):
        shutil.copy(CACHE / name, HERE / "cache")
    shutil.copytree(CACHE / "prefixes", HERE / "cache/prefixes")
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    (HUB / "models--user--tiny-GGUF/blobs" / digest).unlink()  # the tests make it anew
    with tarfile.open(HERE / "hub.tar.xz", "w:xz") as archive:
        archive.add(HUB, "hub", filter=anonymous)
    library = os.stat(llama_cpp.llama_cpp._lib._name)
    facts = {
        "home": str(HOME),
        "tiny": digest,
        "story": STORY,
        "fake story": FAKE_STORY,
        "llama_cpp": llama_cpp.__version__,
        "library": [library.st_size, library.st_mtime_ns, llama_cpp.llama_print_system_info().decode()],
    }
    (HERE / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")


def expected(name: str, text: bytes) -> None:
    (HERE / "expected" / f"{name}.json").write_bytes(text)


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def older_schema() -> None:
    """What the first schema holds. No commit ever wrote it, so this takes this version's own first step."""
    path = HERE / "data/conversations-schema-1.db"
    first, database.migrate = migrations.MIGRATIONS[:1], lambda db, path: None
    with sqlite3.connect(path) as db:
        for statement in first[0]:
            db.execute(statement)
        db.execute("PRAGMA user_version = 1")
    file = database.Database(path)  # adds the search index
    with file.writing() as db:
        db.execute("INSERT INTO conversations VALUES ('old234', 'old', 'Is it cold?', 'tiny', 'b', 1e9, 1e9)")
        db.execute(
            "INSERT INTO messages (id, conversation, parent, role, content, created, model, finish, sampling,"
            " prompt_tokens, completion_tokens) VALUES"
            " ('a', 'old234', NULL, 'user', 'Is it cold?', 1e9, NULL, NULL, '{}', NULL, NULL),"
            " ('b', 'old234', 'a', 'assistant', 'Very.', 1e9, 'tiny', 'stop', '{\"seed\": 1}', 9, 2)"
        )
    file.close()


def fake_states() -> None:
    """A state of each kind of memory."""
    for kind in MemoryKind:
        backend = FakeBackend(memory=kind, window=48)
        key = f"fake {kind.name.lower()}"
        engine = Engine(backend, shelf=partial(Shelf, HERE / "fake", key, "fake"))
        prompt = TextPrompt(FAKE_STORY.encode())
        list(engine.stream([Request("r", prompt, Sampling(seed=1), max_tokens=3, ignore_eos=True)]))
        engine.shelve()


if __name__ == "__main__":
    main()
