"""The options that only `gptcli batch` has."""

import dataclasses
import enum
from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Option

from gptcli.cli.options import CHAT_TEMPLATE
from gptcli.cli.suggestions import one_of
from gptcli.errors import UsageError
from gptcli.params import REQUEST_PARAMS

_input, _output, _run = (partial(Option, rich_help_panel=panel) for panel in ("Input", "Output", "Run"))
_MOST_SAMPLES, _MOST_LOGPROBS = (int(REQUEST_PARAMS[name].high) for name in ("n", "logprobs"))


class OutFormat(str, enum.Enum):
    """Formats of the output."""

    OPENAI = "openai"
    SIMPLE = "simple"
    TABLE = "table"
    FILES = "files"


@dataclasses.dataclass(slots=True)
class BatchOptions:
    """What is read, what is written, and how the job runs; an option without a flag has its field's name."""

    input_format: Annotated[
        str | None,
        _input(
            "--from",
            metavar="FORMAT",
            help="jsonl, csv, tsv, text, files or parquet.",
            autocompletion=one_of("jsonl", "csv", "tsv", "text", "files", "parquet"),
        ),
    ] = None
    encoding: Annotated[str, _input(metavar="NAME", help="Encoding of the input.")] = "utf-8"
    split: Annotated[str | None, _input(metavar="AT", help="Split text at blank lines, NUL or this text.")] = None
    template: Annotated[str | None, _input(metavar="TEXT|FILE", help="The prompt, with a row's {{ field }}s.")] = None
    system: Annotated[str | None, _input("--system", "-s", metavar="TEXT", help="System prompt; implies --chat.")] = (
        None
    )
    chat: Annotated[bool, _input("--chat", help="Send prompts as chat messages.")] = False
    chat_template: Annotated[str | None, CHAT_TEMPLATE] = None
    row_settings: Annotated[str | None, _input(metavar="A,B,…", help="Columns that are parameters, e.g. seed.")] = None
    allow_duplicates: Annotated[
        bool, _input("--allow-duplicates", help="Answer rows that have an id of an earlier row.")
    ] = False
    allow_empty: Annotated[bool, _input("--allow-empty", help="Answer rows whose prompt is empty.")] = False
    limit: Annotated[int | None, _input(min=0, metavar="N", help="Only the first N rows.")] = None
    sample: Annotated[int | None, _input(min=1, metavar="N", help="Only N random rows, chosen by --seed.")] = None
    out_format: Annotated[OutFormat | None, _output(help="(default: openai; table for CSV, files for a folder)")] = None
    column: Annotated[str, _output(metavar="NAME", help="Name of a table's new column.")] = "completion"
    logprobs: Annotated[
        int | None, _output(min=0, max=_MOST_LOGPROBS, metavar="K", help="Log-probabilities of K tokens.")
    ] = None
    samples: Annotated[int, _output(min=1, max=_MOST_SAMPLES, metavar="N", help="Samples for each row.")] = 1
    parallel: Annotated[
        int | None, _run(min=1, metavar="N", help="Rows at once. (default: 16 to 64 a thread; 256 on a GPU)")
    ] = None
    deterministic: Annotated[bool, _run("--deterministic", help="One row at a time, the same bytes each time.")] = False
    max_failures: Annotated[int | None, _run(min=0, metavar="N", help="Stop when more than N rows failed.")] = None
    plan: Annotated[bool, _run("--plan", help="Show the cost and write nothing.")] = False
    stats_file: Annotated[Path | None, _run(metavar="FILE", help="Write statistics as JSON.")] = None
    verbose: Annotated[bool, _run("--verbose", "-v", help="Show llama.cpp's log.")] = False
    quiet: Annotated[bool, _run("--quiet", "-q", help="Only errors on stderr.")] = False

    @property
    def most_rows(self) -> int | None:
        """The most rows that are read from the input."""
        return self.limit if self.limit is not None else self.sample

    def check(self) -> None:
        """Raises UsageError for options that contradict each other."""
        if self.deterministic and (self.parallel or 1) > 1:
            message = f"--deterministic computes one row at a time, not --parallel {self.parallel}."
            raise UsageError(message, "Omit one of them.")
        if self.limit is not None and self.sample is not None:
            raise UsageError("--limit and --sample contradict each other.", "Omit one of them.")
        if self.verbose and self.quiet:
            raise UsageError("--verbose and --quiet contradict each other.", "Omit one of them.")
