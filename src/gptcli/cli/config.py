"""`gptcli config`: show every setting and where it comes from, and change the settings file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from typer._click import Context

from gptcli.cli import suggestions
from gptcli.cli.defaults import section_names
from gptcli.errors import ExitCode, GptcliError, UsageError
from gptcli.settings import settings_file, table
from gptcli.settings.values import PREFIX, Found, Settings

if TYPE_CHECKING:
    from gptcli.cli.main import CommandContext
    from gptcli.params import Param
    from gptcli.terminal import Terminal

_EPILOG = "Example: gptcli config set temperature 0.2"
_HELP = "Show every setting and where it comes from, or change one. A flag comes before a GPTCLI_* variable, and that\n"
_HELP += "before the settings file."

app = typer.Typer(help=_HELP, epilog=_EPILOG, invoke_without_command=True, add_completion=False, rich_markup_mode=None)

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A setting's name.", autocompletion=suggestions.one_of(*table.SETTINGS)),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="REF", help="What this model has of its own.", autocompletion=suggestions.models
    ),
]


@app.callback(epilog=_EPILOG)
def show(
    context: typer.Context,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    if context.invoked_subcommand is not None:
        return ExitCode.OK
    terminal = _terminal(context)
    found = Settings.load()
    names = section_names(found, model) if model is not None else ()
    rows = [(name, _effective(found, name, names)) for name in table.SETTINGS]
    sections = {} if model is not None else {name: found.in_section(name) for name in found.sections()}
    terminal.write(_as_json(rows, sections) if as_json else "".join(_as_toml(rows, sections)))
    mistakes = [*found.mistakes()]
    for mistake in mistakes:
        terminal.report(f"gptcli: {mistake.message}" + (f"\n{mistake.hint}" if mistake.hint else ""))
    return ExitCode.USAGE if mistakes else ExitCode.OK


@app.command(epilog="Example: gptcli config get temperature")
def get(context: typer.Context, name: Name, model: Model = None) -> None:
    """Print the value of a setting; nothing if it has none."""
    _check_name(name)
    found = Settings.load()
    value = found.get(name, section_names(found, model) if model is not None else ())
    if name == "model" and value is None:
        from gptcli.models.resolve import default_reference

        value = default_reference()
    if value is not None:
        _terminal(context).write(table.text(name, value) + "\n")


@app.command("set", context_settings={"ignore_unknown_options": True}, epilog=_EPILOG)
def set_setting(
    context: typer.Context,
    name: Name,
    values: Annotated[list[str], typer.Argument(metavar="VALUE...", help="The value; several for a list.")],
    model: Model = None,
) -> None:
    """Set a setting in the file, for all models or for one."""
    from gptcli.params import Kind, ParamError
    from gptcli.settings import edit

    param = _check_name(name)
    is_list = param.kind in (Kind.TEXTS, Kind.BIAS)
    if len(values) > 1 and not is_list:
        raise UsageError(f"{name} has one value, not {len(values)}.", "Put quotes around a value with spaces.")
    try:
        value = [*values] if len(values) > 1 else table.parse(name, values[0])
    except ParamError as error:
        raise UsageError(str(error), f"{name}: {param.help}") from None
    edit.set_value(name, value, model)
    terminal = _terminal(context)
    if terminal.environment.get(variable := PREFIX + name.upper()):
        terminal.report(f"{variable} is set, too, and comes before the file.")


@app.command(epilog="Example: gptcli config unset temperature")
def unset(context: typer.Context, name: Name, model: Model = None) -> None:
    """Remove a setting from the file, also one that is misspelt."""
    from gptcli.settings import edit

    if edit.unset(name, model):
        return
    if name not in table.SETTINGS:
        _check_name(name)
    _terminal(context).notice(f"{name} was not set.")


@app.command(epilog="Example: EDITOR=nano gptcli config edit")
def edit(context: typer.Context) -> int:
    """Open the file in your editor (VISUAL, EDITOR), and check it afterwards."""
    from gptcli.editor import edit_file
    from gptcli.settings import edit as file

    edit_file(file.create())
    mistakes = [*Settings.load().mistakes()]
    for mistake in mistakes:
        _terminal(context).report(f"gptcli: {mistake.message}\n{mistake.hint}".rstrip())
    return ExitCode.USAGE if mistakes else ExitCode.OK


@app.command(epilog="Example: cat $(gptcli config path)")
def path(context: typer.Context) -> None:
    """Print where the file is, or would be."""
    _terminal(context).write(f"{settings_file()}\n")


def _effective(found: Settings, name: str, models: Sequence[str]) -> Found | None:
    try:
        return found.find(name, models)
    except GptcliError:
        return None  # reported with all other mistakes


def _as_toml(rows: list[tuple[str, Found | None]], sections: dict[str, dict[str, Found]]) -> Iterator[str]:
    """The settings as a settings file has them; a comment shows the source, and what is not set is a comment."""
    for name, value in rows:
        param = table.SETTINGS[name]
        if value is not None:
            yield _row(f"{name} = {table.literal(name, value.value)}", value.source)
        elif param.default in (None, "", ()):
            yield _row(f"# {name}", "not set")
        else:
            yield _row(f"# {name} = {table.literal(name, param.default)}", "default")
    for model, values in sections.items():
        yield f"\n[models.{json.dumps(model, ensure_ascii=False)}]\n"
        for name, value in values.items():
            yield _row(f"{name} = {table.literal(name, value.value)}", value.source)


def _row(text: str, source: str) -> str:
    return f"{text:<40}  # {source}\n"


def _as_json(rows: list[tuple[str, Found | None]], sections: dict[str, dict[str, Found]]) -> str:
    def record(name: str, value: Found | None) -> dict[str, object]:
        shown = table.SETTINGS[name].default if value is None else value.value
        source = "default" if value is None else value.source
        return {"value": None if shown is None else table.plain(name, shown), "source": source}

    document: dict[str, object] = {name: record(name, value) for name, value in rows}
    document["models"] = {
        model: {name: record(name, value) for name, value in values.items()} for model, values in sections.items()
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _check_name(name: str) -> Param:
    """The setting of that name. Raises UsageError."""
    if name in table.SETTINGS:
        return table.SETTINGS[name]
    near = table.nearest(name, table.SETTINGS)
    raise UsageError(f"{name!r} is not a setting.", f"Did you mean {near}?" if near else "`gptcli config` shows all.")


def _terminal(context: Context) -> Terminal:
    session: CommandContext = context.obj
    return session.terminal
