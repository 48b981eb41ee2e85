"""The lines of a stream for which something is true, in order, each as soon as it and those before it are judged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from gptcli.batch.source import LIMIT, Record
from gptcli.classify.judge import Judge
from gptcli.errors import EngineError, GptcliError, RequestError
from gptcli.types import ContinuationLogprobs, Event, Failed, Finished, FinishReason, Request, TokenInfo


@dataclass(slots=True)
class JudgedLine:
    """A line and the probability that the criterion holds for it; without one, why it could not be judged."""

    line: int
    data: bytes
    """The line as it came, with its line end."""
    probability: float | None = None
    error: GptcliError | None = None


Take = Callable[[bool], Record | None]
"""Gives the next line of an input, and raises StopIteration at its end. Called with True it may wait for one to come;
with False it gives None if none has come."""


def judge_lines(judge: Judge, take: Take) -> Generator[JudgedLine, None, None]:
    """Judge the lines of an input, in order. Closing the generator drops what runs.

    A blank line says nothing, so nothing is true of it. Raises UsageError, and the errors of loading the engine."""
    jobs = _Jobs(judge, take)
    while not jobs.ended:
        requests = jobs.requests()
        first = next(requests, None)
        if first is not None:  # the engine is loaded for the first line that needs it
            with closing(judge.engine.stream(itertools.chain([first], requests))) as events:
                for event in events:
                    if isinstance(event, Finished) and event.reason is FinishReason.CANCELLED:
                        return
                    jobs.handle(event)
                    yield from jobs.ready()
        yield from jobs.ready()


class _Jobs:
    """Lines that are judged or wait for the ones before them."""

    def __init__(self, judge: Judge, take: Take) -> None:
        self._judge = judge
        self._take = take
        self._waiting: dict[str, JudgedLine] = {}
        """In order; a line is ready when it has a probability or an error."""
        self._scores: dict[str, dict[int, list[TokenInfo]]] = {}
        self.ended = False

    def requests(self) -> Iterator[Request | None]:
        """A request for each line that must be judged; it stops where lines are ready and nothing runs, so that they
        need not wait for the next line to come."""
        while self._scores or not self._waiting:
            try:
                record = self._take(not self._scores)
            except StopIteration:
                self.ended = True
                return
            if record is None:
                yield None
            elif (request := self._request(record)) is not None:
                yield request

    def _request(self, record: Record) -> Request | None:
        id, line = str(record.line), JudgedLine(record.line, record.data)
        self._waiting[id] = line
        if not record.data.strip():
            line.probability = 0.0
        elif not record.whole:
            line.error = RequestError(f"the line is longer than {LIMIT >> 20} MiB.")
        else:
            self._judge.prepare()
            try:
                request = self._judge.request(id, record.data.decode("utf-8", "replace").strip())
            except RequestError as error:
                line.error = error
            else:
                self._scores[id] = {}
                return request
        return None

    def handle(self, event: Event) -> None:
        if isinstance(event, ContinuationLogprobs):
            self._scores[event.id][event.index] = event.tokens
        elif isinstance(event, Failed):
            del self._scores[event.id]
            self._waiting[event.id].error = event.error
        elif isinstance(event, Finished):
            self._finish(event.id)

    def _finish(self, id: str) -> None:
        try:
            probabilities = self._judge.predict(self._scores.pop(id)).probabilities
            self._waiting[id].probability = next(iter(probabilities.values()))
        except EngineError as error:
            self._waiting[id].error = error

    def ready(self) -> Iterator[JudgedLine]:
        """The lines whose turn it is."""
        while self._waiting:
            id, line = next(iter(self._waiting.items()))
            if line.probability is None and line.error is None:
                return
            del self._waiting[id]
            yield line
