"""`gptcli completions`: the scripts checked in are current; installing one touches no other file; a Tab is quick."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import shellingham

from gptcli.cli.completions import Shell
from gptcli.cli.main import main
from gptcli.terminal import Terminal

COMPLETIONS = Path(__file__).parents[2] / "completions"
FILES = {
    Shell.BASH: "gptcli.bash",
    Shell.ZSH: "_gptcli",
    Shell.FISH: "gptcli.fish",
    Shell.POWERSHELL: "gptcli.ps1",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "BASH_COMPLETION_USER_DIR", "GPTCLI_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def completions(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    stdout, stderr = io.BytesIO(), io.StringIO()
    code = main(["completions", *arguments], Terminal(io.BytesIO(), stdout, stderr))
    return code, stdout.getvalue().decode(), stderr.getvalue()


@pytest.mark.parametrize("shell", Shell)
def test_the_scripts_checked_in_are_current(shell: Shell) -> None:
    code, script, _ = completions("show", shell.value)
    assert code == 0
    written = (COMPLETIONS / FILES[shell]).read_text("utf-8")
    assert written == script, "run `make completions` and commit the result"


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        (Shell.BASH, ".local/share/bash-completion/completions/gptcli"),
        (Shell.ZSH, ".local/share/zsh/site-functions/_gptcli"),
        (Shell.FISH, ".config/fish/completions/gptcli.fish"),
    ],
)
def test_install_writes_once_and_reports_where(shell: Shell, place: str, home: Path) -> None:
    path = home / place
    code, output, _ = completions("install", shell.value)
    assert (code, output.splitlines()[0]) == (0, f"Wrote {path}.")
    script = path.read_text("utf-8")
    assert script == completions("show", shell.value)[1]
    assert completions("install", shell.value)[1].splitlines()[0] == f"{path} is up to date."

    path.write_text(script + "# of an older version\n")
    assert completions("install", shell.value)[1].splitlines()[0] == f"Updated {path}."
    assert path.read_text("utf-8") == script
    assert [file for file in home.rglob("*") if file.is_file()] == [path], "no other file is touched"


def test_install_for_powershell_does_not_change_the_profile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTCLI_DATA_DIR", str(home / "it's"))
    path = home / "it's" / "completions" / "gptcli.ps1"
    code, output, _ = completions("install", "powershell")
    assert code == 0
    assert output.splitlines()[-1].strip() == ". '" + str(path).replace("'", "''") + "'"
    assert [file for file in home.rglob("*") if file.is_file()] == [path]


def test_install_follows_the_users_own_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "own config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "own data"))
    assert completions("install", "fish")[0] == 0
    assert (home / "own config" / "fish" / "completions" / "gptcli.fish").is_file()
    output = completions("install", "zsh")[1]
    assert f"fpath=('{home}/own data/zsh/site-functions' $fpath)" in output


def test_install_does_not_overwrite_the_file_of_another_program(home: Path) -> None:
    path = home / ".config" / "fish" / "completions" / "gptcli.fish"
    path.parent.mkdir(parents=True)
    path.write_text("# mine\n")
    code, output, error = completions("install", "fish")
    assert (code, output) == (1, "")
    assert f"{path} exists and was not written by gptcli." in error
    assert path.read_text() == "# mine\n"


def test_install_reports_a_folder_that_cannot_be_created(home: Path) -> None:
    (home / ".config").write_text("a file")
    code, _, error = completions("install", "fish")
    assert code == 1
    assert "cannot be written" in error
    assert "Traceback" not in error


def test_install_finds_the_shell_it_was_started_from(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shellingham, "detect_shell", lambda: ("pwsh", "/opt/pwsh"))
    assert "gptcli.ps1" in completions("install")[1]


def test_install_falls_back_to_the_login_shell(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise shellingham.ShellDetectionFailure

    monkeypatch.setattr(shellingham, "detect_shell", lost)
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert "gptcli.fish" in completions("install")[1]
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    code, _, error = completions("install")
    assert code == 2
    assert "tcsh" in error
    monkeypatch.delenv("SHELL")
    assert completions("install")[0] == 2


def tab(line: str, instruction: str = "complete_fish", **environment: str) -> subprocess.CompletedProcess[str]:
    """The answer of a new process to a Tab at the end of `line`."""
    typer_variables = {"_GPTCLI_COMPLETE": instruction, "_TYPER_COMPLETE_ARGS": line}
    action = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    command = [sys.executable, "-X", "importtime", "-m", "gptcli"]
    return subprocess.run(
        command, env={**os.environ, **typer_variables, **action, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize("line", ["gptcli ", "gptcli complete --", "gptcli chat -m ", "gptcli chat --chat "])
def test_a_tab_imports_neither_the_engine_nor_rich(line: str) -> None:
    done = tab(line)
    assert done.returncode == 0
    imported = {row.rpartition("|")[2].strip() for row in done.stderr.splitlines()}
    assert "gptcli.cli.completions" in imported
    assert not imported & {"llama_cpp", "numpy", "rich", "huggingface_hub", "prompt_toolkit", "gptcli.llama.loading"}


def test_a_tab_survives_a_damaged_store(home: Path) -> None:
    (home / "models.json").write_text("{")
    (home / "conversations.db").write_text("no database " * 100)
    done = tab("gptcli complete -m gpt2", GPTCLI_DATA_DIR=str(home))
    assert "gpt2-medium" in done.stdout
    assert "Traceback" not in done.stderr
    done = tab("gptcli chat --chat ", GPTCLI_DATA_DIR=str(home))
    assert (done.returncode, done.stdout.strip()) == (0, "")
    assert "Traceback" not in done.stderr


def test_a_tab_creates_no_conversations_file(home: Path) -> None:
    tab("gptcli chat --chat ", GPTCLI_DATA_DIR=str(home / "data"))
    assert not (home / "data").exists()


def test_an_unknown_shell_is_refused() -> None:
    assert tab("gptcli ", "complete_tcsh").returncode == 1
