"""Where the process begins and ends; it guards its own imports, so that Ctrl-C is quiet from the first moment.

A stored model starts to load while typer is still being imported: 40 ms of imports run during 60 ms of loading. The
command line is read only far enough to guess the model; an unknown flag means no guess. A wrong guess costs a wasted
load, because the command compares the choice before it uses the result."""

from __future__ import annotations

import contextlib
import os
import sys

TYPE_CHECKING = False  # typing's own takes 6 ms, as much as Python itself
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gptcli.llama.model import ModelLoader

_COMMANDS = {"complete", "chat"}
# Only flags that contradict no other are known here, so that a command line that is refused loads nothing.
_WITH_VALUE = {"-m", "-n", "-t", "-f", "--model", "--max-tokens", "--ctx-size", "--threads", "--file", "--seed"}
_WITH_VALUE |= {"--stop", "--format", "--samples", "--temp", "--temperature", "--top-k", "--top-p", "--min-p"}
_WITH_VALUE |= {"--cache-type-k", "--cache-type-v", "--role", "-p", "--param"}
_ALONE = {"-q", "--quiet", "--stats", "--no-stdin", "--echo", "--ignore-eos", "--offline", "--cache-prompt"}
_ALONE |= {"--no-server", "--speculation", "--no-speculation"}
_CONSTRAINTS = {"--json-schema", "--regex", "--choices", "--grammar", "--grammar-file", "--json"}
"""At most one is given, and --stop contradicts most. A load beside a schema that is refused ends with the process."""


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
            code = _run_command(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    # Freeing a model and the interpreter takes 30 ms, and a daemon thread may still be loading one.
    os._exit(code)


def guess(arguments: Sequence[str]) -> tuple[bool, str | None]:
    """Whether to start loading, and which model (None: the default one)."""
    if not arguments or arguments[0] not in _COMMANDS:
        return False, None
    model = None
    names = [argument.partition("=")[0] for argument in arguments]
    constraints = sum(name in _CONSTRAINTS for name in names)
    if constraints > 1 or (constraints and "--stop" in names):
        return False, None
    rest = iter(arguments[1:])
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument in _ALONE or argument in ("--json", "-") or not argument.startswith("-"):
            continue
        if name not in _WITH_VALUE | _CONSTRAINTS or (equals and not name.startswith("--")):
            return False, None
        value = value if equals else next(rest, "")
        if name in ("-m", "--model"):
            model = value
        elif value == "-" and "--no-stdin" in arguments:
            return False, None
    return True, model


def _run_command(arguments: Sequence[str]) -> int:
    early = begin(arguments)
    if isinstance(early, int):
        return early
    from gptcli.cli.main import main
    from gptcli.terminal import Terminal

    return main(arguments, Terminal.of_process(), early, process_ends=True)


def begin(arguments: Sequence[str]) -> ModelLoader | int | None:
    """Start to load the guessed model, if it is stored and was verified. The exit code, if a server of the model
    answered the command line already."""
    likely, reference = guess(arguments)
    if not likely:
        return None
    from gptcli.errors import GptcliError
    from gptcli.models.progress import Silent
    from gptcli.models.resolve import resolve
    from gptcli.models.store.integrity import check_samples

    try:
        device, gpu_layers = _device(reference)
        found = resolve(reference, offline=True, report=Silent())
        check_samples(found.path)
    except GptcliError:
        return None
    if not found.trusted:
        return None
    if "--no-server" not in arguments and _is_served(found.path):
        from gptcli.cli import warm

        return warm.answer(arguments, found.path)
    from gptcli.llama.model import ModelLoader

    return ModelLoader(found.path, device, gpu_layers)


def _device(reference: str | None) -> tuple[str, int | None]:
    """The device and the layers on it that the user's settings have for the model. Raises GptcliError."""
    from gptcli import settings

    if not settings.are_set():
        return "auto", None
    from gptcli.models.refs.aliases import spellings
    from gptcli.models.resolve import default_reference
    from gptcli.settings.values import Settings

    found = Settings.load()
    models = spellings(reference or default_reference()) if found.has_sections else ()
    found.check(models)
    return found.get("device", models), found.get("gpu_layers", models)


def _is_served(model: Path) -> bool:
    """Whether a server of this model seems to run; nothing is imported where none was ever started."""
    from gptcli import settings

    if os.name != "posix" or not os.path.isdir(settings.runtime_dir()):
        return False
    from gptcli.runtime.sockets import socket_path

    return socket_path(model).exists()


if __name__ == "__main__":
    run()
