"""Starts to load a stored model while typer is still being imported: 40 ms of imports run during 60 ms of loading.

The command line is read only far enough to guess the model; an unknown flag means no guess. A wrong guess costs a
wasted load, because the command compares the choice before it uses the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gptcli.llama.model import ModelLoader

_COMMANDS = {"complete", "chat"}
_SHORT = {"-m", "-n", "-t", "-f"}
_LONG = {"--model", "--max-tokens", "--ctx-size", "--threads", "--file", "--seed", "--stop", "--format", "--samples"}
_SAMPLING = {"--temp", "--temperature", "--top-k", "--top-p", "--min-p"}
_WITH_VALUE = _SHORT | _LONG | _SAMPLING
_ALONE = {"-q", "--quiet", "--stats", "--no-stdin", "--echo", "--ignore-eos", "--offline", "--cache-prompt"}


def guess(arguments: Sequence[str]) -> tuple[bool, str | None]:
    """Whether to start loading, and which model (None: the default one).

    Only flags that contradict no other are known here, so that a command line that is refused loads nothing."""
    if not arguments or arguments[0] not in _COMMANDS:
        return False, None
    model = None
    rest = iter(arguments[1:])
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument in _ALONE or argument == "-" or not argument.startswith("-"):
            continue
        if name not in _WITH_VALUE or (equals and not name.startswith("--")):
            return False, None
        value = value if equals else next(rest, "")
        if name in ("-m", "--model"):
            model = value
        elif value == "-" and "--no-stdin" in arguments:
            return False, None
    return True, model


def begin(arguments: Sequence[str]) -> ModelLoader | None:
    """Start to load the guessed model, if it is stored and was verified."""
    likely, reference = guess(arguments)
    if not likely:
        return None
    from gptcli.errors import GptcliError
    from gptcli.models.progress import Silent
    from gptcli.models.refs.resolve import resolve
    from gptcli.models.store.integrity import check_samples

    try:
        found = resolve(reference, offline=True, report=Silent())
        check_samples(found.path)
    except GptcliError:
        return None
    if not found.trusted:
        return None
    from gptcli.llama.model import ModelLoader

    return ModelLoader(found.path)
