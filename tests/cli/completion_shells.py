"""Real shells with a completion script sourced, in a folder and a home of their own."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

_FISH = 'source $argv[1]; complete -C "$argv[2]"'
_ECHO = "gptcli() { printf '<%s>' \"$@\"; printf '=done\\n'; }"


class Shell:
    """One shell; its working folder and its home is `folder`. A gptcli on PATH answers the Tabs."""

    def __init__(self, name: str, script: Path, folder: Path, **environment: str) -> None:
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"{name} is not installed here, so its script cannot be tried in it")
        self.program = program
        self.name = name
        self.script = script
        self.folder = folder
        programs = folder.parent / "programs"
        programs.mkdir()
        gptcli = programs / "gptcli"
        gptcli.write_text(f'#!/bin/sh\nexec {sys.executable} -m gptcli "$@"\n')
        gptcli.chmod(0o755)
        self._terminal: Any = None
        self._close = contextlib.ExitStack()
        self._environment = {
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "PS1": "READY> ",
            **environment,
        }

    def close(self) -> None:
        """End what `typed` has started."""
        self._close.close()

    def offers(self, line: str) -> dict[str, str]:
        """What fish offers for the unfinished `line`, with the help that is shown beside it."""
        done = subprocess.run(
            [self.program, "--no-config", "-c", _FISH, str(self.script), line],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stderr == ""
        return dict(text.partition("\t")[::2] for text in done.stdout.splitlines())

    def typed(self, keys: str) -> list[str]:
        """The arguments that gptcli would get after `keys` on a terminal, Tab among them, and Return."""
        return re.findall("<(.*?)>", self._session(keys)[0])

    def screen(self, keys: str) -> str:
        """What a terminal has shown after the same."""
        return self._session(keys)[1]

    def _session(self, keys: str) -> tuple[str, str]:
        """bash or zsh on a pseudo-terminal, with a gptcli that prints its arguments; the next line can follow."""
        terminal = self._terminal or self._start()
        self._terminal = None  # a session that failed is not used again
        terminal.send(keys + "\r")
        terminal.expect("((?:<[^\r\n]*>)?)=done\r")
        arguments, screen = terminal.match[1], terminal.before
        terminal.expect("GO> ")
        self._terminal = terminal
        return arguments, screen

    def _start(self) -> Any:
        options, prepare = {
            "bash": (
                ["--norc", "--noprofile"],
                "bind 'set enable-bracketed-paste off'; bind 'set completion-query-items 0'",
            ),
            "zsh": (["-f"], "autoload -U compinit; compinit -D -u; LISTMAX=10000; unset zle_bracketed_paste"),
        }[self.name]
        terminal = pexpect.spawn(
            self.program,
            [*options, "-i"],
            cwd=str(self.folder),
            env=self._environment,
            encoding="utf-8",
            timeout=30,
            dimensions=(200, 400),
        )
        self._close.callback(terminal.close, force=True)
        terminal.delaybeforesend = None
        terminal.expect("READY> ")
        load = f". '{self.script}'" if self.name == "bash" else f"fpath=('{self.script.parent}' $fpath); {prepare}"
        terminal.sendline(f"{prepare}; {load}; {_ECHO}; PS1='GO''> '")
        terminal.expect("GO> ")
        return terminal
