"""`gptcli eval`: measure one or several models on tasks."""

import dataclasses
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from gptcli.cli import suggestions
from gptcli.cli.classify import PARALLEL
from gptcli.cli.main import CommandContext
from gptcli.cli.options import LoadFlags, takes
from gptcli.errors import Cancelled, ExitCode, RowsFailed, UsageError

if TYPE_CHECKING:
    from gptcli.batch.row import Row, RowError
    from gptcli.evaluation.metrics import Record
    from gptcli.evaluation.report import TaskResult
    from gptcli.evaluation.task import Task
    from gptcli.terminal import Terminal
    from gptcli.types import Engine

app = typer.Typer(add_completion=False)

_BAR_WIDTH = 30
_EPILOG = "Example: gptcli eval sentiment questions.jsonl -m smollm2 --against qwen2.5-0.5b -o results"


class EvalFormat(str, Enum):
    """What is written to stdout."""

    TABLE = "table"
    JSON = "json"


@dataclasses.dataclass(slots=True)
class EvalOptions:
    """Which items, which models, and what is written."""

    against: Annotated[
        list[str] | None,
        Option("--against", metavar="REF", help="Another model; repeatable.", autocompletion=suggestions.models),
    ] = None
    limit: Annotated[int | None, Option(min=1, metavar="N", help="Only the first N items.")] = None
    sample: Annotated[int | None, Option(min=1, metavar="N", help="Only N random items, chosen by --seed.")] = None
    seed: Annotated[int, Option(min=0, metavar="N", help="Seed of the sample and of the intervals.")] = 0
    chat: Annotated[bool, Option("--chat", help="Ask in chat messages.")] = False
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="DIR", help="Keep every item's result in DIR, and resume there.")
    ] = None
    overwrite: Annotated[bool, Option("--overwrite", help="Do not resume results in DIR; start again.")] = False
    format: Annotated[EvalFormat, Option("--format", help="A table, or JSON with all numbers.")] = EvalFormat.TABLE
    parallel: Annotated[int, Option(min=1, metavar="N", help="Items at once.")] = PARALLEL
    list: Annotated[bool, Option("--list", help="List the tasks that come with gptcli.")] = False
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show llama.cpp's log.")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only errors on stderr.")] = False

    def check(self) -> None:
        """Raises UsageError for options that contradict each other."""
        if self.limit is not None and self.sample is not None:
            raise UsageError("--limit and --sample contradict each other.", "Omit one of them.")
        if self.output is not None and self.output.exists() and not self.output.is_dir():
            raise UsageError(f"{self.output} is no folder.", "Name a folder with -o.")


@app.command("eval", epilog=_EPILOG)
@takes(options=EvalOptions, model=LoadFlags)
def evaluate(
    ctx: typer.Context,
    options: EvalOptions,
    model: LoadFlags,
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="[TASK]...", help="Names of tasks, TOML, JSONL or CSV files.")
    ] = None,
) -> int:
    """Measure models on tasks: choices by likelihood, generated answers, labels, perplexity.

    Without TASK, all tasks that come with gptcli. Figures have 95 % intervals (bootstrap over items); another model is
    compared on the same items. Items that fail are counted and named; the exit code is then 7."""
    from gptcli.evaluation.task import load_task, shipped_tasks

    context: CommandContext = ctx.obj
    terminal = context.terminal
    options.check()
    model.check()
    terminal.quiet = options.quiet
    if options.list:
        terminal.write("".join(f"{name}\n" for name in shipped_tasks()))
        return ExitCode.OK
    loaded = [load_task(name) for name in tasks or shipped_tasks()]
    names = [task.name for task in loaded]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"Two tasks are named {twice}.", "Give every task its own name.")
    return _Evaluation(loaded, options, model, context).run()


class _Evaluation:
    def __init__(self, tasks: "list[Task]", options: EvalOptions, model: LoadFlags, context: CommandContext) -> None:
        from gptcli.evaluation.report import make_metrics

        self.tasks = tasks
        self.options = options
        self.context = context
        self.terminal: Terminal = context.terminal
        self.engine_options = model.engine_options(verbose=options.verbose)
        self.metrics = {task.name: make_metrics(task) for task in tasks}  # a missing package, before any work
        self.records: dict[str, list[tuple[str, list[Record]]]] = {task.name: [] for task in tasks}

    def run(self) -> int:
        """Raises Cancelled, RowsFailed, and the errors of reading, loading and writing."""
        from gptcli.evaluation.report import judge_task

        for reference in [self.engine_options.model, *(self.options.against or [])]:
            self._run_model(reference)
        results = [
            judge_task(task, self.metrics[task.name], self.records[task.name], seed=self.options.seed)
            for task in self.tasks
        ]
        self._write(results)
        if failed := sum(sum(result.errors.values()) for result in results):
            raise RowsFailed(f"{failed:,} items failed; they are in no figure.", "They are named above.")
        return ExitCode.OK

    def _run_model(self, reference: str | None) -> None:
        loader = self.context.loader(dataclasses.replace(self.engine_options, model=reference))
        name = loader.model.name
        if any(name == known for known, _ in self.records[self.tasks[0].name]):
            raise UsageError(f"The model {name} is there twice.", "Name different models.")
        with ExitStack() as stack:
            engine: list[Engine] = []

            def load_engine() -> "Engine":
                if not engine:
                    loaded = stack.enter_context(loader.open(parallel=self.options.parallel))
                    stack.enter_context(loaded.interrupt.watch())
                    self.interrupt = loaded.interrupt
                    engine.append(loaded.engine)
                return engine[0]

            for task in self.tasks:
                identity = {"model": name, "model size": loader.model.path.stat().st_size}
                data = self._run_task(task, name, identity, load_engine)
                records = self._records(task, name, data)
                self.records[task.name].append((name, records))

    def _run_task(
        self, task: "Task", model: str, identity: dict[str, object], load_engine: "Callable[[], Engine]"
    ) -> bytes:
        """The lines of all its items."""
        from gptcli.batch.output import open_path, open_stream
        from gptcli.batch.runner import Runner
        from gptcli.evaluation.items import ItemBuilder, RecordLines
        from gptcli.render.batch import batch_progress

        options = self.options
        memory = io.BytesIO()
        path = None
        if options.output is None:
            output = open_stream(memory, None, ordered=True, overwrite=False, created=0)
        else:
            path = options.output / f"{_file_name(task.name)}.{_file_name(model)}.jsonl"
            settings = {
                "command": "eval",
                **identity,
                "adapters": [f"{file}={scale:g}" for file, scale in self.engine_options.adapters],
                "task": task.settings,
                "items": f"{options.limit} {options.sample} {options.seed if options.sample else ''}",
                "chat": options.chat,
            }
            output = open_path(
                path, None, folder=False, settings=settings, ordered=True, overwrite=options.overwrite, created=0
            )
        builder = ItemBuilder(task, load_engine, options.chat)

        def interruptible() -> "Engine":
            engine = load_engine()
            runner.interrupt = self.interrupt
            return engine

        if not self.terminal.quiet:
            self.terminal.report(f"{task.name}, {model}", dim=True)
        rows, total = self._rows(task)
        progress = batch_progress(self.terminal)
        runner = Runner(interruptible, rows, builder, RecordLines(builder), output, progress, total=total)
        try:
            runner.run()
        except Cancelled as stop:
            resume = "" if path is None else " Run the same command again to continue."
            self.terminal.report(f"Stopped after {runner.status.done:,} items of {task.name}.{resume}")
            raise Cancelled(stop.message) from None
        return memory.getvalue() if path is None else path.read_bytes()

    def _rows(self, task: "Task") -> "tuple[Iterator[Row | RowError], int]":
        from gptcli.batch.input import sample_rows

        rows = task.rows()
        if self.options.sample is not None:
            rows = sample_rows(rows, self.options.sample, self.options.seed)
        elif self.options.limit is not None:
            rows = islice(rows, self.options.limit)
        items = list(rows)
        if not items:
            raise UsageError(f"The task {task.name} has no items.", "Check its data and its split.")
        return iter(items), len(items)

    def _records(self, task: "Task", model: str, data: bytes) -> "list[Record]":
        from gptcli.evaluation.report import read_records

        records = read_records(data)
        for record in records:
            if "error" in record:
                self.terminal.report(
                    f"gptcli: {task.name}, {model}, line {record['line']}: {record['error']['message']}"
                )
        return records

    def _write(self, results: "list[TaskResult]") -> None:
        from gptcli.evaluation.report import to_json
        from gptcli.render.table import write_table

        if self.options.format is EvalFormat.JSON:
            self.terminal.write(json.dumps(to_json(results), ensure_ascii=False, indent=2) + "\n")
            return
        several = bool(self.options.against)
        bars = self.terminal.stdout_tty
        headers = ["TASK", "METRIC", "MODEL", "ITEMS", "VALUE", "LOW", "HIGH", *(["P"] if several else [])]
        write_table(self.terminal, [*headers, *([""] if bars else [])], _table(results, several=several, bars=bars))
        for result in results:
            for model, matrix in result.confusion.items():
                title = f"\n{result.task}, {model}: rows are right labels, columns are predictions\n"
                if self.terminal.stdout_tty:
                    self.terminal.write(title)
                    lines = [[label, *map(str, row)] for label, row in zip(result.labels, matrix, strict=True)]
                    write_table(self.terminal, ["", *result.labels], lines)


def _table(results: "list[TaskResult]", *, several: bool, bars: bool) -> list[list[str]]:
    from gptcli.render.evaluation import bar

    lines = []
    for result in results:
        for row in result.metrics:
            # Shares are between 0 and 1; other figures are as long as the largest of their metric.
            shown = [one.estimate for one in row.models]
            most = 1.0 if row.metric not in ("perplexity", "bits_per_byte", "bleu") else max(e.high for e in shown)
            for one in row.models:
                found = one.estimate
                figures = [f"{number:.4g}" for number in (found.value, found.low, found.high)]
                p = [] if not several else ["" if one.p is None else f"{one.p:.3f}"]
                drawn = [bar(found.value, found.low, found.high, _BAR_WIDTH, most)] if bars else []
                lines.append([row.task, row.metric, one.model, str(found.items), *figures, *p, *drawn])
    return lines


def _file_name(name: str) -> str:
    """A name of a task or a model as part of a file's name."""
    return re.sub(r"[^\w.-]+", "_", name).strip(".") or "_"
