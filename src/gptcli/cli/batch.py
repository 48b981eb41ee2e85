"""`gptcli batch`: answer every row of a file, many at once. An interrupted job can be resumed."""

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gptcli.cli.batch_options import BatchOptions, OutFormat
from gptcli.cli.constraint_options import ConstraintFlags
from gptcli.cli.main import CommandContext
from gptcli.cli.options import ModelFlags, SamplingCommand, SamplingFlags, TextFlags, takes
from gptcli.cli.output_options import OutputFlags
from gptcli.cli.role_options import RoleFlags, role_settings
from gptcli.errors import Cancelled, ExitCode, RowsFailed, UsageError

if TYPE_CHECKING:
    from gptcli.batch.formats import ResultFormat
    from gptcli.batch.request import RequestBuilder
    from gptcli.batch.row import Row, RowError
    from gptcli.batch.structured import Table
    from gptcli.roles.prompt import RolePrompt
    from gptcli.runtime.loaded import LoadedEngine
    from gptcli.types import Constraint, Engine

app = typer.Typer(add_completion=False)

_FEW_ROWS = 32
"""No more rows than this are computed all at once: to measure what is best would take as long as it saves."""

_EPILOG = "Example: gptcli batch questions.csv --chat --template 'Answer briefly: {{ question }}' -o answers.csv"


@app.command(cls=SamplingCommand, epilog=_EPILOG)
@takes(
    options=BatchOptions,
    destination=OutputFlags,
    text=TextFlags,
    role=RoleFlags,
    model=ModelFlags,
    structure=ConstraintFlags,
    sampling=SamplingFlags,
)
def batch(
    ctx: typer.Context,
    options: BatchOptions,
    destination: OutputFlags,
    text: TextFlags,
    role: RoleFlags,
    model: ModelFlags,
    structure: ConstraintFlags,
    sampling: SamplingFlags,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="A file, - for stdin, a folder or patterns.")],
) -> int:
    """Answer every row of a file: JSONL (also OpenAI Batch), CSV, TSV, text, Parquet, or a folder of prompts.

    If the job is interrupted, the same command resumes it. Rows that fail become error lines; the exit code is 7."""
    for group in (options, destination, model, structure, sampling):
        group.check()
    structure.check_stop(text.stop)
    context: CommandContext = ctx.obj
    context.terminal.quiet = options.quiet
    job = Job(inputs, options, destination, text, role.prompt(ctx), model, structure, sampling, context)
    return job.show_plan() if options.plan else job.run()


class Job:
    """The parts of a run, made of the command line."""

    def __init__(
        self,
        inputs: list[str],
        options: BatchOptions,
        destination: OutputFlags,
        text: TextFlags,
        role: "RolePrompt | None",
        model: ModelFlags,
        structure: ConstraintFlags,
        sampling: SamplingFlags,
        context: CommandContext,
    ) -> None:
        """Raises UsageError, ModelNotFound, LoadError."""
        from gptcli.batch.input import Input, choose_format

        self.options = options
        self.destination = destination
        self.engine_options = model.engine_options(chat_template=options.chat_template, verbose=options.verbose)
        if structure.given:
            self.engine_options = dataclasses.replace(self.engine_options, constrained=True)
        self.terminal = context.terminal
        input_format = choose_format(inputs, options.input_format)
        if options.split is not None and input_format != "text":
            raise UsageError(f"--split is for text, not for {input_format}.", "Add --from text or omit --split.")
        self.input = Input(tuple(inputs), input_format, self.terminal.stdin, options.encoding, options.split)
        self.out_format = _choose_out_format(options, destination.output, input_format)
        self.builder = _request_builder(options, text, role, structure.constraint(self.terminal.report), sampling)
        self.loader = context.loader(self.engine_options)
        self.rows_read: int | None = None
        """The number of rows, if they are so few that all of them have been read."""

    def run(self) -> int:
        """Raises Cancelled, RowsFailed, and the errors of reading and writing."""
        from gptcli.batch.runner import Runner
        from gptcli.render.batch import batch_progress

        with ExitStack() as stack:
            stack.callback(self.input.close)
            rows = self._open_rows()
            output = self.destination.open(
                self.input.paths,
                self.terminal.stdout,
                self._settings(),
                folder=self.out_format is OutFormat.FILES,
                created=0 if self.options.deterministic else int(time.time()),
            )
            stack.callback(output.close)

            def load_engine() -> "Engine":
                loaded = stack.enter_context(self._load_engine())
                stack.enter_context(loaded.interrupt.watch())
                runner.interrupt = loaded.interrupt
                return loaded.engine

            runner = Runner(
                load_engine,
                rows,
                self.builder,
                self._result_format(output.created),
                output,
                batch_progress(self.terminal),
                live=self._live,
                whole=self.options.limit is None,
                total=self._count_rows(),
                share_read=self.input.share_read,
                max_failures=self.options.max_failures,
            )
            try:
                status = runner.run()
            except Cancelled as stop:
                self.terminal.report(f"{stop.message} {stop.hint}")
                raise
            finally:
                if self.options.stats_file is not None:
                    self.options.stats_file.write_text(json.dumps(runner.status.facts()) + "\n")
        if status.failed_ever:
            where = self.destination.errors or self.destination.output or "The output"
            counts = ", ".join(f"{count:,} {code}" for code, count in status.reasons.most_common())
            reasons = f" ({counts})" if counts and status.failed == status.failed_ever else ""
            message = f"{status.failed_ever:,} of {status.finished:,} rows failed{reasons}."
            raise RowsFailed(message, f"{where} has the errors.")
        return ExitCode.OK

    def show_plan(self) -> int:
        """Write the plan to stdout. Raises the errors of reading."""
        from gptcli.batch.plan import make_plan
        from gptcli.models.gguf.header import read_header
        from gptcli.render.batch import plan_lines
        from gptcli.runtime.memory import need

        with ExitStack() as stack:
            stack.callback(self.input.close)
            rows = self._open_rows()
            loaded = stack.enter_context(self._load_engine())
            parallel = loaded.engine.parallel
            plan = make_plan(rows, self.builder, self._result_format(0), loaded.engine, trial=parallel)
            cells = loaded.cache_tokens()
            memory = need(read_header(self.loader.model.path), cells).total
            self.terminal.write("".join(line + "\n" for line in plan_lines(plan, parallel, cells, memory)))
        return ExitCode.OK

    @property
    def _live(self) -> bool:
        """Whether rows are answered while others have not arrived."""
        return self.input.live and self.options.sample is None

    def _open_rows(self) -> "Iterator[Row | RowError]":
        """The rows that are wanted; the first ones are read now, unless that could mean waiting for a pipe."""
        from gptcli.batch.input import read_ahead, sample_rows, unique_ids

        rows = self.input.open()
        if self.input.table is not None:
            self._check_table(self.input.table)
        if count := self.input.left_out:
            self._remark(f"Left out {count:,} files that are hidden or that gptcli wrote.")
        if not self.options.allow_duplicates:
            rows = unique_ids(rows)
        if self.options.sample is not None:
            rows = sample_rows(rows, self.options.sample, self.builder.base.sampling.seed or 0)
        elif self.options.limit is not None:
            rows = islice(rows, self.options.limit)
        if not self._live:
            rows, self.rows_read = read_ahead(rows, None if self.input.small else _FEW_ROWS + 1)
        return rows

    def _remark(self, text: str) -> None:
        """Print what was decided about the input, into a log too."""
        if not self.terminal.quiet:
            self.terminal.report(text)

    def _check_table(self, table: "Table") -> None:
        """Raises UsageError if no column is the prompt, or if the new column is not new."""
        if table.delimiter != ("\t" if self.input.format == "tsv" else ","):
            self._remark(f"The columns are separated by {table.delimiter!r}.")
        role = self.builder.role
        names = {"prompt", "text"} if role is None else {"input", "prompt", "text"}
        if (role is None or role.uses_input) and self.builder.template is None and not names & set(table.header):
            name = next(filter(None, table.header), "name")
            field = name if name.isidentifier() else f"row[{json.dumps(name, ensure_ascii=False)}]"
            raise UsageError(
                f"None of the columns {', '.join(table.header)} is called prompt or text.",
                f"Make the prompt with --template, such as '{{{{ {field} }}}}'.",
            )
        if self.out_format is OutFormat.TABLE and self.options.column in table.header:
            message = f"The table has a column {self.options.column!r} already."
            raise UsageError(message, "Choose another name with --column.")

    def _count_rows(self) -> int | None:
        """The number of rows that are wanted, if it is known."""
        if self.rows_read is not None or self.input.files is None:
            return self.rows_read
        return min(self.input.files, self.options.most_rows or self.input.files)

    def _result_format(self, created: int) -> "ResultFormat":
        from gptcli.batch.formats import Files, OpenAILines, SimpleLines, TableRows

        separate, role = self.destination.errors is not None, self.builder.role
        block = None if role is None else role.role.code_block
        if self.out_format is OutFormat.OPENAI:
            return OpenAILines(self.loader.model.name, created, separate_errors=separate)
        if self.out_format is OutFormat.SIMPLE:
            return SimpleLines(separate_errors=separate, code_block=block)
        if self.out_format is OutFormat.FILES:
            return Files(separate_errors=True, code_block=block)
        table = self.input.table
        assert table is not None, "only an input with a table has a table as output"
        columns = table.header, table.delimiter, table.newline, self.options.column
        return TableRows(*columns, separate_errors=separate, code_block=block)

    def _load_engine(self) -> "AbstractContextManager[LoadedEngine]":
        options = self.options
        rows = self.rows_read if self.rows_read is not None else options.most_rows
        parallel = 1 if options.deterministic else options.parallel
        if parallel is None and rows is not None and 1 <= rows <= _FEW_ROWS:
            parallel = rows
        return self.loader.open(parallel=parallel, reuse=not options.deterministic)

    def _settings(self) -> dict[str, object]:
        """What must be the same for a job to be resumed; settings that only affect speed are not in it."""
        options, base = self.options, self.builder.base
        names = (
            "split",
            "encoding",
            "template",
            "system",
            "chat",
            "row_settings",
            "sample",
            "column",
            "deterministic",
        )
        sampling = dataclasses.asdict(base.sampling)
        model = self.loader.model
        return {
            "model": model.name,
            "model size": model.path.stat().st_size,
            "adapters": [f"{file}={scale:g}" for file, scale in self.engine_options.adapters],
            **role_settings(self.builder.role),
            **({} if options.chat_template is None else {"chat template": options.chat_template}),
            "context": self.engine_options.ctx_size,
            "input format": self.input.format,
            "output format": self.out_format.value,
            **self.destination.settings(),
            **{name: getattr(options, name) for name in names},
            **{name: sampling[name] for name in sorted(base.sampling.chosen)},
            **{name: getattr(base, name) for name in ("max_tokens", "stop", "ignore_eos", "n", "logprobs")},
            **({} if base.constraint is None else {_constraint_name(base.constraint): base.constraint.text}),
        }


def _constraint_name(constraint: "Constraint") -> str:
    """What journals call it; those of 0.1 knew GBNF only."""
    return "grammar" if constraint.kind.value == "gbnf" else constraint.kind.value


def _request_builder(
    options: BatchOptions,
    text: TextFlags,
    role: "RolePrompt | None",
    constraint: "Constraint | None",
    sampling: SamplingFlags,
) -> "RequestBuilder":
    from gptcli.batch.request import RequestBuilder, parse_template
    from gptcli.openai.constraints import CONSTRAINTS
    from gptcli.openai.request import request_param
    from gptcli.types import Request, TextPrompt

    columns = frozenset((options.row_settings or "").replace(" ", "").split(",")) - {""}
    if unknown := sorted(name for name in columns if request_param(name) is None and name not in CONSTRAINTS):
        message = f"--row-settings: {unknown[0]!r} is no parameter."
        raise UsageError(message, "For example: seed,temperature,max_tokens.")
    chosen = sampling.sampling()
    if options.deterministic and chosen.seed is None:
        chosen = chosen.with_params({"seed": 0})
    base = Request(
        id="",
        prompt=TextPrompt(b""),
        sampling=chosen,
        max_tokens=text.limit,
        stop=tuple(text.stop or ()),
        ignore_eos=text.ignore_eos,
        n=options.samples,
        logprobs=options.logprobs,
        constraint=constraint,
        close=False,  # a row that is interrupted is answered again
    )
    template = None if options.template is None else parse_template(options.template)
    chat = options.chat or options.system is not None
    return RequestBuilder(base, options.system, chat, template, role, columns, allow_empty=options.allow_empty)


def _choose_out_format(options: BatchOptions, path: Path | None, input_format: str) -> OutFormat:
    given, table, files = options.out_format, input_format in ("csv", "tsv"), input_format == "files"
    if given is OutFormat.TABLE and not table:
        raise UsageError(f"--out-format table needs a table as input, not {input_format}.", "Use openai or simple.")
    if given is OutFormat.FILES and path is None:
        raise UsageError("--out-format files needs a folder.", "Name it with -o.")
    if given is OutFormat.FILES and not files:
        raise UsageError(f"--out-format files needs files as input, not {input_format}.", "Use openai or simple.")
    if given is not None:
        return given
    if path is not None and path.suffix.lower() in (".jsonl", ".ndjson"):
        return OutFormat.OPENAI
    if files and path is not None:
        return OutFormat.FILES
    return OutFormat.TABLE if table else OutFormat.OPENAI
