"""Groups of options as dataclasses: written once, taken by every command that wants them.

It knows how a dataclass becomes command-line parameters; which options there are is in options.py.
"""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def takes(**groups: type) -> Callable[[_Function], _Function]:
    """Let a command's parameter `name` be a dataclass whose fields are `Annotated[…, typer.Option(…)]`.

    Typer then sees the fields of all groups beside the command's own parameters, and the command gets a value of each
    group; the options of a group cannot differ from one command to the next.
    """

    def expand(command: _Function) -> _Function:
        own = [p for p in inspect.signature(command).parameters.values() if p.name not in groups]
        fields = {name: _parameters(group) for name, group in groups.items()}

        @functools.wraps(command)
        def call(**values: Any) -> Any:
            for name, group in groups.items():
                values[name] = group(**{parameter.name: values.pop(parameter.name) for parameter in fields[name]})
            return command(**values)

        ordered = [*own, *(parameter for group in fields.values() for parameter in group)]
        call.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        call.__annotations__ = {}
        del call.__wrapped__  # typer would read the type hints of the command as it was
        return typing.cast(_Function, call)

    return expand


def _parameters(group: type) -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=field.type,
            default=field.default if field.default_factory is dataclasses.MISSING else field.default_factory(),
        )
        for field in dataclasses.fields(group)
    ]
