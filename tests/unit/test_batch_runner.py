"""Rows in, results out: bad rows are isolated, failures counted, and whatever ends the run keeps what was done."""

from __future__ import annotations

import io
import json
import os
import resource
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from batch_engine import TinyEngine, prompt_bytes
from batch_job import Job
from fake_backend import FakeBackend

from gptcli.batch.formats import Files, SimpleLines
from gptcli.batch.input import Input
from gptcli.batch.output import open_path, open_stream
from gptcli.batch.request import RequestBuilder
from gptcli.batch.row import Row, RowError
from gptcli.batch.runner import Runner
from gptcli.engine.engine import LocalEngine
from gptcli.errors import Cancelled, EngineError, GptcliError, RowsFailed
from gptcli.interrupt import Interrupt
from gptcli.params import Sampling
from gptcli.render.batch import BatchProgress
from gptcli.types import Event, Failed, Finished, FinishReason, Request, TextPrompt


def builder() -> RequestBuilder:
    return RequestBuilder(Request("", TextPrompt(b""), Sampling(seed=7), max_tokens=4))


def rows(*prompts: str) -> Iterator[Row | RowError]:
    return (Row(number, number + 1, 0, {"prompt": prompt}) for number, prompt in enumerate(prompts))


def lines(data: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in data.splitlines()]


def streamed(engine: object, given: Iterator[Row | RowError], **options: object) -> tuple[Runner, io.BytesIO]:
    stdout = io.BytesIO()
    output = open_stream(stdout, None, ordered=True, overwrite=False, created=1)
    return Runner(lambda: engine, given, builder(), SimpleLines(), output, BatchProgress(), **options), stdout  # type: ignore[arg-type]


def test_the_real_engine_answers_rows_as_alone() -> None:
    prompts = [f"row number {number}" for number in range(20)]
    runner, stdout = streamed(LocalEngine(FakeBackend(), parallel=5), rows(*prompts))
    status = runner.run()
    alone = []
    for prompt in prompts:
        single, out = streamed(LocalEngine(FakeBackend(), parallel=1), rows(prompt))
        single.run()
        alone += [line["text"] for line in lines(out.getvalue())]
    together = lines(stdout.getvalue())
    assert status.done == 20
    assert [line["id"] for line in together] == [f"line-{number + 1}" for number in range(20)]
    assert [line["text"] for line in together] == alone
    assert len(set(alone)) > 1


def test_the_real_engine_takes_rows_as_they_arrive() -> None:
    read, write = os.pipe()
    answered = threading.Event()

    class Stdout(io.BytesIO):
        def flush(self) -> None:
            answered.set()

    def type_slowly() -> None:
        with open(write, "wb", buffering=0) as pipe:
            pipe.write(b'{"prompt": "first"}\n')
            assert answered.wait(20), "the first row was not answered while the pipe was open"
            pipe.write(b'{"prompt": "second"}\n')

    writer = threading.Thread(target=type_slowly)
    writer.start()
    with open(read, "rb") as stdin:
        given = Input(("-",), "jsonl", stdin)
        coming = given.open()
        assert given.live
        stdout = Stdout()
        output = open_stream(stdout, None, ordered=True, overwrite=False, created=1)
        engine = LocalEngine(FakeBackend(), parallel=4)
        status = Runner(lambda: engine, coming, builder(), SimpleLines(), output, BatchProgress(), live=True).run()
    writer.join()
    given._source.stream.close()  # type: ignore[union-attr]
    assert status.done == 2
    assert len(lines(stdout.getvalue())) == 2


def test_a_slow_pipe_does_not_hold_up_what_runs(tmp_path: Path) -> None:
    """While one row runs the engine is told that nothing has come, and goes on; the next one comes later."""
    gate = threading.Event()

    def coming() -> Iterator[Row | RowError]:
        yield Row(0, 1, 0, {"prompt": "first"})
        gate.wait(20)
        yield Row(1, 2, 0, {"prompt": "second"})

    class Opens(TinyEngine):
        def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
            for event in super().stream(requests):
                yield event
                if isinstance(event, Finished) and event.id == "0":
                    gate.set()

    runner, _stdout = streamed(Opens(4, 3), coming(), live=True)
    assert runner.run().done == 2


def test_bad_rows_are_isolated_and_counted(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text('{"prompt": "a"}\nbad\n{"prompt": 7}\n{"prompt": "%s"}\n{"prompt": "b"}' % ("x" * 200_000))
    status = Job(source, out).run()
    assert (status.done, status.failed, status.failed_ever) == (5, 3, 3)
    codes = [line["error"] and line["error"]["code"] for line in lines(out.read_bytes())]  # type: ignore[index]
    assert codes == [None, "invalid_json", "invalid_request", "context_length_exceeded", None]
    assert Job(source, out).run().failed_ever == 3


def test_too_many_failures_end_the_run_and_it_goes_on_later(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text("".join('{"prompt": "x"}\nbad\n' for _ in range(20)))
    with pytest.raises(RowsFailed, match="4 rows failed, the last one on line 8"):
        Job(source, out, max_failures=3).run()
    status = Job(source, out).run()
    assert status.resumed >= 4
    assert status.failed_ever == 20
    assert len(lines(out.read_bytes())) == 40


def test_an_input_that_breaks_lets_running_rows_end(tmp_path: Path) -> None:
    def breaking() -> Iterator[Row | RowError]:
        yield from rows("a", "b", "c")
        raise GptcliError("the input broke.")

    runner, stdout = streamed(TinyEngine(4, 9), breaking())
    with pytest.raises(GptcliError, match="the input broke"):
        runner.run()
    assert len(lines(stdout.getvalue())) == 3


def test_an_engine_that_breaks_keeps_what_was_done(tmp_path: Path) -> None:
    class Breaks(TinyEngine):
        def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
            for event in super().stream(requests):
                if event.id == "5":
                    raise EngineError("llama_decode failed twice.")
                yield event

    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text("".join(f'{{"prompt": "{n}"}}\n' for n in range(10)))
    with pytest.raises(EngineError):
        Job(source, out, Breaks(1, 1)).run()
    assert len(lines(out.read_bytes())) == 5
    assert Job(source, out).run().done == 5


def test_an_error_of_the_engine_is_one_rows_error() -> None:
    class OneFails(TinyEngine):
        def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
            for event in super().stream(requests):
                failed = event.id == "1" and isinstance(event, Finished)
                yield Failed("1", EngineError("boom.", "Do this.")) if failed else event

    runner, stdout = streamed(OneFails(4, 1), rows("a", "b", "c"))
    assert runner.run().failed == 1
    assert lines(stdout.getvalue())[1]["error"] == {"code": "engine_error", "message": "boom. Do this."}


@pytest.mark.parametrize("how", ["key", "event"])
def test_a_stop_keeps_what_was_done_and_writes_no_half_answer(tmp_path: Path, how: str) -> None:
    interrupt = Interrupt()

    class Stopped(TinyEngine):
        def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
            for event in super().stream(requests):
                if event.id == "6" and isinstance(event, Finished):
                    if how == "key":
                        raise KeyboardInterrupt
                    interrupt.request()
                    event.reason = FinishReason.CANCELLED
                    yield event
                    return
                yield event

    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text("".join(f'{{"prompt": "{n}"}}\n' for n in range(10)))
    given = Input((str(source),), "jsonl", io.BytesIO())
    output = open_path(out, None, folder=False, settings={}, ordered=True, overwrite=False, created=1)
    engine = Stopped(2, 1)
    runner = Runner(lambda: engine, given.open(), builder(), SimpleLines(), output, BatchProgress())
    runner.interrupt = interrupt
    with pytest.raises(Cancelled, match="Stopped after 6 rows"):
        runner.run()
    given.close()
    assert len(lines(out.read_bytes())) == 6


def test_a_limit_in_memory_does_not_matter_to_waiting_rows_on_a_stream() -> None:
    runner, stdout = streamed(TinyEngine(16, 40), rows(*map(str, range(200))))
    runner.run()
    assert [line["id"] for line in lines(stdout.getvalue())] == [f"line-{n + 1}" for n in range(200)]


def test_a_folder_of_prompts_becomes_a_folder_of_answers(tmp_path: Path) -> None:
    for name in ("a.txt", "b/c.txt", "bad.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff" if name == "bad.txt" else name.encode())
    out, errors = tmp_path / "out", tmp_path / "errors.jsonl"

    def run(engine: TinyEngine) -> int:
        given = Input((str(tmp_path / "in"),), "files", io.BytesIO())
        output = open_path(out, errors, folder=True, settings={}, ordered=False, overwrite=False, created=1)
        return (
            Runner(lambda: engine, given.open(), builder(), Files(separate_errors=True), output, BatchProgress())
            .run()
            .resumed
        )

    assert run(TinyEngine()) == 0
    assert (out / "a.txt").read_text().startswith("<a.txt#")
    assert (out / "b" / "c.txt").read_text().startswith("<b/c.txt#")
    assert sorted(path.name for path in out.rglob("*")) == ["a.txt", "b", "c.txt"]
    assert [line["custom_id"] for line in lines(errors.read_bytes())] == ["bad.txt"]
    engine = TinyEngine()
    assert run(engine) == 3
    assert engine.pulled == 0


def test_a_full_disk_stops_at_once_and_is_resumed(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text("".join(f'{{"prompt": "{n}"}}\n' for n in range(100)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        engine = TinyEngine(4, 1)
        with pytest.raises(GptcliError, match="No room") as caught:
            Job(source, out, engine).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "run the same command again" in caught.value.hint
    assert engine.pulled < 40
    assert out.read_bytes().endswith(b"\n")
    kept = len(lines(out.read_bytes()))
    status = Job(source, out).run()
    assert status.resumed == kept
    assert len(lines(out.read_bytes())) == 100


def test_a_full_device_is_reported() -> None:
    with open("/dev/full", "wb") as full:
        output = open_stream(full, None, ordered=True, overwrite=False, created=1)
        engine = TinyEngine()
        runner = Runner(lambda: engine, rows("a"), builder(), SimpleLines(), output, BatchProgress())
        with pytest.raises(GptcliError, match="No room"):
            runner.run()
        with pytest.raises(OSError, match="No space"):
            full.close()


def test_no_engine_is_loaded_when_there_is_no_row_to_answer(tmp_path: Path) -> None:
    output = open_stream(io.BytesIO(), None, ordered=True, overwrite=False, created=1)

    def engine() -> TinyEngine:
        raise AssertionError("made")

    assert Runner(engine, rows(), builder(), SimpleLines(), output, BatchProgress()).run().done == 0


def test_requests_are_pulled_as_there_is_room_and_rows_do_not_pile_up() -> None:
    taken = 0

    def counted() -> Iterator[Row | RowError]:
        nonlocal taken
        for row in rows(*map(str, range(500))):
            taken += 1
            yield row

    class Watches(TinyEngine):
        ahead = 0
        ended = 0

        def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
            for event in super().stream(requests):
                self.ended += isinstance(event, Finished)
                self.ahead = max(self.ahead, taken - self.ended)
                yield event

    engine = Watches(8, 5)
    runner, _ = streamed(engine, counted())
    runner.run()
    assert taken == 500
    assert engine.ahead <= 9


def test_prompts_reach_the_engine_byte_for_byte() -> None:
    engine = TinyEngine()
    engine.keep_requests = True
    runner, _ = streamed(engine, rows("naïve 漢字\n", " a "))
    runner.run()
    assert [prompt_bytes(request) for request in engine.requests] == ["naïve 漢字\n".encode(), b" a "]
    assert not any(request.stream for request in engine.requests)
