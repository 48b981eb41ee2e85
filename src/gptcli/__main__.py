"""Where the process begins and ends; it guards its own imports, so that Ctrl-C is quiet from the first moment."""

from __future__ import annotations

import contextlib
import os
import sys


def run() -> None:
    """Run the command line of this process, and end it."""
    try:
        if sys.argv[1:] == ["--version"]:
            from gptcli import __version__

            print(f"gptcli {__version__}")  # noqa: T201 - nothing else is needed for it
            code = 0
        elif tab := os.environ.get("_GPTCLI_COMPLETE"):
            from gptcli.cli.completions import answer

            code = answer(tab)
        else:
            from gptcli.cli.early import begin

            early = begin(sys.argv[1:])
            from gptcli.cli.main import main
            from gptcli.terminal import Terminal

            code = main(sys.argv[1:], Terminal.of_process(), early, process_ends=True)
    except KeyboardInterrupt:
        code = 130
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    # Freeing a model and the interpreter takes 30 ms, and a daemon thread may still be loading one.
    os._exit(code)


if __name__ == "__main__":
    run()
