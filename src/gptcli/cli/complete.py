"""`gptcli complete`: continue a text, raw, without a chat template.

It turns flags into one request and events into output; all between is the engine's.
"""

from typing import Annotated

import typer

from gptcli.cli.main import CommandContext
from gptcli.cli.option_groups import takes
from gptcli.cli.options import ModelFlags, OutputFlags, SamplingFlags, TextFlags
from gptcli.cli.values import OutputFormat
from gptcli.errors import UsageError
from gptcli.types import Request, TextPrompt

app = typer.Typer(add_completion=False)

_EPILOG = "Example: git log -5 | gptcli complete -n 40 --stop '.' -f - 'In short, these commits'"


@app.command(epilog=_EPILOG)
@takes(text=TextFlags, model=ModelFlags, sampling=SamplingFlags, output=OutputFlags)
def complete(
    ctx: typer.Context,
    text: TextFlags,
    model: ModelFlags,
    sampling: SamplingFlags,
    output: OutputFlags,
    prompt: Annotated[list[str] | None, typer.Argument(help="The text to continue.", show_default=False)] = None,
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", metavar="FILE", help="Read it from FILE (-: stdin); repeatable.")
    ] = None,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="Do not look at standard input.")] = False,
    suffix: Annotated[str | None, typer.Option("--suffix", metavar="TEXT", help="Fill in up to TEXT.")] = None,
    echo: Annotated[bool, typer.Option("--echo", help="Print the prompt before the text.")] = False,
    samples: Annotated[int, typer.Option("--samples", min=1, max=256, metavar="N", help="Independent texts.")] = 1,
    cache_prompt: Annotated[
        bool, typer.Option("--cache-prompt", help="Keep the computed prompt on disk, for texts that begin so.")
    ] = False,
    show_prompt: Annotated[
        bool, typer.Option("--show-prompt", help="Show the prompt's exact tokens on stderr.")
    ] = False,
) -> int:
    """Continue a text: the prompt's files, then standard input, then arguments, joined as they are.

    Several samples are separated by an empty line; --format json keeps them apart for programs.
    """
    model.check()
    sampling.check()
    output.check()
    _check(suffix, echo, no_stdin, file, output)
    session: CommandContext = ctx.obj
    session.terminal.quiet = output.quiet

    from gptcli.cli.prompt import check_prompt, read_prompt

    parts, files = prompt or [], file or []
    check_prompt(parts, files, session.terminal, use_stdin=not no_stdin)

    from gptcli.runtime.loader import EngineLoader

    opening = EngineLoader(model, output, session)
    data = b"".join(read_prompt(parts, files, session.terminal, use_stdin=not no_stdin))
    request = Request(
        id="0",
        prompt=TextPrompt(data, None if suffix is None else suffix.encode("utf-8", "surrogateescape")),
        sampling=sampling.sampling(),
        max_tokens=None if text.max_tokens < 0 else text.max_tokens,
        stop=tuple(text.stop or ()),
        ignore_eos=text.ignore_eos,
        n=samples,
        logprobs=output.logprobs,
        stream=output.format is not OutputFormat.JSON,
    )
    from gptcli.cli.run_request import answer

    before = data.decode("utf-8", "surrogateescape") if echo else ""
    return answer(
        opening,
        request,
        output,
        session.terminal,
        before=before,
        show_prompt=show_prompt,
        cache_prompt=cache_prompt,
    )


def _check(suffix: str | None, echo: bool, no_stdin: bool, file: list[str] | None, output: OutputFlags) -> None:
    """Raises UsageError for flags that contradict each other."""
    if suffix is not None and echo:
        raise UsageError("--suffix and --echo contradict each other: the text stands between two.", "Drop one.")
    if echo and output.logprobs is not None:
        raise UsageError("--echo with --logprobs would want the prompt's probabilities too.", "Drop one.")
    if no_stdin and "-" in (file or []):
        raise UsageError("--no-stdin and -f - contradict each other.", "Drop one.")
