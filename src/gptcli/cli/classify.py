"""`gptcli classify`: give every line, row or file a label, by the exact likelihood of each label."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from enum import Enum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from gptcli.cli.main import CommandContext
from gptcli.cli.options import LoadFlags, takes
from gptcli.cli.output_options import OutputFlags
from gptcli.cli.role_options import RoleFlags, role_settings
from gptcli.cli.suggestions import one_of
from gptcli.errors import Cancelled, ExitCode, RowsFailed, UsageError

if TYPE_CHECKING:
    from gptcli.batch.formats import ResultFormat
    from gptcli.batch.row import Row, RowError
    from gptcli.classify.classifier import Labeller
    from gptcli.classify.labels import Label
    from gptcli.roles.prompt import RolePrompt
    from gptcli.types import Engine

app = typer.Typer(add_completion=False)

PARALLEL = 32
"""Rows at once: a thread is worth a KV cache of its own from sixteen rows on (docs/architecture.md)."""
_EPILOG = "Example: gptcli classify --labels positive,negative reviews.csv -o labelled.csv"
_input, _labels, _output, _run = (
    partial(Option, rich_help_panel=panel) for panel in ("Input", "Labels", "Output", "Run")
)


class LabelFormat(str, Enum):
    """Formats of the output."""

    TSV = "tsv"
    JSONL = "jsonl"
    TABLE = "table"


class Normalize(str, Enum):
    """Names of `classify.probabilities.Normalization`, which is imported late."""

    SUM = "sum"
    MEAN = "mean"
    PRIOR = "prior"


@dataclasses.dataclass(slots=True)
class LabelOptions:
    """Which labels, how they are asked for, what is read and what is written."""

    labels: Annotated[
        str | None, _labels(metavar="A,B,…|FILE", help="The labels, or a file of them. (default: those of the role)")
    ] = None
    examples: Annotated[str | None, _labels(metavar="FILE", help="Labelled examples that are shown first.")] = None
    normalize: Annotated[Normalize, _labels(help="How the likelihoods of labels are compared.")] = Normalize.SUM
    multi: Annotated[bool, _labels("--multi", help="Each label by itself, yes or no.")] = False
    threshold: Annotated[
        float, _labels(min=0, max=1, metavar="P", help="With --multi: the least probability of a label.")
    ] = 0.5
    instruction: Annotated[str | None, _labels(metavar="TEXT", help="What is to be done, before all else.")] = None
    word: Annotated[str, _labels(metavar="WORD", help="What stands before the label, e.g. Topic.")] = "Label"
    chat: Annotated[bool, _labels("--chat", help="Ask in a chat message.")] = False
    template: Annotated[str | None, _input(metavar="TEXT|FILE", help="The text, with a row's {{ field }}s.")] = None
    input_format: Annotated[
        str | None,
        _input(
            "--from",
            metavar="FORMAT",
            help="jsonl, csv, tsv, text, files or parquet. (default: by the name, else text)",
            autocompletion=one_of("jsonl", "csv", "tsv", "text", "files", "parquet"),
        ),
    ] = None
    encoding: Annotated[str, _input(metavar="NAME", help="Encoding of the input.")] = "utf-8"
    split: Annotated[str | None, _input(metavar="AT", help="Split text at blank lines, NUL or this text.")] = None
    limit: Annotated[int | None, _input(min=0, metavar="N", help="Only the first N rows.")] = None
    format: Annotated[LabelFormat | None, _output(help="(default: table for a table, jsonl for JSON, else tsv)")] = None
    column: Annotated[str, _output(metavar="NAME", help="Name of the new field or column.")] = "label"
    parallel: Annotated[int, _run(min=1, metavar="N", help="Rows at once.")] = PARALLEL
    max_failures: Annotated[int | None, _run(min=0, metavar="N", help="Stop when more than N rows failed.")] = None
    verbose: Annotated[bool, _run("--verbose", "-v", help="Show llama.cpp's log.")] = False
    quiet: Annotated[bool, _run("--quiet", "-q", help="Only errors on stderr.")] = False

    def check(self) -> None:
        """Raises UsageError for options that contradict each other."""
        if self.multi:
            for flag, given in (
                ("--normalize", self.normalize is not Normalize.SUM),
                ("--examples", self.examples is not None),
                ("--chat", self.chat),
                ("--word", self.word != "Label"),
            ):
                if given:
                    raise UsageError(f"--multi asks yes or no, so {flag} would do nothing.", "Omit one of them.")
        elif self.threshold != 0.5:
            raise UsageError("--threshold is for --multi: without it one label is always chosen.", "Omit it.")


@app.command(epilog=_EPILOG)
@takes(options=LabelOptions, destination=OutputFlags, role=RoleFlags, model=LoadFlags)
def classify(
    ctx: typer.Context,
    options: LabelOptions,
    destination: OutputFlags,
    role: RoleFlags,
    model: LoadFlags,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]...", help="A file, - for stdin, a folder or patterns.")
    ] = None,
) -> int:
    """Give every line, row of CSV or JSONL, or file of a folder one of your labels, with its probability.

    Probabilities are exact: the model's likelihood of each label after the text. Nothing is sampled. An interrupted
    job with -o is resumed by the same command. Rows that fail become error lines; the exit code is 7."""
    for group in (options, destination, model):
        group.check()
    if options.multi and role.role is not None:
        raise UsageError("--multi asks yes or no, so the examples of a role would do nothing.", "Omit one of them.")
    context: CommandContext = ctx.obj
    context.terminal.quiet = options.quiet
    if not inputs and context.terminal.stdin_tty:
        raise UsageError("There is no input.", "Name a file, or pipe lines to standard input.")
    return LabelJob(inputs or ["-"], options, destination, role.prompt(ctx), model, context).run()


class LabelJob:
    """The parts of a run, made of the command line."""

    def __init__(
        self,
        inputs: list[str],
        options: LabelOptions,
        destination: OutputFlags,
        role: "RolePrompt | None",
        model: LoadFlags,
        context: CommandContext,
    ) -> None:
        """Raises UsageError, ModelNotFound, LoadError."""
        from gptcli.batch.input import Input, choose_format
        from gptcli.batch.request import parse_template

        self.options = options
        self.destination = destination
        self.role = role
        self.terminal = context.terminal
        self.labels = _labels_of(options, role)
        given = options.input_format or ("text" if _is_plain(inputs) else None)
        input_format = choose_format(inputs, given)
        if options.split is not None and input_format != "text":
            raise UsageError(f"--split is for text, not for {input_format}.", "Add --from text or omit --split.")
        self.input = Input(tuple(inputs), input_format, self.terminal.stdin, options.encoding, options.split)
        self.format = _choose_format(options.format, input_format)
        self.template = None if options.template is None else parse_template(options.template)
        self.engine_options = model.engine_options(verbose=options.verbose)
        self.loader = context.loader(self.engine_options)

    def run(self) -> int:
        """Raises Cancelled, RowsFailed, and the errors of reading and writing."""
        from gptcli.batch.runner import Runner
        from gptcli.classify.builder import LabelBuilder
        from gptcli.render.batch import batch_progress

        options = self.options
        with ExitStack() as stack:
            stack.callback(self.input.close)
            engine: list[Engine] = []

            def load_engine() -> "Engine":
                if not engine:
                    loaded = stack.enter_context(self.loader.open(parallel=options.parallel))
                    stack.enter_context(loaded.interrupt.watch())
                    runner.interrupt = loaded.interrupt
                    engine.append(loaded.engine)
                return engine[0]

            labeller = _labeller(load_engine, self.labels, options, self.role)
            rows = self._open_rows()
            output = self.destination.open(self.input.paths, self.terminal.stdout, self._settings())
            stack.callback(output.close)
            runner = Runner(
                load_engine,
                rows,
                LabelBuilder(labeller, self.template, self.role),
                self._result_format(labeller),
                output,
                batch_progress(self.terminal),
                live=self.input.live,
                whole=options.limit is None,
                share_read=self.input.share_read,
                max_failures=options.max_failures,
            )
            try:
                status = runner.run()
            except Cancelled as stop:
                self.terminal.report(f"{stop.message} {stop.hint}")
                raise
        if status.failed_ever:
            where = self.destination.errors or self.destination.output or "the output"
            rows_in_all = status.done + status.resumed
            raise RowsFailed(f"{status.failed_ever:,} of {rows_in_all:,} rows failed.", f"{where} names them.")
        return ExitCode.OK

    def _open_rows(self) -> "Iterator[Row | RowError]":
        rows = self.input.open()
        table = self.input.table
        if table is not None and self.format is LabelFormat.TABLE and self.options.column in table.header:
            message = f"The table has a column {self.options.column!r} already."
            raise UsageError(message, "Choose another name with --column.")
        names = {"text", "prompt"} if self.role is None else {"input", "text", "prompt"}
        if table is not None and self.template is None and not names & set(table.header):
            name = (table.header or ["name"])[0]
            raise UsageError(
                f"None of the columns {', '.join(table.header)} is called text or prompt.",
                "Make the text with --template, such as '{{ " + name + " }}'.",
            )
        return rows if self.options.limit is None else islice(rows, self.options.limit)

    def _result_format(self, labeller: "Labeller") -> "ResultFormat":
        from gptcli.classify.formats import LabelLines, LabelTable, LabelText

        apart, column = self.destination.errors is not None, self.options.column
        if self.format is LabelFormat.TSV:
            return LabelText(labeller, self.terminal)
        if self.format is LabelFormat.JSONL:
            return LabelLines(labeller, column, separate_errors=apart)
        table = self.input.table
        assert table is not None, "only an input with a table has a table as output"
        return LabelTable(labeller, table.header, table.delimiter, table.newline, column, separate_errors=apart)

    def _settings(self) -> dict[str, object]:
        """What must be the same for a job to be resumed."""
        options, model = self.options, self.loader.model
        names = ("multi", "threshold", "instruction", "word", "chat", "template", "encoding", "split", "column")
        return {
            "command": "classify",
            "model": model.name,
            "model size": model.path.stat().st_size,
            "adapters": [f"{file}={scale:g}" for file, scale in self.engine_options.adapters],
            "labels": [f"{label.name}: {label.description}" for label in self.labels],
            "examples": None if options.examples is None else Path(options.examples).read_text(errors="replace"),
            "normalize": options.normalize.value,
            "format": self.format.value,
            **self.destination.settings(),
            **{name: getattr(options, name) for name in names},
            **role_settings(self.role),
        }


def _labels_of(options: LabelOptions, role: "RolePrompt | None") -> "list[Label]":
    """The labels of the command line, else those that the role's answers are chosen from. Raises UsageError."""
    from gptcli.classify.labels import Label, parse_labels

    if options.labels is not None:
        return parse_labels(options.labels)
    if role is None:
        raise UsageError("There are no labels.", "For example: --labels positive,negative, or --role sentiment.")
    choices = dict(role.role.options).get("choices")
    if choices is None:
        message = f"The role {role.role.name} has no choices that could be the labels."
        raise UsageError(message, "Give them with --labels.")
    return [Label(name) for name in json.loads(str(choices))]


def _labeller(
    load_engine: "Callable[[], Engine]", labels: "list[Label]", options: LabelOptions, role: "RolePrompt | None"
) -> "Labeller":
    from gptcli.classify.classifier import Classifier
    from gptcli.classify.examples import read_examples, role_examples
    from gptcli.classify.judge import Judge
    from gptcli.classify.probabilities import Normalization
    from gptcli.classify.prompts import LabelPrompt

    if options.multi:
        return Judge(load_engine, labels, options.threshold, options.instruction or "")
    examples = role_examples(role, labels) if role is not None else []
    if options.examples is not None:
        examples = read_examples(options.examples, labels)
    instruction = options.instruction or (role.system() if role is not None else "")
    prompt = LabelPrompt(labels, instruction, examples, options.word, options.chat)
    return Classifier(load_engine, labels, prompt, Normalization(options.normalize.value))


def _is_plain(inputs: list[str]) -> bool:
    """Whether the input is one file whose name shows no format, or standard input: then it is lines of text."""
    from gptcli.batch.input import has_known_suffix

    return len(inputs) == 1 and (inputs[0] == "-" or (Path(inputs[0]).is_file() and not has_known_suffix(inputs[0])))


def _choose_format(given: LabelFormat | None, input_format: str) -> LabelFormat:
    table = input_format in ("csv", "tsv")
    if given is LabelFormat.TABLE and not table:
        raise UsageError(f"--format table needs a table as input, not {input_format}.", "Use tsv or jsonl.")
    if given is not None:
        return given
    if table:
        return LabelFormat.TABLE
    return LabelFormat.JSONL if input_format in ("jsonl", "parquet") else LabelFormat.TSV
