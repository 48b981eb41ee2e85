"""Groups of options as classes: written once, taken by every command that wants them."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., object])


def takes(**groups: type) -> Callable[[_Function], _Function]:
    """Let a command's parameter be a group of options.

    A group is a dataclass whose fields are `Annotated[..., typer.Option(...)]`, or a class with a method `parameters`
    that returns such parameters. Typer then sees the options of all groups beside the command's own parameters, and the
    command gets a value of each group."""

    def expand(command: _Function) -> _Function:
        own = [p for p in inspect.signature(command).parameters.values() if p.name not in groups]
        options = {name: _parameters(group) for name, group in groups.items()}

        @functools.wraps(command)
        def call(**values: object) -> object:
            for name, group in groups.items():
                values[name] = group(**{parameter.name: values.pop(parameter.name) for parameter in options[name]})
            return command(**values)

        ordered = [*own, *(parameter for group in options.values() for parameter in group)]
        call.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        call.__annotations__ = {}
        del call.__wrapped__  # typer would read the type hints of the command as it was
        return typing.cast(_Function, call)

    return expand


def _parameters(group: Any) -> list[inspect.Parameter]:
    if hasattr(group, "parameters"):
        parameters: list[inspect.Parameter] = group.parameters()
        return parameters
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=field.type,
            default=field.default if field.default_factory is dataclasses.MISSING else field.default_factory(),
        )
        for field in dataclasses.fields(group)
    ]
