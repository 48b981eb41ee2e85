"""Units that let the system run a server: systemd's on Linux, launchd's on macOS."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import sys
from collections.abc import Sequence

_SYSTEMD = """\
# ~/.config/systemd/user/gptcli.service, then: systemctl --user enable --now gptcli
[Unit]
Description=gptcli serve

[Service]
ExecStart={command}
Restart=on-failure
TimeoutStopSec={seconds}
NoNewPrivileges=yes
UMask=0077

[Install]
WantedBy=default.target
"""
_PLIST = "<!-- ~/Library/LaunchAgents/gptcli.plist, then: launchctl load -w ~/Library/LaunchAgents/gptcli.plist -->"
_MARGIN = 15
"""Seconds that the system waits for after the grace."""
_SAFE = re.compile(r"[\w@+=:,./-]+", re.ASCII)


def make_unit(arguments: Sequence[str], grace: float, *, system: str = sys.platform) -> str:
    """The unit that runs `gptcli` with these arguments; how to install it is in its first lines.

    Files are written with their whole paths, for the system starts it in another folder. `grace`: seconds that running
    answers have to end."""
    program = os.path.abspath(shutil.which("gptcli") or sys.argv[0])
    command = [program, *(os.path.abspath(one) if os.path.isfile(one) else one for one in arguments)]
    seconds = round(grace) + _MARGIN
    if system != "darwin":
        return _SYSTEMD.format(command=" ".join(map(_quote, command)), seconds=seconds)
    values = {"Label": "gptcli", "ProgramArguments": command, "RunAtLoad": True, "KeepAlive": {"SuccessfulExit": False}}
    first, rest = plistlib.dumps(values | {"ExitTimeOut": seconds}).decode().split("\n", 1)
    return f"{first}\n{_PLIST}\n{rest}"


def _quote(argument: str) -> str:
    """As systemd reads a word (systemd.service, "Command lines"); `%` and `$` would be replaced."""
    if not _SAFE.fullmatch(argument):
        argument = '"' + argument.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return argument.replace("%", "%%").replace("$", "$$")
