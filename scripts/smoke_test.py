"""Installs a wheel or an sdist of gptcli into a new virtual environment and tries it there as a first user would.

    python scripts/smoke_test.py dist/*.whl dist/*.tar.gz

It needs nothing but Python, and a C++ compiler where pip has no wheel of llama-cpp-python. pip runs with this machine's
settings. gptcli runs with none, in a new home; only the model hub's cache is that of this machine, so that the starter
model is not downloaded twice.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

COMMANDS = ("complete", "chat", "batch", "models", "completions", "doctor")
"""Commands whose --help must work; they import most of the program."""
NOT_SHIPPED = {"pytest", "hypothesis", "ruff", "mypy", "gguf", "jsonschema", "torch", "transformers", "build"}
"""What only developers need."""
PATIENCE_SECONDS = 1800
"""The first installation compiles llama.cpp."""


def main() -> None:
    packages = [Path(name).resolve() for name in sys.argv[1:]]
    if not packages or not all(package.is_file() for package in packages):
        raise SystemExit(__doc__)
    for package in packages:
        with tempfile.TemporaryDirectory() as folder:
            try_package(package, Path(folder))
        print(f"{package.name}: installs and works")


def try_package(package: Path, folder: Path) -> None:
    """Install `package` into `folder` and run it. Raises SystemExit for the first thing that is wrong."""
    clean, own = clean_environment(folder), {**os.environ, "PYTHONPATH": ""}
    venv.create(folder / "venv", with_pip=True, clear=True)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")

    def run(program: str, *arguments: str) -> str:
        command = [str(programs / program), *arguments]
        environment = own if arguments[:2] == ("-m", "pip") else clean
        done = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.decode()}")
        return done.stdout.decode()

    run("python", "-m", "pip", "install", "--disable-pip-version-check", "--quiet", str(package))
    run("python", "-m", "pip", "check")
    check_installation(package, folder / "venv", run)
    check_program(run)
    run("python", "-m", "pip", "uninstall", "--yes", "--quiet", "gptcli")
    require(not list((folder / "venv").rglob("gptcli*")), "uninstalling leaves files behind")


def clean_environment(folder: Path) -> dict[str, str]:
    """The variables that programs and pip need, a new home, and this machine's cache of models."""
    kept = {"PATH", "SYSTEMROOT", "TEMP", "TMP", "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS"}
    environment = {name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")}
    hub = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or Path.home() / ".cache/huggingface", "hub")
    homes = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA"), str(folder))
    return {"COLUMNS": "80", "PYTHONUTF8": "1", **environment, **homes, "HF_HUB_CACHE": str(hub)}


def check_installation(package: Path, environment: Path, run: Callable[..., str]) -> None:
    """The version, what was installed beside gptcli, and the files that are not Python."""
    version = re.match(r"gptcli-([^-]+?)(?:-py3|\.tar\.gz)", package.name)
    require(version is not None, f"{package.name} has no version in its name")
    require(run("gptcli", "--version").strip() == f"gptcli {version[1]}", "--version is not the version of the package")
    names = {line.partition("==")[0].lower() for line in run("python", "-m", "pip", "freeze").splitlines()}
    require(not names & NOT_SHIPPED, f"installs what only developers need: {', '.join(sorted(names & NOT_SHIPPED))}")
    require((environment / "share" / "man" / "man1" / "gptcli.1").is_file(), "installs no man page")
    print(f"{package.name}: {len(names) - 1} packages beside gptcli: {', '.join(sorted(names - {'gptcli'}))}")


def check_program(run: Callable[..., str]) -> None:
    """The first things that somebody does with it."""
    require("gptcli complete" in run("gptcli"), "gptcli alone does not show what one can do")
    for command in COMMANDS:
        require(f"gptcli {command}" in run("gptcli", command, "--help"), f"{command} --help does not show its usage")
    require("llama-cpp-python" in run("gptcli", "doctor"), "doctor does not name the build of llama.cpp")
    text = run("gptcli", "complete", "--temp", "0", "-n", "12", "The capital of France is")
    require("Paris" in text, f"the starter model completes nonsense: {text!r}")
    first = run("python", "-m", "gptcli", "complete", "--seed", "7", "-n", "12", "Once upon a time")
    require(first == run("gptcli", "complete", "--seed", "7", "-n", "12", "Once upon a time"), "a seed gives two texts")


def require(holds: bool, problem: str) -> None:
    """End with `problem` unless `holds`."""
    if not holds:
        raise SystemExit(f"gptcli {problem}.")


if __name__ == "__main__":
    main()
