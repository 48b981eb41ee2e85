"""The cost of reading and writing in a real batch: `batch_overhead.py MODEL THREADS PARALLEL TOKENS INPUT`.

Prints one JSON line: the seconds of the whole run, from reading the first row to writing the last, and the seconds
spent in the engine.
"""

import io
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from gptcli.batch.formats import OpenAILines
from gptcli.batch.input import Input
from gptcli.batch.output import open_path
from gptcli.batch.request import RequestBuilder
from gptcli.batch.runner import Runner
from gptcli.engine.engine import LocalEngine
from gptcli.interrupt import Interrupt
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.devices import Offload
from gptcli.llama.model import Model
from gptcli.params import Sampling
from gptcli.render.batch import BatchProgress
from gptcli.types import Event, Request, TextPrompt


class Timed:
    """Times an engine, without the time it spends fetching its next request."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self.seconds = 0.0

    def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
        events = self._engine.stream(self._untimed(iter(requests)))
        while True:
            self.seconds -= time.perf_counter()
            event = next(events, None)
            self.seconds += time.perf_counter()
            if event is None:
                return
            yield event

    def _untimed(self, requests: Iterator[Request]) -> Iterator[Request]:
        while True:
            self.seconds += time.perf_counter()
            request = next(requests, None)
            self.seconds -= time.perf_counter()
            if request is None:
                return
            yield request


def main() -> None:
    threads, parallel, tokens = map(int, sys.argv[2:5])
    given = Input((sys.argv[5],), "jsonl", io.BytesIO())
    base = Request("", TextPrompt(b""), Sampling(temperature=0, seed=1), max_tokens=tokens, ignore_eos=True)
    interrupt = Interrupt()
    with (
        LlamaBackend(Model.load(Path(sys.argv[1]), Offload((), 0)), (threads, threads), interrupt) as backend,
        tempfile.TemporaryDirectory() as folder,
    ):
        engine = Timed(LocalEngine(backend, parallel=parallel, interrupt=interrupt))
        started = time.perf_counter()
        out = Path(folder, "out")
        output = open_path(out, None, folder=False, settings={}, ordered=True, overwrite=False, created=1)
        Runner(lambda: engine, given.open(), RequestBuilder(base), OpenAILines("m", 1), output, BatchProgress()).run()
        seconds = time.perf_counter() - started
        given.close()
    print(json.dumps({"seconds": seconds, "engine": engine.seconds}))


main()
