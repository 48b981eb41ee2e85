"""The engine's thread and the event loop hand requests and events to each other."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
from fake_backend import FakeBackend
from fake_chat import endless
from fake_engine import load_fake

from gptcli.params import Sampling
from gptcli.runtime.loaded import LoadedEngine
from gptcli.server.engine_thread import EngineThread
from gptcli.types import Delta, Finished, Request, TextPrompt


class Ended:
    """Knows when a sample has ended in the engine's thread, delivered or not."""

    def __init__(self) -> None:
        self.sample = threading.Event()

    def first_text(self, seconds: float) -> None:
        pass

    def finished(self, event: Finished) -> None:
        self.sample.set()

    def ended(self, seconds: float, *, failed: bool) -> None:
        pass


@contextlib.contextmanager
def open_engine(before_step: Callable[[], None]) -> Iterator[LoadedEngine]:
    yield load_fake(FakeBackend(endless), before_step)


def test_a_busy_event_loop_is_woken_once_for_the_events_of_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer() -> tuple[int, int]:
        ended = Ended()
        thread = EngineThread(open_engine, queue_size=4, observer=ended)
        await thread.loaded()
        loop = asyncio.get_running_loop()
        wakers: list[str] = []
        wake = loop.call_soon_threadsafe
        monkeypatch.setattr(
            loop, "call_soon_threadsafe", lambda *args: wakers.append(threading.current_thread().name) or wake(*args)
        )
        request = Request("0", TextPrompt(b"Hello"), Sampling(seed=1), max_tokens=50)
        async with await thread.submit([request]) as stream:
            assert ended.sample.wait(10)  # the loop is busy with this line
            woken = sum(name.startswith("engine") for name in wakers)
            deltas = [event async for events in stream for event in events if isinstance(event, Delta)]
        await thread.close()
        return woken, sum(len(delta.text) for delta in deltas)

    assert asyncio.run(answer()) == (1, 50)
