"""The options of commands that write a row of output for each row of input: where to, and what is done with a file that
exists."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from typer import Option

from gptcli.errors import UsageError

if TYPE_CHECKING:
    from gptcli.batch.output import Output

_output = partial(Option, rich_help_panel="Output")


@dataclasses.dataclass(slots=True)
class OutputFlags:
    """Where rows go; an option without a flag has its field's name."""

    output: Annotated[
        Path | None, _output("--output", "-o", metavar="PATH", help="Where to write; - is stdout. (default: -)")
    ] = None
    errors: Annotated[Path | None, _output(metavar="FILE", help="Write error lines to FILE.")] = None
    unordered: Annotated[bool, _output("--unordered", help="Write rows as they end, not in input order.")] = False
    overwrite: Annotated[
        bool,
        _output(
            "--overwrite/--resume",
            help="If the output exists, start again or resume. (default: resume)",
            show_default=False,
        ),
    ] = False

    def __post_init__(self) -> None:
        if self.output == Path("-"):
            self.output = None

    def check(self) -> None:
        """Raises UsageError for options that contradict each other."""
        if self.output is not None and self.output.suffix.lower() in (".gz", ".zst"):
            raise UsageError(f"{self.output} would be compressed, and could not be resumed.", "Compress it afterwards.")
        if self.errors is not None and self.errors == self.output:
            raise UsageError("The output and the file of errors are the same.", "Omit --errors to have them in one.")

    def open(
        self,
        inputs: Sequence[str],
        stdout: BinaryIO,
        settings: dict[str, object],
        *,
        folder: bool = False,
        created: int = 0,
    ) -> "Output":
        """The output; a file or folder is resumed if it was made with these `settings`. `created`: seconds since 1970
        that new rows have. Raises UsageError, and the errors of writing."""
        from gptcli.batch.output import open_path, open_stream
        from gptcli.batch.text import ERRORS

        path, errors, overwrite, ordered = self.output, self.errors, self.overwrite, not (self.unordered or folder)
        if path is not None and any(_is_same_file(path, given) for given in inputs):
            raise UsageError(f"{path} is the input.", "Choose another output.")
        if path is None or (path.exists() and not path.is_file() and not folder):
            stream = stdout if path is None else open(path, "wb")  # noqa: SIM115 - a device or a pipe
            return open_stream(stream, errors, ordered=ordered, overwrite=overwrite, created=created)
        if folder and errors is None:
            errors = path.with_name(path.name + ERRORS)
        return open_path(
            path, errors, folder=folder, settings=settings, ordered=ordered, overwrite=overwrite, created=created
        )

    def settings(self) -> dict[str, object]:
        """What must be the same for a job to be resumed."""
        return {
            "order": "as completed" if self.unordered else "input",
            "errors": None if self.errors is None else self.errors.name,
        }


def _is_same_file(path: Path, given: str) -> bool:
    return given != "-" and path.exists() and Path(given).exists() and path.samefile(given)
