"""`gptcli schema`: the short form of a schema from examples, and what is kept of a schema."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from typer._click.core import Context  # typer brings its own click, and no public names for it
from typer.core import TyperGroup

if TYPE_CHECKING:
    from gptcli.cli.main import CommandContext
    from gptcli.constraints.short_form import Json


class _InferByDefault(TyperGroup):
    """`schema FILE` is `schema infer FILE`."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["infer", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_InferByDefault,
    help="Infer a schema from examples, or check one. `schema FILE` is `schema infer FILE`.",
    epilog="Example: gptcli schema examples.jsonl",
    no_args_is_help=True,
    add_completion=False,
)


@app.command(epilog="Example: gptcli schema infer examples.jsonl")
def infer(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="Objects of JSON, one a line or in a list; - is standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON Schema instead of the short form.")] = False,
) -> None:
    """Print the short form of a schema that the objects of FILE satisfy, for --json-schema.

    `name, age int, note?, tags[], kind a|b, author {name}`: a field is a string unless it has a type (int, float, bool,
    date, …), a list with [], optional with ?, and one of several values with |."""
    from gptcli.constraints.infer import infer_schema
    from gptcli.constraints.short_form import write_short_form
    from gptcli.errors import GptcliError

    session: CommandContext = context.obj
    try:
        schema = infer_schema(_read_examples(file, session))
    except ValueError as error:
        raise GptcliError(f"{file}: {error}") from error
    text = json.dumps(schema, ensure_ascii=False, indent=2) if as_json else write_short_form(schema)
    session.terminal.write(f"{text}\n")


@app.command(epilog="Example: gptcli schema check 'name, age int'")
def check(
    context: typer.Context,
    schema: Annotated[str, typer.Argument(help="A file, JSON, or the short form `name, age int, tags[]`.")],
    lenient: Annotated[bool, typer.Option("--lenient", help="Leave out what cannot be kept, and list it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object of JSON.")] = False,
) -> None:
    """Say whether a schema is kept, what is left out, how short an answer can be, and show one."""
    from gptcli.constraints.compilation import shortest_answer
    from gptcli.constraints.schema import SchemaError, load_schema

    session: CommandContext = context.obj
    checked = load_schema(schema, lenient=lenient)
    shortest = shortest_answer(checked.text)
    if shortest is None:
        raise SchemaError("No text satisfies the schema, or none that is short enough to be found.")
    size = len(shortest.encode())
    if as_json:
        found = {"dropped": list(checked.dropped), "min_bytes": size, "example": json.loads(shortest)}
        session.terminal.write(f"{json.dumps({**found, 'schema': checked.source}, ensure_ascii=False)}\n")
        return
    dropped = "".join(f"  {line}\n" for line in checked.dropped)
    kept = f"Kept, without:\n{dropped}" if dropped else "Everything is kept.\n"
    session.terminal.write(f"{kept}The shortest answer has {size} bytes, so at most as many tokens:\n{shortest}\n")


def _read_examples(file: str, session: "CommandContext") -> "list[Json]":
    """The values of a file with JSON Lines, or with one value of JSON. Raises ValueError, GptcliError."""
    from gptcli.errors import GptcliError

    try:
        if file == "-":
            data = session.terminal.stdin.read()
        else:
            with open(file, "rb") as opened:
                data = opened.read()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise GptcliError(f"{file} cannot be read: {error.strerror}.", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise ValueError("It is not in UTF-8.") from error
    try:
        whole = json.loads(text)
    except RecursionError as error:
        raise ValueError("It is nested too deeply.") from error
    except ValueError:
        return [_value(line, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return whole if isinstance(whole, list) else [whole]


def _value(line: str, number: int) -> "Json":
    try:
        value: Json = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Line {number} is not valid JSON.") from error
    return value
