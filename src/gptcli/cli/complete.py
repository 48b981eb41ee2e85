"""`gptcli complete`: continue a text as it is, without a chat template."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from gptcli.cli.constraint_options import ConstraintFlags, OnInterrupt
from gptcli.cli.main import CommandContext
from gptcli.cli.options import (
    ModelFlags,
    OutputFlags,
    OutputFormat,
    SamplingCommand,
    SamplingFlags,
    SpeculationFlags,
    TextFlags,
    param_option,
    takes,
)
from gptcli.cli.role_options import RoleFlags, read_input
from gptcli.errors import ExitCode, UsageError
from gptcli.types import Failed, Finished, FinishReason, Request, TextPrompt

if TYPE_CHECKING:
    from gptcli.runtime.loaded import LoadedEngine
    from gptcli.runtime.loader import EngineLoader
    from gptcli.terminal import Terminal

app = typer.Typer(add_completion=False)

_EPILOG = "Example: git log -5 | gptcli complete -n 40 --stop '.' -f - 'In short, these commits'"


@dataclasses.dataclass(slots=True)
class PromptFlags:
    """What to continue, and what to do with the prompt."""

    prompt: Annotated[list[str] | None, typer.Argument(help="The text to continue.", show_default=False)] = None
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", metavar="FILE", help="Read it from FILE (-: stdin); repeatable.")
    ] = None
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="Do not read standard input.")] = False
    suffix: Annotated[
        str | None, typer.Option("--suffix", metavar="TEXT", help="Fill in the text between the prompt and TEXT.")
    ] = None
    echo: Annotated[
        bool, typer.Option("--echo", help="Print the prompt before the text; with --logprobs, its tokens' too.")
    ] = False
    samples: Annotated[int, param_option("n", help="Number of independent samples.")] = 1
    cache_prompt: Annotated[
        bool, typer.Option("--cache-prompt", help="Save the computed prompt on disk for prompts that start the same.")
    ] = False
    show_prompt: Annotated[bool, typer.Option("--show-prompt", help="Print the prompt's tokens to stderr.")] = False

    def check(self, output: OutputFlags) -> None:
        """Raises UsageError for flags that contradict each other."""
        if self.suffix is not None and self.echo:
            raise UsageError("--suffix and --echo contradict each other: the text goes between two parts.", "Drop one.")
        if self.no_stdin and "-" in (self.file or []):
            raise UsageError("--no-stdin and -f - contradict each other.", "Drop one.")


@app.command(cls=SamplingCommand, epilog=_EPILOG)
@takes(
    source=PromptFlags,
    text=TextFlags,
    role=RoleFlags,
    model=ModelFlags,
    speculation=SpeculationFlags,
    structure=ConstraintFlags,
    sampling=SamplingFlags,
    output=OutputFlags,
)
def complete(
    ctx: typer.Context,
    source: PromptFlags,
    text: TextFlags,
    role: RoleFlags,
    model: ModelFlags,
    speculation: SpeculationFlags,
    structure: ConstraintFlags,
    sampling: SamplingFlags,
    output: OutputFlags,
) -> int:
    """Continue a text: the files of -f, then standard input, then the arguments, joined as they are.

    An empty line separates several samples; --format json keeps them apart for programs."""
    for group in (model, structure, sampling, output):
        group.check()
    source.check(output)
    structure.check_stop(text.stop)
    structure.check_items(output.stream_items, source.samples)
    context: CommandContext = ctx.obj
    terminal = context.terminal
    terminal.quiet = output.quiet

    from gptcli.cli.prompt import check_prompt, read_prompt

    parts, files, use_stdin = source.prompt or [], source.file or [], not source.no_stdin
    if (role_prompt := role.prompt(ctx)) is None:
        check_prompt(parts, files, terminal, use_stdin=use_stdin)
    elif source.suffix is not None:
        raise UsageError("--suffix and --role contradict each other.", "Drop one.")
    constraint = structure.constraint(terminal.report)
    options = speculation.applied(model.engine_options(verbose=output.verbose))
    options = dataclasses.replace(options, constrained=constraint is not None)
    if source.cache_prompt:  # a server keeps what it has computed to itself
        options = dataclasses.replace(options, use_server=False)
    loader = context.loader(options)
    stop = tuple(text.stop or ())
    if role_prompt is None:
        data = b"".join(read_prompt(parts, files, terminal, use_stdin=use_stdin))
    else:
        given = read_input(role_prompt, parts, files, terminal, use_stdin=use_stdin)
        data, stop = role_prompt.text(given).encode("utf-8", "surrogateescape"), stop or role_prompt.stop
    request = Request(
        id="0",
        prompt=TextPrompt(data, None if source.suffix is None else source.suffix.encode("utf-8", "surrogateescape")),
        sampling=sampling.sampling(),
        max_tokens=text.limit,
        stop=stop,
        ignore_eos=text.ignore_eos,
        n=source.samples,
        echo=source.echo,
        prompt_logprobs=output.logprobs if source.echo else None,
        logprobs=output.logprobs,
        stream=output.format is not OutputFormat.JSON,
        constraint=constraint,
        close=structure.on_interrupt is OnInterrupt.CLOSE,
    )
    extract = None if role_prompt is None or output.format is not OutputFormat.TEXT else role_prompt.role.code_block
    return _run(loader, request, source, output, terminal, extract)


def _run(
    loader: "EngineLoader",
    request: Request,
    source: PromptFlags,
    output: OutputFlags,
    terminal: "Terminal",
    extract: int | None,
) -> ExitCode:
    """Write the answer to stdout. Raises the request's own error, LoadError, BrokenPipeError."""
    from gptcli.render.renderers import choose, report_cut_texts, show_stats

    assert isinstance(request.prompt, TextPrompt)
    logprobs = output.logprobs is not None
    items = output.stream_items
    renderer = choose(terminal, output.format, loader.model.name, logprobs=logprobs, items=items, extract=extract)
    ended: list[Finished] = []
    with loader.open() as loaded, loaded.interrupt.watch():
        if source.show_prompt:
            _write_tokens(loaded, request, terminal)
        for event in loaded.engine.stream([request]):
            if isinstance(event, Failed):
                raise event.error
            renderer.show(event)
            if isinstance(event, Finished):
                ended.append(event)
        renderer.close()
        report_cut_texts(terminal, ended)
        if source.cache_prompt:
            loaded.save_prefix(terminal.notice)
        if output.stats:
            show_stats(terminal, ended, loaded)
    cancelled = any(event.reason is FinishReason.CANCELLED for event in ended)
    return ExitCode.INTERRUPTED if cancelled else ExitCode.OK


def _write_tokens(loaded: "LoadedEngine", request: Request, terminal: "Terminal") -> None:
    """The prompt's tokens to stderr, one a line: id and text, or bytes where they are not whole characters."""
    for token in loaded.engine.encode(request.prompt).tokens:
        text = loaded.engine.token_text(token)
        data = text.encode("utf-8", "surrogateescape")
        terminal.report(f"{token:>7} {(text if data.decode('utf-8', 'ignore') == text else data)!r}")
