"""Files attached to a message: how they are found, what is refused, and their fences."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.chat.attachments import Attachment, attach, with_attachments
from gptcli.errors import GptcliError
from gptcli.render.fences import code_blocks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.py", "b.py", "with space.txt", "[odd].txt", "deep/er/c.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        ("a.py", ["a.py"]),
        ("*.py", ["a.py", "b.py"]),
        ("**/*.py", ["a.py", "b.py", "deep/er/c.py"]),
        ("b.py a.py", ["b.py", "a.py"]),
        ("a.py *.py", ["a.py", "b.py"]),
        ("with space.txt", ["with space.txt"]),
        ('"with space.txt" a.py', ["with space.txt", "a.py"]),
        ("[odd].txt", ["[odd].txt"]),
        ("deep/*/c.py", ["deep/er/c.py"]),
    ],
)
def test_paths_and_patterns(folder: Path, argument: str, names: list[str]) -> None:
    found = attach(argument)
    assert [item.name for item in found] == names
    assert [item.text for item in found] == [f"text of {name}\n" for name in names]


def test_a_home_folder_is_expanded(folder: Path, home: Path) -> None:
    (home / "notes").write_text("mine")
    assert attach("~/notes")[0].text == "mine"


@pytest.mark.parametrize("argument", ["no.py", "*.rs", "a.py no.py", "~nobody/x", 'a "quote'])
def test_a_missing_file_is_an_error(folder: Path, argument: str) -> None:
    with pytest.raises(GptcliError, match="No file matches"):
        attach(argument)


@pytest.mark.parametrize(("argument", "message"), [("deep", "deep is a folder"), ("a.py deep", "deep is a folder")])
def test_a_folder_is_an_error_with_a_pattern(folder: Path, argument: str, message: str) -> None:
    with pytest.raises(GptcliError, match=message) as caught:
        attach(argument)
    assert caught.value.hint == "Attach its files: /file deep/*"


@pytest.mark.skipif(os.name != "posix", reason="a device")
def test_a_device_is_not_a_regular_file(folder: Path) -> None:
    with pytest.raises(GptcliError, match="/dev/null is not a regular file"):
        attach("/dev/null")


def test_a_folder_with_a_space_is_named_whole(folder: Path) -> None:
    (folder / "my notes").mkdir()
    with pytest.raises(GptcliError, match="my notes is a folder"):
        attach("my notes")


def test_a_binary_file_is_an_error(folder: Path) -> None:
    (folder / "image").write_bytes(b"ab\xff")
    with pytest.raises(GptcliError, match="image is not text: byte 2 "):
        attach("image")


def test_too_much_is_an_error(folder: Path) -> None:
    with (folder / "huge").open("wb") as file:
        file.truncate(10_000_001)
    with pytest.raises(GptcliError, match="10,000,001 bytes"):
        attach("huge")
    for number in range(101):
        (folder / f"{number}.x").touch()
    with pytest.raises(GptcliError, match="matches 101 files"):
        attach("*.x")


def test_a_byte_order_mark_is_dropped(folder: Path) -> None:
    (folder / "bom").write_bytes(b"\xef\xbb\xbfx")
    assert attach("bom")[0].text == "x"


def test_a_message_without_files_is_unchanged() -> None:
    assert with_attachments([], "What is this?") == "What is this?"


@given(st.lists(st.text("a`~\n ", max_size=30), max_size=3))
def test_no_file_can_close_its_own_fence(texts: list[str]) -> None:
    message = with_attachments([Attachment(f"{at}.txt", text) for at, text in enumerate(texts)], "What is this?")
    assert message.endswith("What is this?")
    assert code_blocks(message) == [text.rstrip() + "\n" for text in texts]
