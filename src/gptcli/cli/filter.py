"""`gptcli filter`: grep for what a line means."""

import dataclasses
import select
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from typer import Option

from gptcli.cli import suggestions
from gptcli.cli.classify import PARALLEL
from gptcli.cli.main import CommandContext
from gptcli.cli.options import LoadFlags, takes
from gptcli.errors import Cancelled, ExitCode, GptcliError, RowsFailed, UsageError

if TYPE_CHECKING:
    from gptcli.batch.source import Record, Source
    from gptcli.classify.filter import JudgedLine, Take
    from gptcli.interrupt import Interrupt
    from gptcli.terminal import Terminal
    from gptcli.types import Engine

app = typer.Typer(add_completion=False)

_EPILOG = "Example: tail -f app.log | gptcli filter 'is about a full disk' --threshold 0.8"


@dataclasses.dataclass(slots=True)
class FilterOptions:
    """Which lines go through, and what is written of them; the short flags are grep's."""

    threshold: Annotated[float, Option(min=0, max=1, metavar="P", help="The least probability of yes.")] = 0.5
    invert: Annotated[bool, Option("--invert-match", "-v", help="Let the other lines through.")] = False
    count: Annotated[bool, Option("--count", "-c", help="Print only the number of lines.")] = False
    number: Annotated[bool, Option("--line-number", "-n", help="Print the number of each line before it.")] = False
    most: Annotated[int | None, Option("--max-count", "-m", min=0, metavar="N", help="Stop after N lines.")] = None
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print nothing; stop at the first line.")] = False
    scores: Annotated[bool, Option("--scores", help="Print the probability of yes and a tab before each line.")] = False
    instruction: Annotated[str | None, Option(metavar="TEXT", help="What the model should know, before all else.")] = (
        None
    )
    parallel: Annotated[int, Option(min=1, metavar="N", help="Lines at once.")] = PARALLEL
    verbose: Annotated[bool, Option("--verbose", help="Show llama.cpp's log.")] = False


@dataclasses.dataclass(slots=True)
class ModelFlags(LoadFlags):
    """The same flags without the letter of --model, which is grep's for --max-count here."""

    model: Annotated[
        str | None,
        Option(
            "--model",
            metavar="REF",
            help="Alias, USER/REPO[:QUANT], URL or path of a GGUF.",
            rich_help_panel="Model",
            autocompletion=suggestions.models,
        ),
    ] = None


@app.command("filter", epilog=_EPILOG)
@takes(options=FilterOptions, model=ModelFlags)
def filter_lines(
    ctx: typer.Context,
    options: FilterOptions,
    model: ModelFlags,
    criterion: Annotated[str, typer.Argument(metavar="CRITERION", help="What is true of the lines, e.g. 'is a joke'.")],
    inputs: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="Files; - for stdin.")] = None,
) -> int:
    """Let the lines through for which the model says that they are what CRITERION says.

    The exit code is 0 if a line went through, 1 if none did, and 2 or more if something went wrong."""
    context: CommandContext = ctx.obj
    terminal = context.terminal
    if not criterion.strip():
        raise UsageError("The criterion is empty.", "For example: gptcli filter 'is a complaint'.")
    if not inputs and terminal.stdin_tty:
        raise UsageError("There is no input.", "Name a file, or pipe lines to standard input.")
    model.check()
    terminal.quiet = options.quiet
    try:
        with ExitStack() as stack:
            return _Run(criterion.strip(), inputs or ["-"], options, model, context, stack).run()
    except GptcliError as error:
        if error.exit_code is ExitCode.ERROR:  # 1 means that no line went through
            error.exit_code = ExitCode.USAGE
        raise


class _Run:
    def __init__(
        self,
        criterion: str,
        inputs: list[str],
        options: FilterOptions,
        model: LoadFlags,
        context: CommandContext,
        stack: ExitStack,
    ) -> None:
        from gptcli.classify.judge import Judge
        from gptcli.classify.labels import Label

        self.options = options
        self.terminal: Terminal = context.terminal
        self._inputs = inputs
        self._loader = context.loader(model.engine_options(verbose=options.verbose))
        self._stack = stack
        self._interrupt: Interrupt | None = None
        self._judge = Judge(self._load, [Label(criterion)], options.threshold, options.instruction or "")
        self._output_poll = _poll_reader(context.terminal.stdout)
        self._passed = self._failed = 0

    def run(self) -> int:
        """Write the lines that pass. Raises BrokenPipeError, RowsFailed, Cancelled and the errors of reading."""
        options = self.options
        most = 1 if options.quiet else options.most
        if most != 0:
            for name in self._inputs:
                if self._filter(name, most):
                    break
        if options.count and not options.quiet:
            self.terminal.write(f"{self._passed}\n")
        if self._interrupt is not None and self._interrupt.requested:
            raise Cancelled("Stopped.")
        if self._failed and not (options.quiet and self._passed):
            raise RowsFailed(f"{self._failed:,} lines could not be judged.", "They were not let through.")
        return ExitCode.OK if self._passed else ExitCode.ERROR

    def _filter(self, name: str, most: int | None) -> bool:
        """Filter one file; returns whether enough lines have passed."""
        from gptcli.batch.source import open_source
        from gptcli.classify.filter import judge_lines

        source = open_source(name, self.terminal.stdin)
        try:
            with closing(judge_lines(self._judge, self._reader(source))) as judged:
                for line in judged:
                    if self._takes(line):
                        self._passed += 1
                        if not (self.options.count or self.options.quiet):
                            self._write(line)
                        if self._passed == most:
                            return True
        finally:
            if not source.live:
                source.stream.close()
        return self._stopped()

    def _reader(self, source: "Source") -> "Take":
        """Takes lines of an open input. Of a pipe they are read by a thread, and taken as they come."""
        from gptcli.batch.input import LiveRows, guarded
        from gptcli.batch.source import lines

        records = guarded(lines(source.stream), source.name)
        live = None
        if source.live:
            self._judge.prepare()  # so that the first line need not wait for the model
            live = LiveRows(records)

        def take(wait: bool) -> "Record | None":
            if self._stopped():
                raise StopIteration
            return next(records) if live is None else live.take(lambda: wait and not self._stopped())

        return take

    def _takes(self, line: "JudgedLine") -> bool:
        if line.probability is None:
            assert line.error is not None
            self._failed += 1
            self.terminal.report(f"gptcli: line {line.line}: {line.error.message}")
            return False
        return (line.probability >= self.options.threshold) is not self.options.invert

    def _write(self, line: "JudgedLine") -> None:
        before = f"{line.line}:" if self.options.number else ""
        if self.options.scores:
            before += f"{line.probability:.4f}\t"
        end = "" if line.data.endswith(b"\n") else "\n"
        self.terminal.write(before + line.data.decode("utf-8", "surrogateescape") + end)

    def _load(self) -> "Engine":
        loaded = self._stack.enter_context(self._loader.open(parallel=self.options.parallel))
        self._interrupt = loaded.interrupt
        self._stack.enter_context(loaded.interrupt.watch())
        return loaded.engine

    def _stopped(self) -> bool:
        """Whether to read no more lines: after Ctrl-C, and when nobody reads what is written."""
        if self._interrupt is not None and self._interrupt.requested:
            return True
        return self._output_poll is not None and bool(self._output_poll.poll(0))


def _poll_reader(stdout: "BinaryIO") -> "select.poll | None":
    """Tells by an event that the reader of a pipe is gone; None where the system or the stream cannot tell."""
    try:
        poll = select.poll()
        poll.register(stdout.fileno(), select.POLLERR)  # and nothing else, so that a free pipe is no event
    except (AttributeError, OSError):
        return None
    return poll
