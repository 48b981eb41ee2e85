"""The loop of a batch: rows in, requests to the engine, its events back, results out.

It knows the order of things; formats, files and how anything is computed are the parts' business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol, cast

from gptcli.batch.answer import Answer
from gptcli.batch.formats import ResultFormat
from gptcli.batch.live import LiveRows
from gptcli.batch.output import Output
from gptcli.batch.request import RequestBuilder
from gptcli.batch.row import Code, Refusal, Row, RowError
from gptcli.errors import Cancelled, ContextFull, EngineError, GptcliError, RequestError, RowsFailed
from gptcli.interrupt import Interrupt
from gptcli.render.batch import BatchProgress, BatchStatus
from gptcli.types import Delta, Event, Failed, Finished, FinishReason, Request

PROGRESS_SECONDS = 0.1


class Engine(Protocol):
    def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
        """As `gptcli.engine.engine.Engine.stream`.

        An iterator of requests may give None while others run: nothing has come yet, ask again after the next step.
        """
        ...


@dataclass(slots=True)
class _Active:
    row: Row
    request: Request
    answer: Answer


class Runner:
    """One run over an input; `run` may be called once."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        rows: Iterator[Row | RowError],
        asking: RequestBuilder,
        format: ResultFormat,
        output: Output,
        progress: BatchProgress,
        *,
        live: bool = False,
        whole: bool = True,
        total: int | None = None,
        share: Callable[[], float | None] = lambda: None,
        max_failures: int | None = None,
    ) -> None:
        """`engine` is called when there is a row to answer, and not before.

        `live`: rows may come while others are answered. `whole`: `rows` are all of the input, so that every row
        answered before must be among them. `total` and `share`: for the progress only. `max_failures`: end the run
        when more rows than that have failed in it.
        """
        self._engine = engine
        self._rows = rows
        self._live = LiveRows(rows) if live else None
        self._asking = replace(asking, base=replace(asking.base, stream=False))
        self._format = format
        self._output = output
        self._progress = progress
        self._whole = whole
        self._share = share
        self._max_failures = max_failures
        self.interrupt = Interrupt()
        """What stops the run between rows; whoever makes the engine may put that of the engine here."""
        self._active: dict[str, _Active] = {}
        self._ended = self._cancelled = False
        self._stop: GptcliError | None = None
        self._shown = 0.0
        self.status = BatchStatus(total=total)

    def run(self) -> BatchStatus:
        """Answer every row that has no answer yet and close the output.

        Raises Cancelled after Ctrl-C, RowsFailed after too many failures, and what reading or writing raises; rows
        that fail are counted, not raised. Every row that was answered is kept, whatever is raised.
        """
        try:
            with closing(self._output):
                self._output.begin(self._format.header())
                self._answer_all()
                if self._ended and self._whole and not self._cancelled and self._stop is None:
                    self._output.check_end()
        except KeyboardInterrupt:
            self._cancelled = True
        finally:
            self._update()
            self._progress.finish(self.status)
        if self._stop is not None:
            raise self._stop
        if self._cancelled:
            raise Cancelled(
                f"Stopped after {self.status.done:,} rows; they are kept.", "The same command goes on from there."
            )
        return self.status

    def _answer_all(self) -> None:
        requests = self._requests()
        first = next(requests, None)
        if first is None:
            return
        engine = self._engine()
        pulled = _chain(first, requests)
        while not self._ended or self._active:
            stream = cast("Generator[Event, None, None]", engine.stream(pulled))
            with closing(stream) as events:
                for event in events:
                    self._take_up(event)
                    if self._stop is not None and self._stop.exit_code == RowsFailed.exit_code:
                        return
            if self._cancelled or self.interrupt.requested or self._stop is not None:
                return
            if self._active:
                raise EngineError(f"{len(self._active)} rows were left without an end.", "Run the same command again.")

    def _requests(self) -> Iterator[Request]:
        """The rows that are to be asked; bad ones get their error on the way."""
        while self._stop is None:
            if self.interrupt.requested:
                self._cancelled = True
                break
            try:
                row = self._next_row()
            except StopIteration:
                break
            except GptcliError as error:  # the input broke: what runs is finished first
                self._stop = error
                break
            if row is None:
                yield cast(Request, None)
            elif (request := self._ask(row)) is not None:
                yield request
        self._ended = True

    def _next_row(self) -> Row | RowError | None:
        if self._live is None:
            return next(self._rows)
        return self._live.take(lambda: not self._active and not self.interrupt.requested)

    def _ask(self, row: Row | RowError) -> Request | None:
        if self._output.has(row):
            self.status.resumed += 1
            return None
        if isinstance(row, RowError):
            self._fail(row, row.code, row.message)
            return None
        try:
            request = self._asking.request(row)
            self._format.check(request)
        except Refusal as refusal:
            self._fail(row, refusal.code, refusal.message)
            return None
        self._active[request.id] = _Active(row, request, Answer(request.n))
        return request

    def _take_up(self, event: Event) -> None:
        if isinstance(event, Delta):
            self._active[event.id].answer.delta(event)
        elif isinstance(event, Finished):
            self._finish(event)
        elif isinstance(event, Failed):
            active = self._active.pop(event.id)
            if isinstance(event.error, Cancelled):
                self._cancelled = True
                return
            error = event.error
            self._fail(active.row, _code(error), f"{error.message} {error.hint}".strip())

    def _finish(self, event: Finished) -> None:
        """A row that was cancelled is no answer: it is not written, and asked again another time."""
        active = self._active[event.id]
        if event.reason is FinishReason.CANCELLED:
            self._cancelled = True
        if not active.answer.finished(event):
            return
        del self._active[event.id]
        if any(sample.end.reason is FinishReason.CANCELLED for sample in active.answer.samples):
            return
        result = self._format.answer(active.row, active.request, active.answer)
        self._output.put(active.row, result, failed=False)
        status = self.status
        status.done += 1
        status.prompt_tokens += active.answer.prompt_tokens
        status.reused_tokens += event.reused_tokens
        status.tokens += active.answer.completion_tokens
        self._update(sometimes=True)

    def _fail(self, row: Row | RowError, code: Code, message: str) -> None:
        self._output.put(row, self._format.error(row, code, message), failed=True)
        status = self.status
        status.done += 1
        status.failed += 1
        if self._max_failures is not None and status.failed > self._max_failures:
            self._stop = RowsFailed(
                f"{status.failed:,} rows failed, the last one on line {row.line}: {message}",
                "Look at the error lines; the same command with a larger --max-failures goes on.",
            )
        self._update(sometimes=True)

    def _update(self, *, sometimes: bool = False) -> None:
        now = time.monotonic()
        if sometimes and now - self._shown < PROGRESS_SECONDS:
            return
        self._shown = now
        status = self.status
        status.seconds = now - status.began
        status.active = len(self._active)
        status.failed_ever = self._output.failed
        known = status.done + status.resumed
        if status.total:
            status.share = known / status.total
        elif (read := self._share()) is not None:
            status.share = read * known / max(1, known + status.active)
        self._progress.update(status)


def _chain(first: Request, rest: Iterator[Request]) -> Iterator[Request]:
    yield first
    yield from rest


def _code(error: GptcliError) -> Code:
    if isinstance(error, ContextFull):
        return Code.CONTEXT_LENGTH_EXCEEDED
    return Code.UNSUPPORTED if isinstance(error, RequestError) else Code.ENGINE_ERROR
