"""The engine on the fake backend: an answer is a function of prompt and seed, whatever else is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from answers import Answers, collect, expected, script
from fake_backend import FakeBackend
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gptcli.engine.backend import CacheConfig, Decoded, MemoryKind
from gptcli.engine.engine import LocalEngine
from gptcli.errors import ContextFull, EngineError, LoadError, RequestError
from gptcli.interrupt import Interrupt
from gptcli.params import Sampling
from gptcli.types import Delta, Finished, FinishReason, Request, Started, TextPrompt, TokenPrompt

LIMIT = 160

# Prompts that share prefixes of many lengths, so that every way to reuse computed tokens occurs.
prompts = st.tuples(
    st.sampled_from([b"Once upon a time, ", b"In the beginning "]), st.integers(0, 100), st.binary(max_size=4)
).map(lambda parts: parts[0] + (b"there was a king who " * 5)[: parts[1]] + parts[2])


@st.composite
def request_lists(draw: st.DrawFn, *, most: int = 6) -> list[Request]:
    return [
        Request(
            id=str(number),
            prompt=TextPrompt(draw(prompts)),
            sampling=Sampling(seed=draw(st.integers(0, 3))),
            max_tokens=draw(st.none() | st.integers(0, 20)),
            stop=tuple(draw(st.lists(st.text("abcde", min_size=1, max_size=2), max_size=2))),
            ignore_eos=draw(st.booleans()),
            n=draw(st.integers(1, 3)),
            logprobs=draw(st.none() | st.integers(0, 1)),
            stream=draw(st.booleans()),
        )
        for number in range(draw(st.integers(1, most)))
    ]


@st.composite
def backends(draw: st.DrawFn) -> FakeBackend:
    memory = draw(st.sampled_from(MemoryKind))
    return FakeBackend(
        memory=memory,
        window=draw(st.integers(1, 60)) if memory is MemoryKind.WINDOW else 0,
        step_tokens=draw(st.integers(1, 40)),
        capacity=draw(st.none() | st.integers(LIMIT, 4 * LIMIT)),
        trained_context=LIMIT,
        cpu_threads=draw(st.integers(0, 2)),
    )


def twins(backend: FakeBackend, count: int) -> list[FakeBackend]:
    """Backends like this one."""
    names = ("model", "memory", "window", "step_tokens", "capacity", "trained_context", "cpu_threads")
    return [FakeBackend(**{name: getattr(backend, name) for name in names}) for _ in range(count)]


def check(answers: Answers, requests: list[Request], limit: int = LIMIT) -> None:
    """Every sample ended once, with the text of the reference."""
    assert not answers.failed
    assert set(answers.samples) == {(request.id, index) for request in requests for index in range(request.n)}
    for request in requests:
        for index in range(request.n):
            answer = answers.samples[request.id, index]
            text, reason, count = expected(request, index, limit)
            assert answer.text == text
            assert answer.finished is not None
            assert (answer.finished.reason, answer.finished.completion_tokens) == (reason, count)
            assert answer.finished.prompt_tokens == len(request.prompt.data)  # type: ignore[union-attr]
            assert answer.finished.seed == (request.sampling.seed or 0) + index
            assert answer.finished.reused_tokens == answers.started[request.id].reused_tokens
            assert answer.finished.reused_tokens < answer.finished.prompt_tokens
            if request.logprobs is None:
                assert answer.tokens == []
            elif answer.finished.stop is None:
                assert len(answer.tokens) == count
                assert "".join(token.text for token in answer.tokens).replace("<end>", "") == text
            else:
                assert "".join(token.text for token in answer.tokens).replace("<end>", "").startswith(text)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    requests=request_lists(),
    more=request_lists(most=3),
    backend=backends(),
    parallel=st.integers(1, 4),
    cores=st.integers(1, 3),
    context=st.sampled_from([None, LIMIT, LIMIT - 13]),
    data=st.data(),
)
def test_text_depends_on_nothing_but_prompt_and_seed(
    requests: list[Request],
    more: list[Request],
    backend: FakeBackend,
    parallel: int,
    cores: int,
    context: int | None,
    data: st.DataObject,
) -> None:
    replicas = twins(backend, cores - 1)
    engine = LocalEngine(backend, replicas=replicas, context=context, parallel=parallel)
    check(collect(engine.stream(requests)), requests, context or LIMIT)
    event(f"{backend.memory.value}, {'tight' if backend.capacity else 'roomy'}")
    # Again, in another order and with what the first call left in the cache.
    again = data.draw(st.permutations([*requests, *(replace(request, id=f"more {request.id}") for request in more)]))
    check(collect(engine.stream(iter(again))), again, context or LIMIT)
    samplers = [sampler for one in [backend, *replicas] for sampler in one.samplers]
    assert all(sampler.closed for sampler in samplers)  # (closing one twice is an assertion there)
    assert len(samplers) == sum(request.n for request in [*requests, *again])


def prompt(data: bytes | str) -> TextPrompt:
    return TextPrompt(data.encode() if isinstance(data, str) else data)


def request(number: int | str = 0, data: bytes | str = "Once upon a time", **more: object) -> Request:
    fields: dict[str, object] = {"sampling": Sampling(seed=1), "max_tokens": 8, "ignore_eos": True, **more}
    return Request(str(number), prompt(data), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("memory", MemoryKind)
def test_the_youngest_sequence_is_preempted_when_cells_run_out(memory: MemoryKind) -> None:
    backend = FakeBackend(memory=memory, window=16, capacity=200, trained_context=200)
    requests = [request(number, f"{number} is the number", max_tokens=100) for number in range(4)]
    check(collect(LocalEngine(backend, parallel=4).stream(requests)), requests, 200)
    needed = sum(len(one.prompt.data) + 99 for one in requests)  # type: ignore[union-attr]
    assert backend.computed > needed, "no sequence was preempted, so this test shows nothing"


def test_a_preempted_request_is_started_only_once() -> None:
    backend = FakeBackend(capacity=120, trained_context=120)
    requests = [request(number, f"{number} is the number", max_tokens=60) for number in range(3)]
    answers = collect(LocalEngine(backend, parallel=3).stream(requests))
    assert list(answers.started) == ["0", "1", "2"]
    assert [answers.samples[one.id, 0].finished.reused_tokens for one in requests] == [0, 0, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["🙂👩‍👩‍👧語é", "日本語の文章です"])
def test_whole_characters_are_streamed_though_a_token_is_a_byte(text: str) -> None:
    backend = FakeBackend(model=script(text.encode()))
    one = request(data=b"\0", ignore_eos=False, max_tokens=None)
    deltas = [event.text for event in LocalEngine(backend).stream([one]) if isinstance(event, Delta)]
    assert deltas == list(text)


def test_an_incomplete_final_character_is_dropped_and_counted() -> None:
    backend = FakeBackend(model=script("a🙂".encode()))
    answers = collect(LocalEngine(backend).stream([request(data=b"\0", max_tokens=4)]))
    answer = answers.samples["0", 0]
    assert answer.text == "a"
    assert answer.finished is not None
    assert (answer.finished.dropped_bytes, answer.finished.reason) == (3, FinishReason.LENGTH)


@given(answer=st.binary(min_size=1, max_size=40).map(lambda data: data.replace(b"\0", b"\1")), cut=st.integers(1, 40))
def test_invalid_utf8_is_preserved(answer: bytes, cut: int) -> None:
    backend = FakeBackend(model=script(answer, ends=True))
    answers = collect(LocalEngine(backend).stream([request(data=b"\0", max_tokens=cut, ignore_eos=False)]))
    sample = answers.samples["0", 0]
    assert sample.finished is not None
    out, dropped = sample.text.encode("utf-8", "surrogateescape"), sample.finished.dropped_bytes
    assert out == answer[:cut][: len(answer[:cut]) - dropped]
    assert len(out) + dropped == len(answer[:cut])


def test_a_stop_string_in_the_middle_of_a_character_sequence() -> None:
    backend = FakeBackend(model=script("eins🙂STOPzwei".encode()))
    one = request(data=b"\0", stop=("STOP", "🙂ST"), max_tokens=None, logprobs=0)
    answer = collect(LocalEngine(backend).stream([one])).samples["0", 0]
    assert answer.text == "eins"
    assert answer.finished is not None
    assert (answer.finished.stop, answer.finished.reason) == ("🙂ST", FinishReason.STOP)
    assert [token.text for token in answer.tokens] == list("eins")


def test_samples_share_one_prefill() -> None:
    backend = FakeBackend()
    one = request(data="x" * 100, n=5, max_tokens=10)
    answers = collect(LocalEngine(backend).stream([one]))
    check(answers, [one], 4096)
    assert backend.computed == 100 + 5 * 9
    assert len({answers.samples["0", index].text for index in range(5)}) == 5


def test_without_streaming_there_is_one_delta() -> None:
    one = request(stream=False, stop=("zz",), logprobs=1, max_tokens=30)
    events = list(LocalEngine(FakeBackend()).stream([one]))
    (delta,) = [event for event in events if isinstance(event, Delta)]
    assert delta.text == expected(one, 0, 4096)[0]
    assert len(delta.tokens) == 30


def test_max_tokens_of_zero_computes_only_the_prompt() -> None:
    backend = FakeBackend()
    answer = collect(LocalEngine(backend).stream([request(max_tokens=0, n=2)]))
    assert [a.finished and a.finished.reason for a in answer.samples.values()] == [FinishReason.LENGTH] * 2
    assert backend.computed == len("Once upon a time")


def test_the_context_grows_to_what_the_model_was_trained_for() -> None:
    backend = FakeBackend(trained_context=3000, step_tokens=512)
    one = request(max_tokens=None)
    cells = set()
    events = []
    for happened in LocalEngine(backend).stream([one]):
        cells.add(backend.config.cells)
        events.append(happened)
    answer = collect(events).samples["0", 0]
    assert answer.finished is not None
    assert answer.finished.reason is FinishReason.CONTEXT
    assert answer.finished.prompt_tokens + answer.finished.completion_tokens == 3001  # the last one is not computed
    assert answer.text == expected(one, 0, 3000)[0]
    assert len(cells) > 1
    assert backend.computed == 3000  # computed tokens are carried over


def test_a_requested_context_is_the_limit() -> None:
    answer = collect(LocalEngine(FakeBackend(), context=20).stream([request(max_tokens=None)])).samples["0", 0]
    assert answer.finished is not None
    assert (answer.finished.reason, answer.finished.completion_tokens) == (FinishReason.CONTEXT, 20 + 1 - 16)


def test_more_context_than_the_model_has_is_refused() -> None:
    with pytest.raises(RequestError, match=r"5,000 .* 4,096") as caught:
        LocalEngine(FakeBackend(), context=5000)
    assert "--ctx-size 4096" in caught.value.hint


@pytest.mark.parametrize("length", [100, 101, 1500])
def test_a_prompt_that_does_not_fit_fails_with_both_numbers(length: int) -> None:
    answers = collect(
        LocalEngine(FakeBackend(), context=100).stream([request("long", "x" * length), request("short", "x")])
    )
    error = answers.failed["long"].error
    assert isinstance(error, ContextFull)
    assert f"{length:,} tokens" in error.message
    assert "holds 100," in error.message
    assert "--ctx-size" in error.hint
    assert ("short", 0) in answers.samples
    assert "long" not in answers.started


def test_a_prompt_one_shorter_than_the_context_fits() -> None:
    one = request(data="x" * 99, max_tokens=None)
    check(collect(LocalEngine(FakeBackend(), context=100).stream([one])), [one], 100)


def test_no_larger_context_is_suggested_than_the_model_has() -> None:
    error = collect(LocalEngine(FakeBackend(trained_context=10)).stream([request()])).failed["0"].error
    assert "cannot help" in error.hint


def test_an_empty_prompt_fails_if_the_model_has_no_begin_token() -> None:
    assert isinstance(collect(LocalEngine(FakeBackend()).stream([request(data="")])).failed["0"].error, RequestError)


def test_more_samples_than_the_backend_supports_are_refused() -> None:
    answers = collect(LocalEngine(FakeBackend(max_sequences=4)).stream([request(0, n=5), request(1, n=4)]))
    assert "5 samples" in answers.failed["0"].error.message
    assert len(answers.samples) == 4


def test_parallel_is_limited_to_the_sequences_of_the_backend() -> None:
    backend = FakeBackend(max_sequences=4)
    requests = [request(number, f"{number}", n=3) for number in range(4)]
    check(collect(LocalEngine(backend, parallel=8).stream(requests)), requests, 4096)
    assert backend.config.sequences == 4


# Failing


@pytest.mark.parametrize("memory", MemoryKind)
def test_a_failed_batch_fails_the_requests_in_it_and_no_others(memory: MemoryKind) -> None:
    # Step 1 holds one prompt only; step 2 holds its decoding and the second prompt.
    backend = FakeBackend(memory=memory, step_tokens=64, fail_at=frozenset({2}))
    requests = [request(0, "a" * 64), request(1, "b" * 60, n=2), request(2, "c" * 60), request(3, "d" * 8)]
    answers = collect(LocalEngine(backend, parallel=3).stream(requests))
    assert set(answers.failed) == {"0", "1"}
    assert isinstance(answers.failed["0"].error, EngineError)
    for one in requests[2:]:
        assert answers.samples[one.id, 0].text == expected(one, 0, 4096)[0]
    assert all(sampler.closed for sampler in backend.samplers)


def test_all_samples_of_a_request_in_a_failed_batch_end_with_one_failure() -> None:
    # Five samples and steps of two tokens: most of the samples are not in the batch that fails.
    backend = FakeBackend(step_tokens=2, fail_at=frozenset({12}))
    answers = collect(LocalEngine(backend).stream([request(0, "a" * 16, n=5), request(1)]))
    assert list(answers.failed) == ["0"]
    assert ("1", 0) in answers.samples
    assert all(sampler.closed for sampler in backend.samplers)


def test_two_failed_batches_in_a_row_end_the_stream_and_leave_the_engine_usable() -> None:
    backend = FakeBackend(fail_at=frozenset({1, 2, 3}))
    engine = LocalEngine(backend)
    with pytest.raises(EngineError):
        list(engine.stream([request(0), request(1), request(2)]))
    assert list(collect(engine.stream([request(3), request(4)])).failed) == ["3"]
    assert all(sampler.closed for sampler in backend.samplers)


class LittleMemory(FakeBackend):
    """Has memory for 512 cells."""

    def reserve(self, config: CacheConfig) -> None:
        if config.cells > 512:
            raise LoadError(f"no memory for {config.cells} cells.")
        super().reserve(config)


def test_no_memory_at_the_start_fails_that_request() -> None:
    backend = LittleMemory()
    answers = collect(LocalEngine(backend).stream([request(0, "x" * 600), request(1), request(2, max_tokens=900)]))
    assert set(answers.failed) == {"0", "2"}
    assert isinstance(answers.failed["0"].error, LoadError)
    assert answers.samples["1", 0].text == expected(request(1), 0, 4096)[0]
    assert all(sampler.closed for sampler in backend.samplers)


def test_no_memory_to_grow_preempts_the_youngest() -> None:
    backend = LittleMemory(trained_context=400)
    requests = [request(0, "first", max_tokens=100), *(request(n, f"{n}", max_tokens=390) for n in (1, 2, 3))]
    check(collect(LocalEngine(backend, parallel=2).stream(requests)), requests, 400)


def test_no_memory_to_grow_and_nothing_to_preempt_fails_that_request() -> None:
    backend = LittleMemory(trained_context=4096)
    engine = LocalEngine(backend, context=None)
    list(engine.stream([request(0, max_tokens=400)]))
    answers = collect(engine.stream([request(1, max_tokens=None), request(2)]))
    assert set(answers.failed) == {"1"}
    assert ("2", 0) in answers.samples
    assert all(sampler.closed for sampler in backend.samplers)


class DeadEnd(FakeBackend):
    """Its samplers of odd seeds have no token left to choose after ten."""

    def sampler(self, sampling: Sampling, seed: int, history: list[int], *, ignore_end: bool):  # type: ignore[no-untyped-def]
        made = super().sampler(sampling, seed, history, ignore_end=ignore_end)
        return Stuck(made, seed) if seed % 2 else made


class Stuck:
    def __init__(self, inner: object, seed: int) -> None:
        self.inner, self.left = inner, 0 if seed == 1 else 10

    def sample(self, row: int) -> int:
        self.left -= 1
        if self.left < 0:
            raise EngineError("nothing may come next.")
        return self.inner.sample(row)  # type: ignore[attr-defined,no-any-return]

    def close(self) -> None:
        self.inner.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_sampler_without_a_possible_token_fails_its_request(seed: int) -> None:
    backend = DeadEnd()
    requests = [request(0, n=3, max_tokens=20, sampling=Sampling(seed=seed)), request(1, sampling=Sampling(seed=4))]
    answers = collect(LocalEngine(backend, parallel=2).stream(requests))
    assert list(answers.failed) == ["0"]
    assert answers.samples["1", 0].finished is not None
    assert all(sampler.closed for sampler in backend.samplers)


# Stopping


class Counting:
    """Counts how many requests were pulled, and how many were unanswered at once."""

    def __init__(self, requests: list[Request]) -> None:
        self.requests, self.pulled, self.ended, self.most = requests, 0, 0, 0

    def __iter__(self) -> Iterator[Request]:
        for one in self.requests:
            self.pulled += 1
            self.most = max(self.most, self.pulled - self.ended)
            yield one


@given(
    count=st.integers(1, 12),
    parallel=st.integers(1, 4),
    capacity=st.none() | st.integers(200, 400),
    lengths=st.lists(st.integers(1, 60), min_size=12, max_size=12),
    cores=st.integers(1, 3),
)
def test_no_more_requests_are_pulled_than_are_computed_and_known_ahead(
    count: int, parallel: int, capacity: int | None, lengths: list[int], cores: int
) -> None:
    source = Counting([request(n, "p" * 40 + f"{n}" * lengths[n], max_tokens=lengths[-n]) for n in range(count)])
    backend = FakeBackend(capacity=capacity, trained_context=200)
    for happened in LocalEngine(backend, replicas=twins(backend, cores - 1), parallel=parallel).stream(source):
        source.ended += isinstance(happened, Finished)
    assert (source.pulled, source.ended) == (count, count)
    assert source.most <= (5 * parallel if parallel > 1 else 1)


def test_nothing_is_pulled_after_an_interrupt_and_everything_ends_cancelled() -> None:
    interrupt = Interrupt()
    source = Counting([request(number, f"{number}", n=1 + number % 2, max_tokens=50) for number in range(40)])
    backend = FakeBackend()
    answers = Answers()
    for happened in LocalEngine(backend, parallel=4, interrupt=interrupt).stream(source):
        answers.take(happened)
        if len(answers.events) == 30:
            interrupt.request()
    assert source.pulled < 40
    reasons = [answer.finished and answer.finished.reason for answer in answers.samples.values()]
    assert reasons == [FinishReason.CANCELLED] * sum(one.n for one in source.requests[: source.pulled])
    for one in source.requests[: source.pulled]:
        for index in range(one.n):
            answer = answers.samples[one.id, index]
            assert expected(one, index, 4096)[0].startswith(answer.text)
            assert answer.finished is not None
            assert answer.finished.completion_tokens >= len(answer.text)
    assert sum(len(answer.text) for answer in answers.samples.values()) > 20  # streamed text is kept
    assert all(sampler.closed for sampler in backend.samplers)


def test_an_interrupt_ends_a_series_of_failing_requests() -> None:
    interrupt = Interrupt()
    source = Counting([request(number, "x" * 100) for number in range(1000)])
    for _ in LocalEngine(FakeBackend(), context=50, interrupt=interrupt).stream(source):
        interrupt.request()
    assert source.pulled == 1


@settings(max_examples=60, deadline=None)
@given(
    requests=request_lists(),
    backend=backends(),
    parallel=st.integers(1, 4),
    cores=st.integers(1, 3),
    when=st.integers(0, 120),
)
def test_an_interrupt_at_any_time_ends_every_pulled_request(
    requests: list[Request], backend: FakeBackend, parallel: int, cores: int, when: int
) -> None:
    interrupt = Interrupt()
    source = Counting(requests)
    answers = Answers()
    replicas = twins(backend, cores - 1)
    engine = LocalEngine(backend, replicas=replicas, parallel=parallel, interrupt=interrupt)
    if when == 0:
        interrupt.request()
    for number, happened in enumerate(engine.stream(source), 1):
        answers.take(happened)
        if number == when:
            interrupt.request()
    pulled = requests[: source.pulled]
    assert set(answers.samples) == {(one.id, index) for one in pulled for index in range(one.n)}
    for one in pulled:
        for index in range(one.n):
            answer = answers.samples[one.id, index]
            assert answer.finished is not None
            assert (
                expected(one, index, LIMIT)[0].startswith(answer.text)
                or answer.finished.reason is FinishReason.CANCELLED
            )
    assert all(sampler.closed for one in [backend, *replicas] for sampler in one.samplers)
    interrupt.clear()
    check(collect(engine.stream(requests)), requests)


@settings(max_examples=80, deadline=None)
@given(
    requests=request_lists(),
    backend=backends(),
    parallel=st.integers(1, 4),
    cores=st.integers(1, 3),
    cancels=st.dictionaries(st.integers(1, 60), st.integers(0, 6).map(str), max_size=4),
)
def test_cancelling_requests_at_any_time_ends_these_and_no_others(
    requests: list[Request], backend: FakeBackend, parallel: int, cores: int, cancels: dict[int, str]
) -> None:
    replicas = twins(backend, cores - 1)
    engine = LocalEngine(backend, replicas=replicas, parallel=parallel)
    answers = Answers()
    for number, happened in enumerate(engine.stream(requests), 1):
        answers.take(happened)
        if number in cancels:
            engine.cancel(cancels[number])
    assert not answers.failed
    assert set(answers.samples) == {(one.id, index) for one in requests for index in range(one.n)}
    for (request_id, index), answer in answers.samples.items():
        one = requests[int(request_id)]
        assert answer.finished is not None
        if answer.finished.reason is FinishReason.CANCELLED:
            assert request_id in cancels.values()
            endless = replace(one, stop=(), max_tokens=None)  # a cancelled text may end within a stop string
            assert expected(endless, index, LIMIT)[0].startswith(answer.text)
        else:
            assert (answer.text, answer.finished.reason) == expected(one, index, LIMIT)[:2]
    assert all(sampler.closed for one in [backend, *replicas] for sampler in one.samplers)
    check(collect(engine.stream(requests)), requests)


@settings(max_examples=60, deadline=None)
@given(
    requests=request_lists(),
    backend=backends(),
    parallel=st.integers(1, 4),
    cores=st.integers(1, 3),
    when=st.integers(0, 120),
)
def test_closing_the_generator_at_any_time_leaves_the_engine_usable(
    requests: list[Request], backend: FakeBackend, parallel: int, cores: int, when: int
) -> None:
    replicas = twins(backend, cores - 1)
    engine = LocalEngine(backend, replicas=replicas, parallel=parallel)
    stream = engine.stream(requests)
    for _ in range(when):
        if next(stream, None) is None:
            break
    stream.close()  # type: ignore[attr-defined]
    assert all(sampler.closed for one in [backend, *replicas] for sampler in one.samplers)
    check(collect(engine.stream(requests)), requests)


class Aborting(FakeBackend):
    """Is interrupted in the middle of the third batch, when some of its tokens are computed."""

    def decode(self) -> Decoded:
        if self.decodes != 2:
            return super().decode()
        self._batch = self._batch[:3]
        super().decode()
        interrupts.request()
        return Decoded.ABORTED


interrupts = Interrupt()


@pytest.mark.parametrize("memory", MemoryKind)
def test_an_aborted_batch_leaves_no_unknown_tokens_behind(memory: MemoryKind) -> None:
    interrupts.clear()
    backend = Aborting(memory=memory, window=50)
    one = request(data="p" * 100)
    engine = LocalEngine(backend, interrupt=interrupts)
    answer = collect(engine.stream([one])).samples["0", 0]
    assert answer.finished is not None
    assert (answer.finished.reason, answer.text) == (FinishReason.CANCELLED, "")
    assert answer.finished.completion_tokens == 0
    interrupts.clear()
    check(collect(engine.stream([one])), [one], 4096)


def test_started_comes_before_the_first_token_is_computed() -> None:
    backend = FakeBackend()
    first = next(iter(LocalEngine(backend).stream([request()])))
    assert isinstance(first, Started)
    assert backend.decodes == 0


def test_a_reported_seed_reproduces_the_text() -> None:
    engine = LocalEngine(FakeBackend())
    one = request(sampling=Sampling(), n=3, max_tokens=30)
    first = collect(engine.stream([one]))
    finished = first.samples["0", 0].finished
    assert finished is not None
    again = collect(engine.stream([replace(one, sampling=Sampling(seed=finished.seed))]))
    assert [answer.text for answer in again.samples.values()] == [answer.text for answer in first.samples.values()]


def test_the_seed_that_llama_cpp_takes_for_random_is_skipped() -> None:
    one = request(sampling=Sampling(seed=2**32 - 3), n=4)
    answers = collect(LocalEngine(FakeBackend()).stream([one]))
    seeds = [answer.finished and answer.finished.seed for answer in answers.samples.values()]
    assert seeds == [2**32 - 3, 2**32 - 2, 0, 1]


def test_token_text_names_tokens() -> None:
    assert [LocalEngine(FakeBackend()).token_text(token) for token in (97, 256)] == ["a", "<end>"]


def test_samples_are_limited_to_what_the_backend_supports() -> None:
    assert LocalEngine(FakeBackend(max_sequences=7)).capabilities.max_samples == 7


def test_encode_gives_the_tokens_that_are_computed() -> None:
    assert LocalEngine(FakeBackend()).encode(prompt("abc")) == TokenPrompt((97, 98, 99))
