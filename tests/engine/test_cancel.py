"""Cancelling one request: it ends within a step with the text it has, and all others are answered in full."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from answers import Answers, collect, expected
from fake_backend import END, FakeBackend

from gptcli.engine.backend import Decoded
from gptcli.engine.engine import LocalEngine
from gptcli.params import Sampling
from gptcli.prompt.template import ChatTemplate
from gptcli.types import ChatPrompt, Delta, Finished, FinishReason, Message, Request, TextPrompt

LIMIT = 200
WAIT = 20.0
"""Seconds after which a test gives up waiting for a thread."""


def make_requests(count: int, **more: object) -> list[Request]:
    fields: dict[str, object] = {"sampling": Sampling(seed=1), "max_tokens": 20, "ignore_eos": True, **more}
    return [Request(str(n), TextPrompt(f"{n} is a number".encode()), **fields) for n in range(count)]  # type: ignore[arg-type]


def cancelled_tokens(answers: Answers, request: Request) -> list[int]:
    """The number of tokens of each sample, all of which were cancelled and have the beginning of their text."""
    tokens = []
    for index in range(request.n):
        answer = answers.samples[request.id, index]
        assert answer.finished is not None
        assert answer.finished.reason is FinishReason.CANCELLED
        assert answer.text == "".join(chr(token) for token in answer.finished.tokens if token != END)
        assert expected(request, index, LIMIT)[0].startswith(answer.text)
        assert answer.finished.completion_tokens == len(answer.finished.tokens)
        tokens.append(len(answer.finished.tokens))
    return tokens


def check_complete(answers: Answers, *requests: Request) -> None:
    for request in requests:
        for index in range(request.n):
            answer = answers.samples[request.id, index]
            assert answer.finished is not None
            assert (answer.text, answer.finished.reason) == expected(request, index, LIMIT)[:2]


@dataclass
class Hooked(FakeBackend):
    """Calls `hook` during the step with the number `at`, as another thread would."""

    at: int = 0
    hook: Callable[[], None] = print
    trained_context: int = LIMIT

    def decode(self) -> Decoded:
        if self.decodes + 1 == self.at:
            self.hook()
        return super().decode()


@pytest.mark.parametrize("n", [1, 3])
def test_a_running_request_ends_within_a_step(n: int) -> None:
    backend = FakeBackend(trained_context=LIMIT, step_tokens=64)
    engine = LocalEngine(backend, parallel=3)
    requests = make_requests(3, n=n)
    answers, steps = Answers(), 0
    for event in engine.stream(requests):
        answers.take(event)
        if not steps and event.id == "1" and isinstance(event, Delta) and len(answers.samples["1", 0].text) == 5:
            engine.cancel("1")
            steps = backend.decodes
        if isinstance(event, Finished) and event.id == "1":
            assert backend.decodes == steps
    assert len(set(cancelled_tokens(answers, requests[1]))) == 1  # all samples ended in the same step
    check_complete(answers, requests[0], requests[2])
    assert all(sampler.closed for sampler in backend.samplers)


@pytest.mark.parametrize("stream", [True, False])
def test_all_text_and_tokens_so_far_are_delivered(stream: bool) -> None:
    backend = Hooked(at=9)
    engine = LocalEngine(backend)
    backend.hook = lambda: engine.cancel("0")
    requests = make_requests(2, stream=stream, logprobs=0)
    answers = collect(engine.stream(requests))
    assert cancelled_tokens(answers, requests[0]) == [9]
    assert len(answers.samples["0", 0].tokens) == 9
    check_complete(answers, requests[1])


def test_an_answer_can_be_resumed_after_it_was_cancelled() -> None:
    template = ChatTemplate("{{ messages[0].content }}")
    prompt = ChatPrompt((Message("user", "Say letters"),))
    sampling = Sampling(seed=1)
    (whole,) = collect(
        LocalEngine(FakeBackend(), template=template).stream(
            [Request("0", prompt, sampling, max_tokens=20, ignore_eos=True)]
        )
    ).samples.values()
    backend = Hooked(at=6)
    engine = LocalEngine(backend, template=template)
    backend.hook = lambda: engine.cancel("0")
    first = collect(engine.stream([Request("0", prompt, sampling, ignore_eos=True)])).samples["0", 0]
    assert first.finished is not None
    resumed = ChatPrompt(prompt.messages, answer_tokens=first.finished.tokens)
    request = Request("1", resumed, sampling, 20 - len(first.finished.tokens), ignore_eos=True)
    second = collect(engine.stream([request])).samples["1", 0]
    assert first.text + second.text == whole.text


def test_a_waiting_request_ends_without_being_computed() -> None:
    # Both prompts begin alike, so the second waits until the first has computed that.
    backend = Hooked(at=2, step_tokens=16)
    engine = LocalEngine(backend, parallel=2)
    backend.hook = lambda: engine.cancel("1")
    requests = [
        Request(name, TextPrompt(b"p" * 100 + name.encode()), Sampling(seed=1), max_tokens=5, ignore_eos=True)
        for name in "012"
    ]
    answers = collect(engine.stream(requests))
    assert "1" not in answers.started
    assert cancelled_tokens(answers, requests[1]) == [0]
    check_complete(answers, requests[0], requests[2])
    assert backend.computed < 101 + 40 + 2 * 5
    assert all(sampler.closed for sampler in backend.samplers)


def test_a_preempted_request_keeps_its_text() -> None:
    backend = FakeBackend(capacity=140, trained_context=140, step_tokens=64, cpu_threads=0)
    engine = LocalEngine(backend, parallel=2)
    requests = [
        Request(name, TextPrompt(b"p" * 40 + name.encode()), Sampling(seed=1), max_tokens=80, ignore_eos=True)
        for name in "01"
    ]
    answers = Answers()
    lengths = {"0": 0, "1": 0}
    for event in engine.stream(requests):
        answers.take(event)
        if isinstance(event, Delta):
            lengths[event.id] += 1
            if lengths["0"] == lengths["1"] + 10:  # it is no longer decoded beside the other one
                engine.cancel("1")
    assert cancelled_tokens(answers, requests[1])[0] > 10
    assert answers.samples["0", 0].text == expected(requests[0], 0, 140)[0]


def test_a_request_that_was_pulled_but_not_yet_queued_ends() -> None:
    backends = [FakeBackend(trained_context=LIMIT) for _ in range(2)]
    engine = LocalEngine(backends[0], replicas=backends[1:], parallel=4)
    requests = make_requests(4)

    def incoming() -> Iterator[Request]:
        yield from requests[:2]
        engine.cancel("1")  # pulled, and kept until the requests are spread over the cores
        yield from requests[2:]

    answers = collect(engine.stream(incoming()))
    assert "1" not in answers.started
    assert cancelled_tokens(answers, requests[1]) == [0]
    check_complete(answers, requests[0], *requests[2:])
    assert all(sampler.closed for backend in backends for sampler in backend.samplers)


def test_the_next_request_takes_the_place_of_a_cancelled_one() -> None:
    backend = FakeBackend(trained_context=LIMIT)
    engine = LocalEngine(backend)
    requests = make_requests(4)
    answers = Answers()
    for event in engine.stream(requests):
        answers.take(event)
        if isinstance(event, Delta) and event.id != "3":
            engine.cancel(event.id)
    assert [cancelled_tokens(answers, request) for request in requests[:3]] == [[1], [1], [1]]
    check_complete(answers, requests[3])


def test_an_unknown_id_does_nothing() -> None:
    engine = LocalEngine(FakeBackend(trained_context=LIMIT), parallel=2)
    requests = make_requests(3)
    engine.cancel("0")  # nothing runs yet
    answers = Answers()
    for event in engine.stream(requests):
        answers.take(event)
        engine.cancel("unknown")
        if isinstance(event, Finished):
            engine.cancel(event.id)  # it has ended
    check_complete(answers, *requests)
    check_complete(collect(engine.stream(requests)), *requests)  # the same ids, after they were cancelled too late


@dataclass
class Gated(FakeBackend):
    """Computes a step only when `gate` is open."""

    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    inside: bool = False

    def decode(self) -> Decoded:
        self.inside = True
        self.entered.set()
        assert self.gate.wait(WAIT)
        outcome = super().decode()
        self.inside = False
        return outcome

    def remove(self, sequence: int, start: int) -> bool:
        assert not self.inside, "the cache is changed while a step is computed"
        return super().remove(sequence, start)


def test_another_thread_cancels_while_a_step_is_computed() -> None:
    first, second = FakeBackend(trained_context=LIMIT), Gated(trained_context=LIMIT)
    engine = LocalEngine(first, replicas=[second], parallel=2)
    requests = make_requests(2)
    answers = Answers()

    def cancel() -> None:
        assert second.entered.wait(WAIT)
        engine.cancel("1")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    for event in engine.stream(requests):
        answers.take(event)
        if isinstance(event, Finished) and event.id == "0":  # the first core goes on meanwhile
            canceller.join(WAIT)
            second.gate.set()
    assert second.decodes == 1
    assert cancelled_tokens(answers, requests[1]) == [1]
    check_complete(answers, requests[0])
    assert all(sampler.closed for backend in (first, second) for sampler in backend.samplers)


def test_many_threads_may_cancel_at_once() -> None:
    backends = [FakeBackend(trained_context=LIMIT) for _ in range(3)]
    engine = LocalEngine(backends[0], replicas=backends[1:], parallel=6)
    requests = make_requests(60, max_tokens=60)
    ended: set[str] = set()

    def cancel(start: int) -> None:
        for number in range(start, 60, 4):
            while str(number) not in ended:
                engine.cancel(str(number))

    threads = [threading.Thread(target=cancel, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    answers = Answers()
    for event in engine.stream(requests):
        answers.take(event)
        if isinstance(event, Finished):
            ended.add(event.id)
    for thread in threads:
        thread.join(WAIT)
    assert ended == {request.id for request in requests}
    assert any(
        answer.finished and answer.finished.reason is FinishReason.CANCELLED for answer in answers.samples.values()
    )
    assert all(sampler.closed for backend in backends for sampler in backend.samplers)
