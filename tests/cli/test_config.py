"""`gptcli config`, and the settings as every command has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import call

from gptcli.errors import ExitCode
from gptcli.settings import settings_file


def write(text: str) -> Path:
    path = settings_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_show_file_show_is_the_identity() -> None:
    write("top_k = 7\nstop = ['a\\n', '\"']\nlogit_bias = ['5=-inf', '\" the\"=2']\n[models.'x y']\nseed = 3\n")
    first = call("config")
    assert (first.code, first.err) == (ExitCode.OK, "")
    write(first.text)
    second = call("config")
    values = [line.partition("  # ")[0] for line in first.text.splitlines()]
    assert values == [line.partition("  # ")[0] for line in second.text.splitlines()]


def test_the_source_of_each_value_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    write("\ntop_k = 7\ntop_p = 0.5\n")
    monkeypatch.setenv("GPTCLI_TOP_P", "0.25")
    found = json.loads(call("config", "--json").text)
    assert found["top_k"] == {"value": 7, "source": "settings.toml, line 2"}
    assert found["top_p"] == {"value": 0.25, "source": "GPTCLI_TOP_P"}
    assert found["min_p"] == {"value": 0.05, "source": "default"}


def test_set_and_unset_keep_comments_and_order() -> None:
    before = "# mine\ntop_k = 7  # seven\n\n[models.x]  # the x\nseed = 3 # odd\n"
    path = write(before)
    for arguments in (("top_k", "8"), ("temperature", "0.5"), ("stop", "a", "b c"), ("max_tokens", "-1")):
        assert call("config", "set", *arguments).code == ExitCode.OK
    assert call("config", "set", "-m", "x", "seed", "4").code == ExitCode.OK
    assert path.read_text() == (
        '# mine\ntop_k = 8  # seven\ntemperature = 0.5\nstop = ["a", "b c"]\nmax_tokens = -1\n'
        "\n[models.x]  # the x\nseed = 4 # odd\n"
    )
    assert call("config", "get", "stop").text == '["a", "b c"]\n'
    assert call("config", "get", "-m", "x", "seed").text == "4\n"
    for name in ("temperature", "stop", "max_tokens"):
        assert call("config", "unset", name).code == ExitCode.OK
    assert call("config", "set", "top_k", "7").code == ExitCode.OK
    assert call("config", "set", "-m", "x", "seed", "3").code == ExitCode.OK
    assert path.read_text() == before


@pytest.mark.parametrize("broken", ["top_k = \n", "\x00", "top_kay = 1\n", "top_k = 'x'\n", "models = 3\n", "[[a]]"])
def test_a_broken_file_hides_no_command_that_repairs_it(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(broken)
    shown = call("config")
    assert shown.code == ExitCode.USAGE
    assert "line 1" in shown.err
    assert "temperature" in shown.text
    assert call("config", "path").text == f"{path}\n"
    for arguments in (("models", "list"), ("chats", "list"), ("cache", "list"), ("completions", "show", "bash")):
        assert (call(*arguments).code, call(*arguments).err) == (ExitCode.OK, "")
    refused = call("complete", "-m", "x.gguf", "hello")
    assert refused.code == ExitCode.USAGE
    assert "line 1" in refused.err
    monkeypatch.setenv("EDITOR", "sed -i d")
    assert call("config", "edit").code == ExitCode.OK
    assert path.read_text() == ""


@pytest.mark.parametrize(("broken", "name"), [("top_kay = 1\n", "top_kay"), ("top_k = 'x'\n", "top_k")])
def test_unset_removes_a_mistake(broken: str, name: str) -> None:
    path = write(broken)
    assert call("config", "unset", name).code == ExitCode.OK
    assert path.read_text() == ""


def test_set_refuses_what_it_cannot_keep() -> None:
    for arguments in (("top_k", "x"), ("top_kay", "1"), ("temperature", "-1"), ("model", "a", "b"), ("no_save", "?")):
        outcome = call("config", "set", *arguments)
        assert outcome.code == ExitCode.USAGE, arguments
        assert len(outcome.err.splitlines()) == 2
    assert call("config", "set", "-m", "x", "no_save", "true").code == ExitCode.USAGE
    assert not settings_file().exists()
    path = write("top_k = \n")
    refused = call("config", "set", "top_k", "5")
    assert refused.code == ExitCode.USAGE
    assert "line 1" in refused.err
    assert path.read_text() == "top_k = \n"


def test_set_says_that_a_variable_comes_first() -> None:
    assert "GPTCLI_TOP_K" in call("config", "set", "top_k", "5", environment={"GPTCLI_TOP_K": "1"}).err


def generated(*arguments: object) -> dict[str, object]:
    outcome = call("complete", "--format", "json", *arguments, "once")
    assert outcome.code == ExitCode.OK, outcome.err
    return json.loads(outcome.text)


def test_flags_come_before_variables_and_those_before_the_file(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("max_tokens = 3\nignore_eos = true\nn = 2\n")
    found = generated("-m", tiny)
    assert (found["usage"]["completion_tokens"], len(found["choices"])) == (6, 2)
    monkeypatch.setenv("GPTCLI_MAX_TOKENS", "4")
    assert generated("-m", tiny)["usage"]["completion_tokens"] == 8
    assert generated("-m", tiny, "-n", 5, "--samples", 1)["usage"]["completion_tokens"] == 5


def test_a_model_has_settings_of_its_own(tiny: Path) -> None:
    write(f"max_tokens = 3\nignore_eos = true\nmodel = '{tiny}'\n[models.tiny]\nmax_tokens = 6\n")
    assert generated()["usage"]["completion_tokens"] == 6
    write(f"max_tokens = 3\nignore_eos = true\nmodel = '{tiny}'\n[models.other]\nmax_tokens = 6\n")
    assert generated()["usage"]["completion_tokens"] == 3


def test_a_setting_gives_way_to_a_flag_that_contradicts_it(tiny: Path) -> None:
    write("mirostat = 2\ngpu_layers = 5\nlogprobs = 3\nstop = 'a'\nmax_tokens = 2\n")
    outcome = call("complete", "-m", tiny, "--top-k", 5, "--device", "cpu", "--choices", "a,b", "once")
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")


def test_the_default_model_of_the_settings_is_one_of_all_commands(tiny: Path) -> None:
    write(f"model = '{tiny}'\n")
    assert call("chat", "hello", "-n", "2", "--no-save").code == ExitCode.OK
    assert call("config", "get", "model").text == f"{tiny}\n"


def test_a_template_of_ones_own_is_used(tiny: Path, tmp_path: Path) -> None:
    template = tmp_path / "mine.jinja"
    template.write_text("{{ 1 // 0 }}")
    refused = call("chat", "-m", tiny, "--no-save", "--chat-template", template, "hello")
    assert refused.code != ExitCode.OK
    assert "template" in refused.err
    write(f"[models.tiny]\nchat_template = '{template}'\n")
    assert "template" in call("chat", "-m", tiny, "--no-save", "hello").err
    assert call("chat", "-m", tiny, "--chat-template", "none.jinja", "hello").code == ExitCode.USAGE


def test_setting_a_default_model_that_would_not_count_says_so(tiny: Path) -> None:
    write("model = 'smollm2'\n")
    assert "comes before" in call("models", "default", tiny).err
    write("model = \n")
    assert call("models", "default", tiny).code == ExitCode.OK
