"""`gptcli score`: how likely a text is to the model, whole or line by line."""

import dataclasses
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from gptcli.cli.main import CommandContext
from gptcli.cli.options import ModelFlags, takes
from gptcli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from gptcli.render.score import ScoreWriter
    from gptcli.runtime.loaded import LoadedEngine
    from gptcli.scoring.windows import Windows

app = typer.Typer(add_completion=False)

_EPILOG = "Example: gptcli score --lines --format tsv names.txt | sort -g | tail -3"


class ScoreFormat(str, Enum):
    """What is written to stdout."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    TSV = "tsv"


class WindowsName(str, Enum):
    """How a text is cut into windows of the context."""

    SLIDING = "sliding"
    LLAMA = "llama"


@dataclasses.dataclass(slots=True)
class ScoreFlags:
    """What to score, and how."""

    file: Annotated[
        list[str] | None, typer.Argument(help="Files to score; -, or none: standard input.", show_default=False)
    ] = None
    lines: Annotated[bool, typer.Option("--lines", help="Score each line by itself.")] = False
    given: Annotated[
        str | None, typer.Option("--given", metavar="TEXT", help="Score what follows TEXT, which is not scored.")
    ] = None
    windows: Annotated[
        WindowsName,
        typer.Option("--windows", help="sliding scores every token once; llama is llama-perplexity's protocol."),
    ] = WindowsName.SLIDING
    stride: Annotated[
        int | None,
        typer.Option("--stride", metavar="N", min=1, help="Tokens that a window slides. (default: half of it)"),
    ] = None
    tokens: Annotated[bool, typer.Option("--tokens", help="List each token with its surprise.")] = False
    format: Annotated[ScoreFormat, typer.Option("--format", help="Columns, JSON, JSON lines, or tab-separated.")] = (
        ScoreFormat.TEXT
    )
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show llama.cpp's log.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")] = False

    def check(self) -> None:
        """Raises UsageError for flags that contradict each other."""
        if self.verbose and self.quiet:
            raise UsageError("--verbose and --quiet contradict each other.", "Drop one.")
        if self.windows is WindowsName.LLAMA:
            given = {"--lines": self.lines, "--given": self.given is not None, "--stride": self.stride is not None}
            if wrong := [name for name, is_given in given.items() if is_given]:
                raise UsageError(f"--windows llama and {wrong[0]} contradict each other.", "Drop one.")
        if (self.file or []).count("-") > 1:
            raise UsageError("Standard input can be read only once.", "Give - once.")


@app.command(epilog=_EPILOG)
@takes(source=ScoreFlags, model=ModelFlags)
def score(ctx: typer.Context, source: ScoreFlags, model: ModelFlags) -> int:
    """Measure how likely texts are: tokens, log-likelihood in nats, bits per byte and perplexity.

    A text longer than --ctx-size (2,048 tokens) is scored in windows of it."""
    model.check()
    source.check()
    context: CommandContext = ctx.obj
    terminal = context.terminal
    terminal.quiet = source.quiet

    from gptcli.render.score import score_writer
    from gptcli.scoring.inputs import check_files
    from gptcli.scoring.texts import PARALLEL

    files = source.file or ["-"]
    if files == ["-"] and source.file is None and terminal.stdin_tty:
        raise UsageError("there is nothing to score.", "Name a file, or give a text on standard input.")
    check_files(files)
    options = dataclasses.replace(model.engine_options(verbose=source.verbose), ctx_size=None)
    loader = context.loader(options)
    writer = score_writer(terminal, source.format.value, tokens=source.tokens, lines=source.lines)
    with loader.open(parallel=PARALLEL) as loaded, loaded.interrupt.watch():
        windows = _windows(source, model.ctx_size, loaded.engine.limit)
        failed = _run(loaded, files, windows, source, writer, terminal.stdin)
        if loaded.interrupt.requested:
            return ExitCode.INTERRUPTED
    return ExitCode.ROWS_FAILED if failed else ExitCode.OK


def _windows(source: ScoreFlags, ctx_size: int | None, limit: int) -> "Windows":
    """The windows that the flags mean; `limit`: the most tokens that the model takes. Raises UsageError."""
    from gptcli.scoring.texts import LLAMA_TOKENS, SLIDING_TOKENS
    from gptcli.scoring.windows import LlamaWindows, SlidingWindows

    default = LLAMA_TOKENS if source.windows is WindowsName.LLAMA else SLIDING_TOKENS
    size = min(default, limit) if ctx_size is None else ctx_size
    if size > limit:
        raise UsageError(f"--ctx-size {size:,} is more than the model's {limit:,} tokens.", f"Use {limit} or less.")
    if size < 2:
        raise UsageError("a window needs at least 2 tokens.", "Use a larger --ctx-size.")
    if source.windows is WindowsName.LLAMA:
        return LlamaWindows(size)
    stride = source.stride or max(1, size // 2)
    if stride >= size:
        raise UsageError(f"--stride {stride:,} must be less than the window of {size:,} tokens.", "Use a smaller one.")
    return SlidingWindows(size, stride)


def _run(
    loaded: "LoadedEngine",
    files: list[str],
    windows: "Windows",
    source: ScoreFlags,
    writer: "ScoreWriter",
    stdin: BinaryIO,
) -> int:
    """Score the files and write the results in order; returns how many failed. Raises the error of an only one."""
    from gptcli.errors import Cancelled
    from gptcli.scoring.inputs import Input, read_files, read_lines
    from gptcli.scoring.texts import NotScored, ScoredTokens, Text, make_text, score_texts

    waiting: dict[str, Input] = {}
    given = (source.given or "").encode("utf-8", "surrogateescape")
    is_llama = source.windows is WindowsName.LLAMA
    failed = 0

    def texts() -> Iterator[Text | None]:
        interrupt = loaded.interrupt
        idle, stopped = lambda: not waiting, lambda: interrupt.requested
        lines = read_lines(files, stdin, idle=idle, stopped=stopped) if source.lines else None
        for one in lines or read_files(files, stdin):
            if one is None:
                yield None
                continue
            waiting[one.id] = one
            data = one.data.removesuffix(b"\n") if is_llama else one.data  # as llama-perplexity -f does
            yield make_text(loaded.engine, one.id, data, given, add_begin=not is_llama)

    for result in score_texts(loaded.engine, texts(), windows):
        one = waiting[result.id]
        if isinstance(result, ScoredTokens):
            writer.tokens(one, result)
            continue
        del waiting[result.id]
        if not isinstance(result, NotScored):
            writer.score(one, result)
        elif not isinstance(result.error, Cancelled):
            failed += 1
            if one.is_only:
                raise result.error
            writer.error(one, result.error)
    writer.close()
    return failed
