"""The loop of a batch: rows become requests for the engine, and its events become results."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import KW_ONLY, InitVar, dataclass, replace
from typing import Protocol

from gptcli.batch.formats import Result, ResultFormat
from gptcli.batch.input import LiveRows
from gptcli.batch.output import Output
from gptcli.batch.row import Code, Row, RowError
from gptcli.errors import Cancelled, ContextFull, EngineError, GptcliError, InvalidRequest, RequestError, RowsFailed
from gptcli.interrupt import Interrupt
from gptcli.openai.response import Answer
from gptcli.render.batch import BatchProgress, BatchStatus
from gptcli.types import (
    ContinuationLogprobs,
    Delta,
    Engine,
    Event,
    Failed,
    Finished,
    FinishReason,
    PromptLogprobs,
    Request,
    Started,
)

PROGRESS_SECONDS = 0.1


class Builder(Protocol):
    """Makes requests of rows."""

    def build(self, row: Row) -> Request:
        """The request of `row`; its id is the row's number. Raises RequestError for a row that has none."""


@dataclass
class Runner:
    """One run over an input; `run` may be called once.

    `live`: rows may arrive while others are answered. `whole`: `rows` is the whole input, so every row that was
    answered before must be among them. `total` and `share_read` are for the progress. `max_failures`: end the run
    when more rows than that have failed in it."""

    engine: Callable[[], Engine]
    """Called when there is a row to answer, and not before."""
    rows: Iterator[Row | RowError]
    builder: Builder
    format: ResultFormat
    output: Output
    progress: BatchProgress
    _: KW_ONLY
    live: InitVar[bool] = False
    whole: bool = True
    total: InitVar[int | None] = None
    share_read: Callable[[], float | None] = lambda: None
    max_failures: int | None = None

    def __post_init__(self, live: bool, total: int | None) -> None:
        self._live = LiveRows(self.rows) if live else None
        self.interrupt = Interrupt()
        """Stops the run between rows; `engine` may replace it with that of the engine."""
        self._active: dict[str, tuple[Row, Request, Answer]] = {}
        self._started: set[str] = set()
        """Those of them that are being computed; the others wait for their turn."""
        self._input_ended = self._cancelled = False
        self._error: GptcliError | None = None
        self._updated = 0.0
        self.status = BatchStatus(total=total)

    def run(self) -> BatchStatus:
        """Answer every row that has no answer and close the output.

        Raises Cancelled after Ctrl-C, RowsFailed after too many failures, and the errors of reading and writing. Rows
        that fail are counted, not raised. Every row that was answered is kept, whatever is raised."""
        try:
            with closing(self.output):
                self.output.start(self.format.header())
                self._answer_all()
                if self._input_ended and self.whole and not self._cancelled and self._error is None:
                    self.output.check_end()
        except KeyboardInterrupt:
            self._cancelled = True
        finally:
            self._update()
            self.progress.finish(self.status)
        if self._error is not None:
            raise self._error
        if self._cancelled:
            raise Cancelled(
                f"Stopped after {self.status.finished:,} rows; they are kept.",
                "Run the same command again to continue.",
            )
        return self.status

    def _answer_all(self) -> None:
        requests = self._requests()
        first = next(requests, None)
        if first is None:
            return
        engine = self.engine()
        pulled = itertools.chain([first], requests)
        while not self._input_ended or self._active:
            with closing(engine.stream(pulled)) as events:
                for event in events:
                    self._handle(event)
                    if isinstance(self._error, RowsFailed):
                        return
            if self._cancelled or self.interrupt.requested or self._error is not None:
                return
            if self._active:
                raise EngineError(f"The engine did not finish {len(self._active)} rows.", "Run the same command again.")

    def _requests(self) -> Iterator[Request | None]:
        """Requests for the rows that have no answer, or None when no row has arrived; bad rows fail on the way."""
        while self._error is None:
            if self.interrupt.requested:
                self._cancelled = True
                break
            try:
                row = self._next_row()
            except StopIteration:
                break
            except GptcliError as error:  # the input broke: finish the rows that are running
                self._error = error
                break
            if row is None:
                yield None
            elif (request := self._request(row)) is not None:
                yield request
        self._input_ended = True

    def _next_row(self) -> Row | RowError | None:
        if self._live is None:
            return next(self.rows)
        return self._live.take(lambda: not self._active and not self.interrupt.requested)

    def _request(self, row: Row | RowError) -> Request | None:
        """The request of a row; None if the row is done or cannot be answered."""
        if self.output.is_done(row):
            self.status.resumed += 1
        elif isinstance(row, RowError):
            self._fail(row, row.code, row.message)
        else:
            try:
                request = replace(self.builder.build(row), stream=False)
                self.format.check(request)
                self._active[request.id] = (row, request, Answer(request.n))
                return request
            except RequestError as error:
                self._fail(row, _code(error), error.message)
        return None

    def _handle(self, event: Event) -> None:
        if isinstance(event, Started):
            self._started.add(event.id)
        elif isinstance(event, Delta):
            _, _, answer = self._active[event.id]
            answer.delta(event)
        elif isinstance(event, ContinuationLogprobs):
            _, _, answer = self._active[event.id]
            answer.continuations[event.index] = event.tokens
        elif isinstance(event, PromptLogprobs):
            _, _, answer = self._active[event.id]
            answer.prompt += event.tokens
        elif isinstance(event, Finished):
            self._finish(event)
        elif isinstance(event, Failed):
            row, _, _ = self._active.pop(event.id)
            self._started.discard(event.id)
            if isinstance(error := event.error, Cancelled):
                self._cancelled = True
            else:
                self._fail(row, _code(error), f"{error.message} {error.hint}".strip())

    def _finish(self, event: Finished) -> None:
        """Write the answer when its last sample has ended; a cancelled one is dropped, to be computed another time."""
        row, request, answer = self._active[event.id]
        if event.reason is FinishReason.CANCELLED:
            self._cancelled = True
        if not answer.finished(event):
            return
        del self._active[event.id]
        self._started.discard(event.id)
        if any(end.reason is FinishReason.CANCELLED for end in answer.ends):
            return
        self.status.prompt_tokens += event.prompt_tokens
        self.status.reused_tokens += event.reused_tokens
        self.status.tokens += sum(end.completion_tokens for end in answer.ends)
        try:
            result = self.format.answer(row, request, answer)
        except EngineError as error:  # what the model computed makes no sense
            self._fail(row, Code.ENGINE_ERROR, error.message)
        else:
            self._put(row, result, failed=False)

    def _fail(self, row: Row | RowError, code: Code, message: str) -> None:
        self.status.reasons[code.value] += 1
        self._put(row, self.format.error(row, code, message), failed=True)
        failed = self.status.failed
        if self.max_failures is not None and failed > self.max_failures:
            self._error = RowsFailed(
                f"{failed:,} rows failed, the last one on line {row.line}: {message}",
                "See the error lines. The same command with a larger --max-failures continues.",
            )

    def _put(self, row: Row | RowError, result: Result, *, failed: bool) -> None:
        self.output.put(row, result, failed=failed)
        self.status.done += 1
        self.status.failed += failed
        if time.monotonic() - self._updated >= PROGRESS_SECONDS:
            self._update()

    def _update(self) -> None:
        now = time.monotonic()
        self._updated = now
        status = self.status
        status.seconds = now - status.began
        status.active = len(self._started)
        status.failed_ever = self.output.failed
        if status.total:
            status.share = status.finished / status.total
        elif (read := self.share_read()) is not None:
            status.share = read * status.finished / max(1, status.finished + len(self._active))
        self.progress.update(status)


def _code(error: GptcliError) -> Code:
    if isinstance(error, ContextFull):
        return Code.CONTEXT_LENGTH_EXCEEDED
    if isinstance(error, InvalidRequest):
        return Code(error.code)
    return Code.UNSUPPORTED if isinstance(error, RequestError) else Code.ENGINE_ERROR
