"""Who computes the steps of lanes: this thread where there is one lane, else a thread for each.

It knows threads and waiting, and nothing of what a step is.
"""

from __future__ import annotations

import queue
from types import TracebackType
from typing import TYPE_CHECKING

from gptcli.engine.backend import Decoded
from gptcli.engine.core import EngineCore
from gptcli.errors import EngineError

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor


class Executor:
    """A context manager, left only when no step is being computed."""

    def __init__(self, lanes: int) -> None:
        self.busy: list[EngineCore] = []
        """Lanes whose step was started and not yet handed back."""
        self._done: queue.SimpleQueue[tuple[EngineCore, Future[Decoded | EngineError]]] = queue.SimpleQueue()
        self._threads: ThreadPoolExecutor | None = None
        if lanes > 1:
            from concurrent.futures import ThreadPoolExecutor  # 8 ms that one lane needs not wait for

            self._threads = ThreadPoolExecutor(lanes, "lane")

    def start(self, lane: EngineCore) -> None:
        """Have the step computed that the lane has begun."""
        self.busy.append(lane)
        if self._threads is not None:
            self._threads.submit(lane.compute).add_done_callback(lambda future: self._done.put((lane, future)))

    def next(self) -> tuple[EngineCore, Decoded | EngineError]:
        """A lane whose step is done, and what came of it; waits for one."""
        if self._threads is None:
            lane = self.busy.pop()
            return lane, lane.compute()
        lane, future = self._done.get()
        self.busy.remove(lane)
        return lane, future.result()

    def rest(self) -> None:
        """Wait for the steps that are being computed; what comes of them is lost."""
        while self._threads is not None and self.busy:
            self.busy.remove(self._done.get()[0])

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._threads is not None:
            self._threads.shutdown()  # which waits
