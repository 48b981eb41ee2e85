"""A whole batch on the tiny engine, for tests in process and, as a program, for those that kill it.

python batch_job.py INPUT OUTPUT [--unordered] [--pause SECONDS]
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batch_engine import TinyEngine

from gptcli.batch.formats import OpenAILines, ResultFormat
from gptcli.batch.input import Input, choose_format
from gptcli.batch.output import open_path
from gptcli.batch.request import RequestBuilder
from gptcli.batch.runner import Runner
from gptcli.render.batch import BatchProgress, BatchStatus
from gptcli.types import Event, Request, TextPrompt


@dataclass
class Job:
    """A job with the defaults of a plain command."""

    source: Path
    out: Path
    engine: TinyEngine = field(default_factory=TinyEngine)
    builder: RequestBuilder = field(default_factory=lambda: RequestBuilder(Request("", TextPrompt(b""))))
    format: ResultFormat = field(default_factory=lambda: OpenAILines("tiny", 1))
    kind: str | None = None
    split: str | None = None
    encoding: str = "utf-8"
    ordered: bool = True
    overwrite: bool = False
    errors: Path | None = None
    settings: dict[str, object] = field(default_factory=dict)
    max_failures: int | None = None

    def run(self) -> BatchStatus:
        given = Input(
            (str(self.source),), self.kind or choose_format([str(self.source)]), io.BytesIO(), self.encoding, self.split
        )
        try:
            rows = given.open()
            output = open_path(
                self.out,
                self.errors,
                folder=False,
                settings=self.settings,
                ordered=self.ordered,
                overwrite=self.overwrite,
                created=1,
            )
            limit = self.max_failures
            return Runner(
                lambda: self.engine, rows, self.builder, self.format, output, BatchProgress(), max_failures=limit
            ).run()
        finally:
            given.close()


class SlowEngine(TinyEngine):
    """Pauses at every event, so that a kill finds it running."""

    pause = 0.0

    def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
        for event in super().stream(requests):
            time.sleep(self.pause)
            yield event


def main() -> None:
    arguments = sys.argv[1:]
    engine = SlowEngine(parallel=8, longest=20)
    if "--pause" in arguments:
        engine.pause = float(arguments[arguments.index("--pause") + 1])
    Job(Path(arguments[0]), Path(arguments[1]), engine, ordered="--unordered" not in arguments).run()


if __name__ == "__main__":
    main()
