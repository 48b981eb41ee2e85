"""The options that only `gptcli batch` has."""

import dataclasses
import enum
from pathlib import Path
from typing import Annotated

from typer import Option

from gptcli.errors import UsageError
from gptcli.params import REQUEST_PARAMS

_IN, _OUT, _RUN = "Input", "Output", "Run"
_MOST_SAMPLES, _MOST_LOGPROBS = (int(REQUEST_PARAMS[name].high) for name in ("n", "logprobs"))


class OutFormat(str, enum.Enum):
    """Formats of the output."""

    OPENAI = "openai"
    SIMPLE = "simple"
    TABLE = "table"
    FILES = "files"


@dataclasses.dataclass(slots=True)
class BatchOptions:
    """What is read, what is written, and how the job runs."""

    input_format: Annotated[
        str | None,
        Option("--from", metavar="FORMAT", help="jsonl, csv, tsv, text, files or parquet.", rich_help_panel=_IN),
    ] = None
    encoding: Annotated[
        str, Option("--encoding", metavar="NAME", help="Encoding of the input.", rich_help_panel=_IN)
    ] = "utf-8"
    split: Annotated[
        str | None,
        Option("--split", metavar="AT", help="Split text at blank lines, NUL or this text.", rich_help_panel=_IN),
    ] = None
    template: Annotated[
        str | None,
        Option("--template", metavar="TEXT|FILE", help="The prompt, with a row's {{ field }}s.", rich_help_panel=_IN),
    ] = None
    system: Annotated[
        str | None, Option("--system", "-s", metavar="TEXT", help="System prompt; implies --chat.", rich_help_panel=_IN)
    ] = None
    chat: Annotated[bool, Option("--chat", help="Send prompts as chat messages.", rich_help_panel=_IN)] = False
    row_settings: Annotated[
        str | None,
        Option("--row-settings", metavar="A,B,…", help="Columns that are parameters, e.g. seed.", rich_help_panel=_IN),
    ] = None
    limit: Annotated[
        int | None, Option("--limit", min=0, metavar="N", help="Only the first N rows.", rich_help_panel=_IN)
    ] = None
    sample: Annotated[
        int | None,
        Option("--sample", min=1, metavar="N", help="Only N random rows, chosen by --seed.", rich_help_panel=_IN),
    ] = None
    output: Annotated[
        Path | None,
        Option(
            "--output", "-o", metavar="PATH", help="File, or folder for files. (default: stdout)", rich_help_panel=_OUT
        ),
    ] = None
    out_format: Annotated[
        OutFormat | None,
        Option("--out-format", help="(default: openai; table for CSV, files for a folder)", rich_help_panel=_OUT),
    ] = None
    column: Annotated[
        str, Option("--column", metavar="NAME", help="Name of a table's new column.", rich_help_panel=_OUT)
    ] = "completion"
    errors: Annotated[
        Path | None, Option("--errors", metavar="FILE", help="Write error lines to FILE.", rich_help_panel=_OUT)
    ] = None
    unordered: Annotated[
        bool, Option("--unordered", help="Write rows as they end, not in input order.", rich_help_panel=_OUT)
    ] = False
    overwrite: Annotated[
        bool,
        Option(
            "--overwrite/--resume",
            help="If the output exists, start again or resume. (default: resume)",
            rich_help_panel=_OUT,
            show_default=False,
        ),
    ] = False
    logprobs: Annotated[
        int | None,
        Option(
            "--logprobs",
            min=0,
            max=_MOST_LOGPROBS,
            metavar="K",
            help="Log-probabilities of K tokens.",
            rich_help_panel=_OUT,
        ),
    ] = None
    samples: Annotated[
        int,
        Option("--samples", min=1, max=_MOST_SAMPLES, metavar="N", help="Samples for each row.", rich_help_panel=_OUT),
    ] = 1
    parallel: Annotated[
        int | None,
        Option("--parallel", min=1, metavar="N", help="Rows at once. (default: measured)", rich_help_panel=_RUN),
    ] = None
    deterministic: Annotated[
        bool, Option("--deterministic", help="One row at a time, the same bytes each time.", rich_help_panel=_RUN)
    ] = False
    max_failures: Annotated[
        int | None,
        Option("--max-failures", min=0, metavar="N", help="Stop when more than N rows failed.", rich_help_panel=_RUN),
    ] = None
    plan: Annotated[bool, Option("--plan", help="Show the cost and write nothing.", rich_help_panel=_RUN)] = False
    stats_file: Annotated[
        Path | None, Option("--stats-file", metavar="FILE", help="Write statistics as JSON.", rich_help_panel=_RUN)
    ] = None
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show llama.cpp's log.", rich_help_panel=_RUN)] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only errors on stderr.", rich_help_panel=_RUN)] = False

    @property
    def most_rows(self) -> int | None:
        """The most rows that are read from the input."""
        return self.limit if self.limit is not None else self.sample

    def check(self) -> None:
        """Raises UsageError for options that contradict each other."""
        if self.deterministic and (self.parallel or 1) > 1:
            raise UsageError(
                f"--deterministic computes one row at a time, not --parallel {self.parallel}.", "Omit one of them."
            )
        if self.limit is not None and self.sample is not None:
            raise UsageError("--limit and --sample contradict each other.", "Omit one of them.")
        if self.verbose and self.quiet:
            raise UsageError("--verbose and --quiet contradict each other.", "Omit one of them.")
        if self.output is None and self.out_format is OutFormat.FILES:
            raise UsageError("--out-format files needs a folder.", "Name it with -o.")
        if self.output is not None and self.output.suffix.lower() in (".gz", ".zst"):
            raise UsageError(f"{self.output} would be compressed, and could not be resumed.", "Compress it afterwards.")
        if self.errors is not None and self.errors == self.output:
            raise UsageError("The output and the file of errors are the same.", "Omit --errors to have them in one.")
