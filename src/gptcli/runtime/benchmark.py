"""Measures how fast a model runs here: with different numbers of threads, in several formats, and for rows at once."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gptcli.engine.engine import LocalEngine
from gptcli.errors import Cancelled, UsageError
from gptcli.interrupt import Interrupt
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.devices import physical_cores, usable_processors
from gptcli.llama.model import Model
from gptcli.llama.quantize import quantize
from gptcli.llama.speed import SpeedTest, random_tokens
from gptcli.models.gguf import quantization
from gptcli.models.gguf.header import read_header
from gptcli.models.resolve import ModelFile
from gptcli.models.store.summary import Summary, summarize
from gptcli.params import Sampling
from gptcli.runtime import EngineOptions
from gptcli.runtime.local import LocalLoader, engine_cores
from gptcli.types import Failed, Finished, Request, TokenPrompt

ENOUGH = 0.97
"""The fewest threads that reach this part of the best rate are recommended: measurements differ by that much."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One test, with the time of each repetition. A test is of a prompt or of generated tokens."""

    model: str
    summary: Summary
    size: int
    """Bytes of the model's file."""
    device: str
    threads: int
    prompt_tokens: int
    generated_tokens: int
    """Of each row."""
    rows: int
    seconds: tuple[float, ...]

    @property
    def rates(self) -> list[float]:
        """Tokens per second, of all rows together, in each repetition."""
        return [(self.prompt_tokens or self.generated_tokens) * self.rows / seconds for seconds in self.seconds]

    @property
    def rate(self) -> float:
        """The mean of the rates."""
        return statistics.fmean(self.rates)

    @property
    def deviation(self) -> float:
        """The standard deviation of the rates."""
        return statistics.stdev(self.rates) if len(self.seconds) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Tokens of each test, and how often it is repeated."""

    prompt_tokens: int = 512
    generated_tokens: int = 128
    repetitions: int = 3


class ModelBenchmark:
    """The tests of one loaded model, until `close`."""

    def __init__(self, name: str, path: Path, model: Model, workload: Workload) -> None:
        self.name = name
        self._path = path
        self._model = model
        self._workload = workload
        self._interrupt = Interrupt()

    @classmethod
    def load(
        cls, file: ModelFile, options: EngineOptions, notify: Callable[[str], None], workload: Workload
    ) -> ModelBenchmark:
        """Check a model and load it into this process. Raises LoadError."""
        model = LocalLoader(file, options, notify).load()
        return cls(file.name, file.path, model, workload)

    @property
    def is_cpu(self) -> bool:
        """Whether the whole model runs on the CPU."""
        return self._model.offload.is_cpu

    def prompt(self, threads: int) -> Speed:
        """The rate of a prompt. Raises OutOfMemory, Cancelled."""
        tokens = self._workload.prompt_tokens
        test = SpeedTest(self._model, threads, self._interrupt)
        with self._interrupt.watch():
            times = test.prompt_seconds(tokens, self._workload.repetitions)
        return self._speed(threads, times, prompt=tokens)

    def decode(self, threads: int) -> Speed:
        """The rate of decoding one text. Raises OutOfMemory, Cancelled."""
        tokens = self._workload.generated_tokens
        test = SpeedTest(self._model, threads, self._interrupt)
        with self._interrupt.watch():
            times = test.decode_seconds(tokens, self._workload.repetitions)
        return self._speed(threads, times, generated=tokens)

    def many(self, threads: int, rows: int) -> Speed:
        """The rate of so many rows at once, computed as `gptcli batch` computes them. Raises LoadError, Cancelled.

        Each row has a prompt of one token, so nearly all of the time is decoding (llama-batched-bench's S_TG)."""
        tokens = self._workload.generated_tokens
        prompts = [TokenPrompt((token,)) for token in random_tokens(self._model, rows)]
        requests = [
            Request(str(row), prompt, Sampling(temperature=0), max_tokens=tokens, ignore_eos=True)
            for row, prompt in enumerate(prompts)
        ]
        backend = LlamaBackend(self._model, (threads, threads), self._interrupt)
        times = []
        with self._interrupt.watch(), contextlib.ExitStack() as stack:  # `backend` itself would close the model
            cores = engine_cores(self._model.offload, rows, threads)
            replicas = [stack.enter_context(backend.replica()) for _ in range(cores)]
            first, *others = replicas
            engine = LocalEngine(
                first, replicas=others, context=tokens + 1, parallel=rows, interrupt=self._interrupt, reuse=False
            )
            for _ in range(self._workload.repetitions + 1):
                started = time.perf_counter()
                self._run(engine, requests)
                times.append(time.perf_counter() - started)
        return self._speed(threads, times[1:], generated=tokens, rows=rows)

    def _run(self, engine: LocalEngine, requests: list[Request]) -> None:
        ends = 0
        for event in engine.stream(requests):
            if isinstance(event, Failed):
                raise event.error
            ends += isinstance(event, Finished)
        if self._interrupt.requested or ends < len(requests):
            raise Cancelled("stopped")

    def _speed(
        self, threads: int, seconds: Sequence[float], *, prompt: int = 0, generated: int = 0, rows: int = 1
    ) -> Speed:
        return Speed(
            model=self.name,
            summary=summarize(self._path),
            size=self._path.stat().st_size,
            device=self._model.offload.description,
            threads=threads,
            prompt_tokens=prompt,
            generated_tokens=generated,
            rows=rows,
            seconds=tuple(seconds),
        )

    def close(self) -> None:
        self._model.close()


def threads_to_try() -> list[int]:
    """One, two, four and so on up to the usable processors, and the number of physical cores."""
    most = usable_processors()
    powers = {1 << power for power in range(most.bit_length())}
    return sorted({number for number in powers if number <= most} | {physical_cores(), most})


def recommend(speeds: Sequence[Speed]) -> int:
    """The fewest threads whose rate is within three percent of the best. `speeds` is not empty."""
    best = max(speed.rate for speed in speeds)
    return min(speed.threads for speed in speeds if speed.rate >= ENOUGH * best)


def check_formats(names: Sequence[str]) -> list[str]:
    """The formats as llama.cpp spells them. Raises UsageError for one that does not exist."""
    found = []
    for name in names:
        number = quantization.file_type(name)
        if number is None:
            known = ", ".join(quantization.FILE_TYPES.values())
            raise UsageError(f"{name!r} is not a quantization.", f"Available: {known}.")
        found.append(quantization.FILE_TYPES[number])
    return found


@contextlib.contextmanager
def in_formats(source: ModelFile, formats: Sequence[str], notify: Callable[[str], None]) -> Iterator[list[ModelFile]]:
    """Copies of a model in other formats, until the block ends; its own format is the file itself.

    They are made from a file that may be quantized already, so their quality is worse than it need be; their speed is
    the same. Raises LoadError."""
    own = read_header(source.path).quantization
    with TemporaryDirectory(prefix="gptcli-bench-") as folder:
        files = []
        for name in formats:
            path = source.path if name == own else Path(folder, f"{name}.gguf")
            if name != own:
                notify(f"Making a temporary copy in {name}.")
                number = quantization.file_type(name)
                assert number is not None, "check_formats comes first"
                quantize(source.path, path, number, requantize=True)
            files.append(replace(source, name=name, path=path, trusted=name == own and source.trusted))
        yield files
