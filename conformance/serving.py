"""Starts `gptcli serve` for a test, and stops it. Standard library only: it runs in the environments of others."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator

GPTCLI = os.environ.get("GPTCLI", "gptcli")
"""The command to test."""
MODEL = os.environ.get("GPTCLI_CONFORMANCE_MODEL", "smollm2")


@contextlib.contextmanager
def serving(*flags: str, model: str = MODEL) -> Iterator[str]:
    """The address of a server with its own runtime folder, such as http://127.0.0.1:38123/v1."""
    with tempfile.TemporaryDirectory(prefix="gptcli-") as folder:
        environment = {**os.environ, "GPTCLI_RUNTIME_DIR": folder}
        command = [GPTCLI, "serve", "-m", model, "--port", "0", *flags]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"answers at (http\S+)", line):
                    break
            else:
                raise SystemExit("".join(lines) or "the server did not start")
            yield found[1]
        finally:
            process.terminate()
            process.communicate(timeout=60)
