"""Roles: what a file may say, what prompt comes of it, and whose roles are used."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.errors import GptcliError, UsageError
from gptcli.roles import library
from gptcli.roles.prompt import RolePrompt
from gptcli.roles.role import Role, parse
from gptcli.types import Message

FILE = Path("x.md")
TRANSLATOR = """\
+++
description = "Translate."
temperature = 0
choices = ["a", "b"]
template = "To {{ language }}: {{ input }}"
[variables]
language = "English"
[[examples]]
language = "German"
input = "yes"
output = "ja"
+++

You write {{ language }}.
"""


def role(text: str) -> Role:
    return parse("x", FILE, text)


def test_a_role_becomes_a_conversation_with_its_examples() -> None:
    found = role(TRANSLATOR)
    assert dict(found.options) == {"temperature": 0.0, "choices": '["a", "b"]'}
    assert RolePrompt(found, {"language": "French"}).messages("no") == (
        Message("system", "You write French."),
        Message("user", "To German: yes"),
        Message("assistant", "ja"),
        Message("user", "To French: no"),
    )
    assert RolePrompt(found, {}).text("no") == (
        "You write English.\n\nInput:\nTo German: yes\nOutput:\nja\n\nInput:\nTo English: no\nOutput:\n"
    )


def test_a_file_without_front_matter_is_a_system_prompt() -> None:
    assert RolePrompt(role("Be brief.\n"), {}).messages("hi") == (Message("system", "Be brief."), Message("user", "hi"))


def test_what_the_user_gives_is_never_a_template() -> None:
    prompt = RolePrompt(role(TRANSLATOR), {"language": "{{ 7 * 6 }}"})
    assert prompt.message("{% for %}{{ 1 }}") == "To {{ 7 * 6 }}: {% for %}{{ 1 }}"


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("temprature = 0", "line 2: 'temprature' is not a key"),
        ("\ntemperature = -1", "line 3: temperature must be"),
        ("top_k = ", "line 2 is not TOML"),
        ("\nchoices = 'x'", "line 3: choices must be a list"),
        ("regex = 'x'\nchoices = ['x']", "regex and choices contradict"),
        ("examples = 3", "line 2: examples must be tables"),
        ("[[examples]]\ninput = 'x'", "line 2: examples must be tables"),
        ("extract = 'all'", "line 2: extract must be first or last"),
        ("argument = 'x'", "line 2: argument must be one of the variables"),
        ("required = [1]", "line 2: required must be a list of names"),
        ("[variables]\nx = 1", "line 2: variables must be a table"),
        ("model = 1", "line 2: model must be a text"),
    ],
)
def test_a_mistake_names_its_line(front: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        role(f"+++\n{front}\n+++\nx\n")
    assert message in caught.value.message


def test_front_matter_without_an_end_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="line 1: the front matter has no end"):
        role("+++\ntop_k = 1\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("+++\ntemplate = '{{ nam }}'\n+++\n", "the template uses nam"),
        ("Say {{ input }}", "the system prompt uses input"),
        ("{% if %}", "the system prompt fails"),
        (
            "+++\ntemplate = '{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}'\n+++\n",
            "the template fails: it does more work",
        ),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        RolePrompt(role(text), {}).messages("x")
    assert message in caught.value.message


def test_variables_are_checked() -> None:
    needy = role("+++\nrequired = ['who']\nargument = 'who'\ntemplate = '{{ who }}: {{ input }}'\n+++\n")
    with pytest.raises(UsageError, match="needs who"):
        RolePrompt(needy, {}).check_complete()
    with pytest.raises(UsageError, match="no variable whom"):
        RolePrompt(needy, {"whom": "x"})
    assert RolePrompt(needy, {"who": "x"}).message("y") == "x: y"


@given(st.text())
def test_no_file_is_a_traceback(text: str) -> None:
    for source in (text, f"+++\n{text}\n+++\nx"):
        with contextlib.suppress(GptcliError):
            assert RolePrompt(role(source), {}).messages("x")[-1].role == "user"


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)


def no(folder: Path) -> bool:
    return False


def test_a_projects_roles_are_used_only_once_their_folder_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".gptcli" / "roles"
    write(folder, "ours", "Ours.")
    write(folder, "title", "Another title.")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    with pytest.raises(UsageError, match="not allowed"):
        library.find("ours", no)
    assert library.find("title", no).path.parent == library.SHIPPED
    assert not library.is_allowed(folder)
    assert library.find("ours", lambda asked: asked == folder).system == "Ours."
    assert library.find("title", no).system == "Another title."
    library.allow(folder, wanted=False)
    with pytest.raises(UsageError, match="not allowed"):
        library.find("ours", no)


def test_the_users_role_comes_before_the_shipped_one() -> None:
    write(library.user_folder(), "title", "Mine.")
    assert library.find("title", no).system == "Mine."
    assert [entry.origin for entry in library.entries() if entry.name == "title"] == ["yours", "shipped"]


def test_the_nearest_role_is_suggested() -> None:
    with pytest.raises(UsageError) as caught:
        library.find("sumarize", no)
    assert caught.value.hint == "Did you mean summarize?"
    with pytest.raises(UsageError):
        library.find("../title", no)


SHIPPED = {
    "summarize", "translate", "answer", "sentiment", "topic", "entities", "keywords", "rewrite", "title",
    "commit-message", "explain", "shell", "regex", "sql",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_role_is_whole(name: str) -> None:
    found = library.find(name, no)
    prompt = RolePrompt(found, dict.fromkeys(found.required, "x"))
    assert found.description
    assert len(prompt.examples()) >= 4
    assert prompt.messages("what was given")[-1].content.count("what was given") == 1
    options = dict(found.options)
    assert options["temperature"] == 0
    assert 0 < options["max_tokens"] <= 400
    if "choices" in options:
        assert all(f'"{example.output}"' in options["choices"] for example in found.examples)


def test_nothing_else_is_shipped() -> None:
    assert {entry.name for entry in library.entries()} == SHIPPED
