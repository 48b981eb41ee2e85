"""`gptcli batch`: answer every row of a file, several at once, and lose none.

It turns flags into the parts of a run; rows, formats and files are the batch folder's, computing is the engine's.
"""

import dataclasses
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from gptcli.cli.batch_flags import BatchFlags, OutFormat
from gptcli.cli.main import CommandContext
from gptcli.cli.option_groups import takes
from gptcli.cli.options import ModelFlags, OutputFlags, SamplingFlags, TextFlags
from gptcli.errors import Cancelled, ExitCode, RowsFailed, UsageError

app = typer.Typer(add_completion=False)

_FEW = 32
"""A job of no more rows than this runs them all at once, for measuring what is best would take as long as it saves."""

_EPILOG = "Example: gptcli batch questions.csv --chat --template 'Answer briefly: {{ question }}' -o answers.csv"


@app.command(epilog=_EPILOG)
@takes(batch=BatchFlags, text=TextFlags, model=ModelFlags, sampling=SamplingFlags)
def batch(
    ctx: typer.Context,
    batch: BatchFlags,
    text: TextFlags,
    model: ModelFlags,
    sampling: SamplingFlags,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="A file, - for stdin, a folder or patterns.")],
) -> int:
    """Answer every row of a file: JSONL (also OpenAI Batch), CSV, TSV, text, Parquet, or a folder of prompts.

    Killed or stopped, the same command goes on where it was. Rows that fail become error lines; the exit code is 7.
    """
    for flags in (batch, model, sampling):
        flags.check()
    session: CommandContext = ctx.obj
    session.terminal.quiet = batch.quiet
    job = Job(inputs, batch, text, model, sampling, session)
    if batch.plan:
        job.plan()
        return ExitCode.OK
    return job.run()


class Job:
    """One command line, taken apart."""

    def __init__(
        self,
        inputs: list[str],
        batch: BatchFlags,
        text: TextFlags,
        model: ModelFlags,
        sampling: SamplingFlags,
        session: CommandContext,
    ) -> None:
        """Raises UsageError, ModelNotFound, LoadError."""
        from gptcli.batch.readers import Input, choose_format
        from gptcli.runtime.loader import EngineLoader

        self.flags = batch
        self.terminal = session.terminal
        kind = choose_format(inputs, batch.input_format)
        if batch.split is not None and kind != "text":
            raise UsageError(f"--split is for text, not for {kind}.", "Say --from text, or drop it.")
        self.input = Input(tuple(inputs), kind, session.terminal.stdin, batch.encoding, batch.split)
        self.out_format = _choose_output(batch, kind)
        self.asking = _asking(batch, text, sampling)
        self.opening = EngineLoader(model, OutputFlags(verbose=batch.verbose, quiet=batch.quiet), session)
        self.settings = self._settings(model)
        self.parallel = 1 if batch.deterministic else batch.parallel

    def run(self) -> int:
        """Raises Cancelled, RowsFailed, and what reading and writing raises."""
        from gptcli.batch.runner import Runner
        from gptcli.render.batch_progress import batch_progress

        with ExitStack() as stack:
            stack.callback(self.input.close)
            rows = self._rows()
            form = self._format()
            output = self._output()
            stack.callback(output.close)
            if self.out_format is OutFormat.OPENAI:
                form.created = output.created
            runner = Runner(
                lambda: self._engine(stack, runner),
                rows,
                self.asking,
                form,
                output,
                batch_progress(self.terminal),
                live=self.input.live and self.flags.sample is None,
                whole=self.flags.limit is None,
                total=self._total(),
                share=self.input.share,
                max_failures=self.flags.max_failures,
            )
            try:
                status = runner.run()
            except Cancelled as stop:
                self.terminal.report(f"{stop.message} {stop.hint}")
                raise
            finally:
                if self.flags.stats_file is not None:
                    self.flags.stats_file.write_text(json.dumps(runner.status.facts()) + "\n")
        if status.failed_ever:
            where = self.flags.errors or self.flags.output or "the output"
            rows_in_all = status.done + status.resumed
            raise RowsFailed(f"{status.failed_ever:,} of {rows_in_all:,} rows failed.", f"{where} says why.")
        return ExitCode.OK

    def plan(self) -> None:
        """Raises what reading raises; says the plan on stdout."""
        from gptcli.batch.plan import make_plan
        from gptcli.models.gguf.header import read_header
        from gptcli.render.batch_plan import plan_lines
        from gptcli.runtime.fit import need

        with ExitStack() as stack:
            stack.callback(self.input.close)
            rows = self._rows()
            opened = stack.enter_context(self._opened())
            parallel = opened.engine.parallel
            plan = make_plan(rows, self.asking, self._format(), opened.engine, opened.engine.encode, trial=parallel)
            cells = opened.engine.cells
            memory = need(read_header(self.opening.model.path), cells).total
            for line in plan_lines(plan, parallel, cells, memory):
                self.terminal.answer(line + "\n")

    def _rows(self) -> Any:
        from itertools import islice

        from gptcli.batch.sample import sample

        rows = self.input.open()
        table = self.input.table
        if table is not None and self.asking.template is None and not {"prompt", "text"} & set(table.header):
            raise UsageError(
                f"None of the columns {', '.join(table.header)} is called prompt or text.",
                "Say with --template what the prompt is, such as '{{ " + (table.header or ["name"])[0] + " }}'.",
            )
        if self.flags.sample is not None:
            return sample(rows, self.flags.sample, self.asking.base.sampling.seed or 0)
        return rows if self.flags.limit is None else islice(rows, self.flags.limit)

    def _total(self) -> int | None:
        if (total := self.input.count()) is None:
            return None
        wanted = self._wanted()
        return total if wanted is None else min(total, wanted)

    def _wanted(self) -> int | None:
        return self.flags.limit if self.flags.limit is not None else self.flags.sample

    def _format(self) -> Any:
        from gptcli.batch import formats as results

        apart = self.flags.errors is not None
        if self.out_format is OutFormat.OPENAI:
            return results.OpenAILines(self.opening.model.name, 0, apart)
        if self.out_format is OutFormat.SIMPLE:
            return results.SimpleLines(apart)
        if self.out_format is OutFormat.FILES:
            return results.Files()
        table = self.input.table
        assert table is not None, "a table goes out only where one came in"
        if self.flags.column in table.header:
            raise UsageError(f"The table has a column {self.flags.column!r} already.", "Choose another with --column.")
        return results.TableRows(table.header, table.delimiter, table.newline, self.flags.column, apart=apart)

    def _output(self) -> Any:
        from gptcli.batch.opening import to_path, to_stream

        flags = self.flags
        created = 0 if flags.deterministic else int(time.time())
        path, errors, folder = flags.output, flags.errors, self.out_format is OutFormat.FILES
        ordered = not flags.unordered and not folder
        if path is not None and any(_same(path, given) for given in self.input.paths):
            raise UsageError(f"{path} is the input.", "Name another output.")
        if path is None or (path.exists() and not path.is_file() and not folder):
            stream = self.terminal.stdout if path is None else open(path, "wb")  # noqa: SIM115 - a device or a pipe
            return to_stream(stream, errors, ordered=ordered, overwrite=flags.overwrite, created=created)
        if folder and errors is None:
            errors = path.with_name(path.name + ".errors.jsonl")
        return to_path(
            path,
            errors,
            folder=folder,
            settings=self.settings,
            ordered=ordered,
            overwrite=flags.overwrite,
            created=created,
        )

    def _engine(self, stack: ExitStack, runner: Any) -> Any:
        opened = stack.enter_context(self._opened())
        stack.enter_context(opened.interrupt.watch())
        runner.interrupt = opened.interrupt
        return opened.engine

    def _opened(self) -> Any:
        few = total if (total := self._total()) is not None else self._wanted()
        parallel = few if self.parallel is None and few is not None and 1 <= few <= _FEW else self.parallel
        return self.opening.engine(parallel=parallel, reuse=not self.flags.deterministic)

    def _settings(self, model: ModelFlags) -> dict[str, object]:
        """What must be the same for a job to go on; what only says how fast it runs is not among it."""
        flags, base = self.flags, self.asking.base
        names = ("split", "encoding", "template", "system", "chat", "row_settings", "sample", "column", "deterministic")
        sampling = dataclasses.asdict(base.sampling)
        path = self.opening.model.path
        return {
            "model": self.opening.model.name,
            "model size": path.stat().st_size,
            "adapters": [f"{file}={scale:g}" for file, scale in model.adapters()],
            "context": model.ctx_size,
            "input format": self.input.format,
            "output format": self.out_format.value,
            "order": "as completed" if flags.unordered else "input",
            "errors": None if flags.errors is None else flags.errors.name,
            **{name: getattr(flags, name) for name in names},
            **{name: sampling[name] for name in sorted(base.sampling.chosen)},
            **{name: getattr(base, name) for name in ("max_tokens", "stop", "ignore_eos", "n", "logprobs")},
        }


def _asking(batch: BatchFlags, text: TextFlags, sampling: SamplingFlags) -> Any:
    from gptcli.batch.request import RequestBuilder
    from gptcli.batch.row_params import is_wish
    from gptcli.batch.template import Template
    from gptcli.types import Request, TextPrompt

    columns = frozenset((batch.row_settings or "").replace(" ", "").split(",")) - {""}
    if unknown := sorted(name for name in columns if not is_wish(name)):
        raise UsageError(f"--row-settings: {unknown[0]!r} is no setting.", "For example: seed,temperature,max_tokens.")
    chosen = sampling.sampling()
    if batch.deterministic and chosen.seed is None:
        chosen = dataclasses.replace(chosen, seed=0, chosen=chosen.chosen | {"seed"})
    base = Request(
        id="",
        prompt=TextPrompt(b""),
        sampling=chosen,
        max_tokens=None if text.max_tokens < 0 else text.max_tokens,
        stop=tuple(text.stop or ()),
        ignore_eos=text.ignore_eos,
        n=batch.samples,
        logprobs=batch.logprobs,
    )
    template = None if batch.template is None else Template(_template_text(batch.template))
    return RequestBuilder(base, batch.system, batch.chat or batch.system is not None, template, columns)


def _template_text(given: str) -> str:
    """The template itself, or the file of that name. Raises UsageError."""
    try:
        if "{" not in given and Path(given).is_file():
            return Path(given).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        raise UsageError(f"The template {given} cannot be read: {problem}.", "Check the file.") from None
    if "{" not in given:
        raise UsageError(f"--template {given!r} names no field and is no file.", "Write {{ field }} for a row's field.")
    return given


def _choose_output(batch: BatchFlags, kind: str) -> OutFormat:
    said, table, files = batch.out_format, kind in ("csv", "tsv"), kind == "files"
    if said is OutFormat.TABLE and not table:
        raise UsageError(f"--out-format table needs a table as input, not {kind}.", "Choose openai or simple.")
    if said is OutFormat.FILES and not files:
        raise UsageError(f"--out-format files needs files as input, not {kind}.", "Choose openai or simple.")
    if said is not None:
        return said
    if batch.output is not None and batch.output.suffix.lower() in (".jsonl", ".ndjson"):
        return OutFormat.OPENAI
    if files and batch.output is not None:
        return OutFormat.FILES
    return OutFormat.TABLE if table else OutFormat.OPENAI


def _same(path: Path, given: str) -> bool:
    return given != "-" and path.exists() and Path(given).exists() and path.samefile(given)
