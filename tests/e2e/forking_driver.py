"""Runs `gptcli complete` on each file named on standard input, each in a process of its own, forked when all is loaded.

One JSON line for each: the file, the exit code (negative: the signal that ended it) and what it said on stderr.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import sys
import tempfile
import traceback

from gptcli.cli import complete  # noqa: F401 - what each would import again
from gptcli.cli.main import main
from gptcli.models.gguf import structure  # noqa: F401
from gptcli.runtime import loader as opening  # noqa: F401 - what each would import again
from gptcli.terminal import Terminal

SECONDS = 30
MEMORY_BYTES = 8 << 30


def child(path: str, errors: int) -> None:
    """Be gptcli, with `errors` as stderr; never return."""
    os.dup2(errors, 2)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    code = 99
    try:
        terminal = Terminal(io.BytesIO(), io.BytesIO(), sys.stderr)
        code = main(["complete", "-m", path, "-t", "1", "-n", "1", "x"], terminal)
    except BaseException:  # noqa: BLE001 - whatever it is, the parent must see it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


for line in sys.stdin:
    name = line.rstrip("\n")
    with tempfile.TemporaryFile() as file:
        process = os.fork()
        if process == 0:
            child(name, file.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        file.seek(0)
        said = file.read().decode("utf-8", "replace")
    print(json.dumps({"file": name, "code": status, "said": said}), flush=True)  # noqa: T201
