"""The completion scripts in the shells they are for: commands, flags, models, conversations and files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from completion_shells import Shell

from gptcli.chat.conversation import Conversation, Turn
from gptcli.chat.store import Store
from gptcli.cli import completions

# forkpty in a process with threads; the child execs at once
pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")

GetShell = Callable[[str], Shell]
FILES = {"bash": "gptcli.bash", "zsh": "_gptcli", "fish": "gptcli.fish"}
NASTY = "it's \"so\" $(touch pwned) `touch pwned`; [c] ]{d} e:f %F{red} \\ \\' * ~ ! # & | > ‘ü’ 😀"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Shell]]:
    """Each shell by its name, once for all tests here."""
    opened: dict[str, Shell] = {}

    def get(name: str) -> Shell:
        if name not in opened:
            place = tmp_path_factory.mktemp(name)
            home = place / "home"
            fill(home)
            file = place / FILES[name]
            file.write_text(completions.script(completions.Shell(name)), "utf-8")
            folders = {"GPTCLI_DATA_DIR": str(place / "data"), "HF_HUB_CACHE": str(place / "hub")}
            store_models(place / "hub", place / "data", home)
            opened[name] = Shell(name, file, home, **folders)
        return opened[name]

    yield get
    for each in opened.values():
        each.close()


def fill(home: Path) -> None:
    """Files of the working folder, some with names that a shell would obey."""
    (home / "models dir").mkdir(parents=True)
    for file in (
        "a b.gguf",
        "big.GGUF",
        "notes.txt",
        "$(touch pwned).gguf",
        "x`touch pwned`.gguf",
        "y';touch pwned;'.gguf",
    ):
        (home / file).touch()


def store_models(hub: Path, data: Path, home: Path) -> None:
    """Two models of one repository, a name of the user's own, and two conversations."""
    repo = hub / "models--someone--tiny"
    commit = "a" * 40
    (repo / "snapshots" / commit).mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    for kind in ("Q4_0", "Q8_0"):
        (repo / "snapshots" / commit / f"tiny-{kind}.gguf").write_bytes(b"GGUF")
    data.mkdir()
    (data / "models.json").write_text(json.dumps({"default": None, "aliases": {"mine": str(home / "big.GGUF")}}))
    with Store(data / "conversations.db") as store:
        for name in ("sea-story", "two words"):
            conversation = store.create(Conversation(name=name))
            store.append(conversation, Turn("user", NASTY))


@pytest.mark.parametrize("name", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("keys", "arguments"),
    [
        ("gptcli do\tx", ["doctor", "x"]),
        ("gptcli cach\tcl\t", ["cache", "clear"]),
        ("gptcli complete --no-std\tx", ["complete", "--no-stdin", "x"]),
        ("gptcli complete --vers\t", ["complete", "--vers"]),
        ("gptcli complete --format te\t", ["complete", "--format", "text"]),
        ("gptcli complete --format=te\t", ["complete", "--format=text"]),
        ("gptcli batch --from par\t", ["batch", "--from", "parquet"]),
        ("gptcli batch --out-format=ta\t", ["batch", "--out-format=table"]),
        ("gptcli complete --device cp\t", ["complete", "--device", "cpu"]),
        ("gptcli complete -m mi\t", ["complete", "-m", "mine"]),
        ("gptcli chat --model=mi\t", ["chat", "--model=mine"]),
        ("gptcli batch -m someone/tiny:Q8\t", ["batch", "-m", "someone/tiny:Q8_0"]),
        ("gptcli batch --model=someone/tiny:Q8\t", ["batch", "--model=someone/tiny:Q8_0"]),
        ("gptcli models show someone/t\t4\t", ["models", "show", "someone/tiny:Q4_0"]),
        ("gptcli models rm mine gpt2-m\t", ["models", "rm", "mine", "gpt2-medium"]),
        ("gptcli complete -m big\t", ["complete", "-m", "big.GGUF"]),
        ("gptcli complete -m ./b\t", ["complete", "-m", "./big.GGUF"]),
        ("gptcli complete -m 'a\t", ["complete", "-m", "a b.gguf"]),
        ("gptcli chat --chat sea-\t", ["chat", "--chat", "sea-story"]),
        ("gptcli chats show sea-\t", ["chats", "show", "sea-story"]),
        ("gptcli complete -f no\t", ["complete", "-f", "notes.txt"]),
        ("gptcli complete --file=no\t", ["complete", "--file=notes.txt"]),
        ("gptcli batch --template no\t", ["batch", "--template", "notes.txt"]),
        ("gptcli batch -o mod\tx", ["batch", "-o", "models dir/x"]),
        ("gptcli batch no\t", ["batch", "notes.txt"]),
        ("gptcli complete -- --fil\t", ["complete", "--", "--fil"]),
        ("gptcli complete --stop a:b=c -m mi\t", ["complete", "--stop", "a:b=c", "-m", "mine"]),
        ("gptcli complete --stop 'two words' -m mi\t", ["complete", "--stop", "two words", "-m", "mine"]),
    ],
)
def test_tab_on_a_terminal(name: str, keys: str, arguments: list[str], shell: GetShell) -> None:
    assert shell(name).typed(keys) == arguments


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gptcli ca", {"cache"}),
        ("gptcli cache ", {"list", "clear"}),
        ("gptcli complete --mod", {"--model"}),
        ("gptcli complete --format ", {"text", "json", "jsonl"}),
        ("gptcli complete --format=t", {"--format=text"}),
        ("gptcli complete -m some", {"someone/tiny:Q4_0", "someone/tiny:Q8_0"}),
        ("gptcli complete --model=someone/tiny:Q8", {"--model=someone/tiny:Q8_0"}),
        ("gptcli complete -m big", {"big.GGUF"}),
        ("gptcli chat --chat sea-", {"sea-story"}),
        ("gptcli complete -f no", {"notes.txt"}),
        ("gptcli complete --file=no", {"--file=notes.txt"}),
    ],
)
def test_what_fish_offers(line: str, offered: set[str], shell: GetShell) -> None:
    assert set(shell("fish").offers(line)) == offered


def test_zsh_and_fish_show_the_help_of_flags_and_the_titles_of_conversations(shell: GetShell) -> None:
    assert shell("fish").offers("gptcli complete --sample")["--samples"] == "Number of independent samples."
    assert "Number of independent samples." in shell("zsh").screen("gptcli complete --sa\t\t")
    assert 'it\'s "so" $(touch pwned)' in shell("fish").offers("gptcli chat --chat ")["sea-story"]
    assert 'it\'s "so" $(touch pwned)' in shell("zsh").screen("gptcli chat --chat \t\t")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("line", ["complete -m ", "chat --chat ", "complete -m x", "models rm y"])
def test_no_name_or_title_is_run(name: str, line: str, shell: GetShell) -> None:
    asked = shell(name)
    if name == "fish":
        asked.offers(f"gptcli {line}")
    else:
        asked.screen(f"gptcli {line}\t\t")
    assert not (asked.folder / "pwned").exists()
