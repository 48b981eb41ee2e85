"""`gptcli roles`: list, show, write and check roles, and allow those of a project."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer._click import Context
from typer._click.core import ParameterSource

from gptcli.cli.chats import write_listing
from gptcli.cli.options import SamplingCommand, SamplingFlags, param_option, takes
from gptcli.errors import ExitCode, GptcliError, UsageError

if TYPE_CHECKING:
    from gptcli.cli.main import CommandContext
    from gptcli.roles.library import Entry
    from gptcli.roles.role import Role
    from gptcli.terminal import Terminal

app = typer.Typer(
    help="List, show, write and check roles: prompts with examples and settings under a name.",
    epilog="Example: gptcli chat --role translate -p language=German 'Good morning'",
    no_args_is_help=True,
    add_completion=False,
)

_NEW = """\
+++
description = "What the role does, in one line."
temperature = 0
# max_tokens = 200
# choices = ["yes", "no"]
# required = ["tone"]
# template = "{{ input }}"

[variables]
language = "English"

[[examples]]
input = "What a user may write."
output = "What the answer should be."
+++
You write in {{ language }}. Say here what the model is to do.
"""


def _names() -> list[str]:
    from gptcli.roles import library

    return [*dict.fromkeys(entry.name for entry in library.entries())]


Name = Annotated[str, typer.Argument(metavar="NAME", help="A role's name.", autocompletion=_names)]


@app.command("list", epilog="Example: gptcli roles list")
def list_roles(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List roles: name, where it is from, and what it does."""
    from gptcli.roles import library

    rows, records = [], []
    for entry in library.entries():
        try:
            description = library.read(entry).description
        except GptcliError as error:
            description = f"mistake: {error.message}"
        origin = entry.origin if entry.allowed else f"{entry.origin}, not allowed"
        rows.append((entry.name, origin, description))
        records.append({"name": entry.name, "from": origin, "description": description, "path": str(entry.path)})
    write_listing(_terminal(context), as_json, records, ("NAME", "FROM", "DESCRIPTION"), rows, "There are no roles.")


@app.command(epilog="Example: gptcli roles show translate")
def show(context: typer.Context, name: Name) -> None:
    """Print a role's file."""
    _terminal(context).write(_read_text(_find(name)))


@app.command(epilog="Example: gptcli roles new reviewer")
def new(
    context: typer.Context,
    name: Name,
    project: Annotated[bool, typer.Option("--project", help="In .gptcli/roles of this folder.")] = False,
) -> None:
    """Write a new role from a pattern, and open it in your editor if this is a terminal."""
    from gptcli.roles import library

    folder = Path.cwd() / ".gptcli" / "roles" if project else library.user_folder()
    path = folder / f"{library.check_name(name)}.md"
    if path.exists():
        raise UsageError(f"{path} exists.", f"`gptcli roles edit {name}` opens it.")
    library.write(path, _NEW)
    if project:
        library.allow(folder)
    _open(context, path)


@app.command(epilog="Example: gptcli roles edit summarize")
def edit(context: typer.Context, name: Name) -> None:
    """Open a role in your editor; a shipped one is copied to your folder first."""
    from gptcli.roles import library

    entry = _find(name)
    path = entry.path
    if entry.origin == "shipped":
        path = library.user_folder() / path.name
        library.write(path, _read_text(entry))
    _open(context, path)


@app.command(cls=SamplingCommand, epilog="Example: gptcli roles save pirate -s 'Talk like a pirate.' --temp 1")
@takes(sampling=SamplingFlags)
def save(
    ctx: typer.Context,
    sampling: SamplingFlags,
    name: Name,
    system: Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="The system prompt.")] = None,
    template: Annotated[
        str | None, typer.Option("--template", metavar="TEXT", help="The message, with {{ input }} and variables.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="REF", help="The model.")] = None,
    max_tokens: Annotated[int | None, param_option("max_tokens")] = None,
    stop: Annotated[list[str] | None, param_option("stop")] = None,
    choices: Annotated[str | None, typer.Option("--choices", metavar="A,B,…", help="One of these texts.")] = None,
    json_schema: Annotated[
        str | None, typer.Option("--json-schema", metavar="SCHEMA", help="JSON that satisfies a schema.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it does.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a role of yours.")] = False,
) -> None:
    """Save flags as a role in your folder."""
    from gptcli.roles import library
    from gptcli.roles.role import parse
    from gptcli.settings import table

    path = library.user_folder() / f"{library.check_name(name)}.md"
    if path.exists() and not force:
        raise UsageError(f"{path} exists.", "Replace it with --force.")
    texts = {"description": description, "template": template, "model": model, "json_schema": json_schema}
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in texts.items() if value is not None]
    if choices is not None:
        lines.append(f"choices = {json.dumps([choice.strip() for choice in choices.split(',')], ensure_ascii=False)}")
    flags = {name: value for name, value in sampling.given.items() if _on_command_line(ctx, name)}
    values = {"max_tokens": max_tokens, "stop": tuple(stop or ()) or None} | flags
    lines += [f"{key} = {table.literal(key, value)}" for key, value in values.items() if value is not None]
    text = "\n".join(["+++", *lines, "+++", system or "", ""])
    _check(parse(name, path, text))
    library.write(path, text)
    _terminal(ctx).notice(f"Saved {path}.")


@app.command(epilog="Example: gptcli roles check reviewer")
def check(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Roles. (default: all)", autocompletion=_names)
    ] = None,
) -> int:
    """Check roles: keys, values, templates, examples; print what is wrong, with the line."""
    from gptcli.roles import library

    wanted = [_find(name) for name in names] if names else library.entries()
    terminal, wrong = _terminal(context), 0
    for entry in wanted:
        try:
            _check(library.read(entry))
        except GptcliError as error:
            wrong += 1
            terminal.report(f"{entry.name}: {error.message}\n{error.hint}")
    terminal.notice(f"{len(wanted) - wrong} of {len(wanted)} roles are right.")
    return ExitCode.USAGE if wrong else ExitCode.OK


@app.command(epilog="Example: gptcli roles allow")
def allow(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="(default: this project's)")] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Allow it no longer.")] = False,
) -> None:
    """Allow the roles of a project, which are prompts that others may have written."""
    from gptcli.roles import library

    found = library.project_folder() if folder is None else folder
    if folder is not None and (folder / ".gptcli" / "roles").is_dir():
        found = folder / ".gptcli" / "roles"
    if found is None or not found.is_dir():
        raise UsageError("There is no folder .gptcli/roles here.", "Go to the project, or name it.")
    library.allow(found, wanted=not revoke)
    _terminal(context).notice(f"{found} is {'no longer allowed' if revoke else 'allowed'}.")


def _on_command_line(context: Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _check(role: "Role") -> None:
    """Raises UsageError for a role whose templates cannot be used."""
    from gptcli.roles.prompt import RolePrompt

    RolePrompt(role, dict.fromkeys(role.required, "x")).messages("x")


def _open(context: typer.Context, path: Path) -> None:
    from gptcli.editor import edit_file
    from gptcli.roles import library

    terminal = _terminal(context)
    if (terminal.stdin_tty and terminal.stderr_tty) or terminal.environment.get("EDITOR"):
        edit_file(path)
        _check(library.read(library.Entry(path.stem, path, "yours")))
    else:
        terminal.write(f"{path}\n")


def _find(name: str) -> "Entry":
    """The file of a role, allowed or not: reading it is how one decides."""
    from difflib import get_close_matches

    from gptcli.roles import library

    found = [entry for entry in library.entries() if entry.name == name]
    if found:
        return found[0]
    near = get_close_matches(name, _names(), 1)
    raise UsageError(f"There is no role {name!r}.", f"Did you mean {near[0]}?" if near else "See `gptcli roles list`.")


def _read_text(entry: "Entry") -> str:
    try:
        return entry.path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{entry.path} cannot be read: {error.strerror}.", "Check the file.") from error


def _terminal(context: typer.Context) -> "Terminal":
    session: CommandContext = context.obj
    return session.terminal
