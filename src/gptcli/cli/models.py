"""`gptcli models`: pull, list, show, search, check, name, import and remove models.

It knows options and what is said to whom; everything about models belongs to `models/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gptcli.cli import suggestions
from gptcli.errors import LoadError, ModelNotFound, OfflineError, UsageError
from gptcli.terminal import Terminal, escape_controls

if TYPE_CHECKING:
    from gptcli.cli.main import CommandContext
    from gptcli.models.store.inventory import Stored
    from gptcli.render.progress import DownloadBar

app = typer.Typer(
    help="Pull, list, show, search, check, name, import and remove models.",
    no_args_is_help=True,
    add_completion=False,
)

Reference = Annotated[
    str,
    typer.Argument(
        metavar="REF", autocompletion=suggestions.models, help="Alias, USER/REPO[:QUANT], URL or a GGUF's path."
    ),
]
References = Annotated[
    list[str],
    typer.Argument(metavar="REF...", autocompletion=suggestions.models, help="Aliases, USER/REPO[:QUANT] or URLs."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command()
def pull(context: typer.Context, refs: References, offline: Offline = False, quiet: Quiet = False) -> None:
    """Fetch models, or what has changed of them, into the hub's cache."""
    from gptcli.models.hub.pull import bring

    bar = _bar(context, quiet)
    for text in refs:
        bar.note(f"{text} is stored in {bring(text, offline=offline, report=bar)}.")


@app.command("list")
def list_models(
    context: typer.Context,
    as_json: Json = False,
    catalog: Annotated[bool, typer.Option("--catalog", help="The models that can be pulled by a short name.")] = False,
) -> None:
    """List the stored models: name, quantization, size, architecture, parameters, context, last used."""
    from gptcli.cli import models_tables as models_lines
    from gptcli.render.table import write_table

    terminal = _terminal(context)
    if catalog:
        records, headers, rows = models_lines.catalog()
    else:
        records, headers, rows = models_lines.stored()
    if as_json:
        _write_json(terminal, records)
    elif rows:
        write_table(terminal, headers, rows)
    else:
        terminal.notice("No model is stored yet; `gptcli models pull smollm2` fetches the starter.")


@app.command()
def show(
    context: typer.Context,
    ref: Reference,
    template: Annotated[bool, typer.Option("--template", help="Print the chat template.")] = False,
    ctx_size: Annotated[
        int | None, typer.Option("--ctx-size", "-c", min=1, metavar="N", help="Say the memory for N tokens.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a model's file says of itself, and the memory that it takes."""
    from gptcli.cli import models_tables as models_lines
    from gptcli.models.gguf import header as gguf

    terminal = _terminal(context)
    header = gguf.read_header(_find(ref))
    if template:
        text = header.text("tokenizer.chat_template")
        if text is None:
            raise ModelNotFound(f"{ref} has no chat template.", "It is a model that continues text; use `complete`.")
        terminal.write(text if text.endswith("\n") else text + "\n")
        return
    facts = models_lines.facts(header, ctx_size)
    if as_json:
        _write_json(terminal, facts)
    else:
        terminal.write(models_lines.fact_lines(facts))


@app.command()
def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="Words to look for on the hub.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="Repositories to show.")] = 10,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Search the hub for repositories with GGUF files; sizes and quantizations of each."""
    _check_network(offline)
    from gptcli.cli import models_tables as models_lines
    from gptcli.render.table import write_table

    terminal = _terminal(context)
    records, headers, rows = models_lines.found(" ".join(words), limit)
    if as_json:
        _write_json(terminal, records)
    elif rows:
        write_table(terminal, headers, rows)
    else:
        raise ModelNotFound(f"The hub has no GGUF repository for {' '.join(words)!r}.", "Try fewer or other words.")


@app.command()
def path(context: typer.Context, ref: Reference) -> None:
    """Print the path of a stored model's file, for other programs."""
    _terminal(context).write(f"{_find(ref)}\n")


@app.command()
def verify(
    context: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", autocompletion=suggestions.models, help="Those models only."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Read every byte of stored models and say what is damaged."""
    from gptcli.models.store import inventory
    from gptcli.models.store.verify import verify as check

    bar, terminal = _bar(context, quiet), _terminal(context)
    models = _stored(refs) if refs else inventory.stored(others=False)
    damaged = 0
    for model in models:
        problem = check(model, report=bar)
        terminal.write(f"{model.name}: {problem or 'right'}\n")
        damaged += problem is not None
    if damaged:
        raise LoadError(
            f"{damaged} of {len(models)} models are damaged.", "Remove them with `gptcli models rm` and pull again."
        )


@app.command()
def rm(context: typer.Context, refs: References, yes: Yes = False) -> None:
    """Delete stored models; what other models share stays."""
    from gptcli.models.store.remove import remove
    from gptcli.render.progress import bytes_text

    terminal = _terminal(context)
    doomed = _stored(refs)
    if not yes and not _agreed(terminal, doomed):
        terminal.notice("Nothing was deleted.")
        return
    freed = remove(doomed)
    terminal.notice(f"Deleted {', '.join(model.name for model in doomed)}: {bytes_text(freed)} are free again.")


@app.command()
def alias(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The name to give.")] = None,
    ref: Annotated[
        str | None, typer.Argument(metavar="[REF]", autocompletion=suggestions.models, help="What it stands for.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget NAME; the model stays.")] = False,
) -> None:
    """Give a model a name of your own; without arguments, list those names."""
    from gptcli.models.refs import aliases as naming
    from gptcli.models.refs import names

    terminal = _terminal(context)
    if name is None:
        terminal.write("".join(f"{alias}\t{target}\n" for alias, target in sorted(names.load().aliases.items())))
    elif remove:
        naming.forget(name)
    elif ref is None:
        raise UsageError(f"{name} needs a model to stand for.", "gptcli models alias NAME REF")
    else:
        naming.give(name, ref)


@app.command()
def default(
    context: typer.Context,
    ref: Annotated[
        str | None,
        typer.Argument(metavar="[REF]", autocompletion=suggestions.models, help="The model to use from now on."),
    ] = None,
) -> None:
    """Say, or set, the model that is used where none is named."""
    from gptcli.models.refs import aliases as naming
    from gptcli.models.refs import catalog, names

    if ref is None:
        _terminal(context).write(f"{names.load().default or catalog.default_alias()}\n")
    else:
        naming.set_default(ref)


@app.command("import")
def import_model(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FILE|DIR|WHEEL", help="A GGUF file, a folder, a Python wheel.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="(default: the file's)")] = None,
    quiet: Quiet = False,
) -> None:
    """Keep local files as models with a name, without a copy where the file system allows."""
    from gptcli.models.store.imports import import_from

    names = import_from(source, name, report=_bar(context, quiet))
    _terminal(context).write("".join(f"{one}\n" for one in names))


@app.command()
def quantize(
    context: typer.Context,
    ref: Reference,
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="Q4_K_M, Q8_0 and so on.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="(default: the model's and TYPE)")] = None,
    requantize: Annotated[bool, typer.Option("--requantize", help="Even if it is quantized already.")] = False,
    quiet: Quiet = False,
) -> None:
    """Make a smaller version of a stored model with llama.cpp's quantizer, and keep it under a name."""
    from gptcli.cli.quantizing import quantized

    _terminal(context).write(f"{quantized(_find(ref), kind, name, requantize, _bar(context, quiet))}\n")


@app.command()
def outdated(context: typer.Context, offline: Offline = False, as_json: Json = False) -> None:
    """List stored models whose file has changed on the hub; `pull` fetches it."""
    _check_network(offline)
    from gptcli.models.hub.outdated import outdated as look

    terminal = _terminal(context)
    changed, unknown = look()
    if as_json:
        _write_json(terminal, changed)
    else:
        terminal.write("".join(f"{name}\n" for name in changed))
    for name, why in unknown:
        terminal.report(f"{name}: {why}")
    if unknown and not changed:
        raise OfflineError(f"The hub gave no answer about {len(unknown)} repositories.", "Try again later.")


def _check_network(offline: bool) -> None:
    """OfflineError for what cannot be done without it."""
    if offline:
        raise OfflineError("Only the hub can answer this, and the network is switched off.", "Leave --offline out.")


def _find(ref: str) -> Path:
    """A stored file, with no network asked."""
    from gptcli.models.refs.resolve import resolve
    from gptcli.models.report import Silent

    try:
        return resolve(ref, offline=True, report=Silent()).path
    except OfflineError as error:
        raise ModelNotFound(f"{ref} is not stored here.", f"`gptcli models pull {ref}` fetches it.") from error


def _stored(refs: list[str]) -> list[Stored]:
    """The stored models that `refs` mean, each once."""
    from gptcli.models.store import inventory

    models = inventory.stored()
    found: dict[str, Stored] = {}
    for ref in refs:
        model = next((one for one in models if one.name == ref), None) or inventory.of_path(_find(ref), models)
        if model is None:
            raise ModelNotFound(f"{ref} is not among the stored models.", "`gptcli models list` shows them.")
        found[model.name] = model
    return list(found.values())


def _agreed(terminal: Terminal, doomed: list[Stored]) -> bool:
    from gptcli.render.progress import bytes_text

    if not (terminal.stdin_tty and terminal.stderr_tty):
        raise UsageError("Deleting needs a yes, and there is no terminal to ask on.", "Add --yes if you mean it.")
    for model in doomed:
        terminal.report(f"{model.name}  {bytes_text(model.size)}  {model.path}")
    what = "this model" if len(doomed) == 1 else f"these {len(doomed)} models"
    terminal.stderr.write(escape_controls(f"Delete {what}? [y/N] "))
    terminal.stderr.flush()
    return terminal.stdin.readline().strip().lower() in (b"y", b"yes")


def _bar(context: typer.Context, quiet: bool) -> DownloadBar:
    from gptcli.render.progress import DownloadBar

    terminal = _terminal(context)
    terminal.quiet = terminal.quiet or quiet
    return DownloadBar(terminal)


def _terminal(context: typer.Context) -> Terminal:
    session: CommandContext = context.obj
    return session.terminal


def _write_json(terminal: Terminal, value: Any) -> None:
    from gptcli.cli.models_tables import json_text

    terminal.write(json_text(value))
