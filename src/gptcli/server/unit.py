"""Units that let the system run a server: systemd's on Linux, launchd's on macOS."""

from __future__ import annotations

import plistlib
import shlex
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
TimeoutStopSec=45
NoNewPrivileges=yes
UMask=0077

[Install]
WantedBy=default.target
"""


def make_unit(arguments: Sequence[str], *, system: str = sys.platform) -> str:
    """The unit that runs `gptcli` with these arguments; how to install it is in its first lines."""
    command = [shutil.which("gptcli") or sys.argv[0], *arguments]
    if system != "darwin":
        return _SYSTEMD.format(command=shlex.join(command).replace("%", "%%").replace("$", "$$"))
    where = "<!-- ~/Library/LaunchAgents/gptcli.plist, then: launchctl load -w ~/Library/LaunchAgents/gptcli.plist -->"
    values = {"Label": "gptcli", "ProgramArguments": command, "RunAtLoad": True, "KeepAlive": {"SuccessfulExit": False}}
    first, rest = plistlib.dumps(values).decode().split("\n", 1)
    return f"{first}\n{where}\n{rest}"
