"""The engine on llama.cpp: the same text however it is computed, and immediate cancellation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from answers import Answers, collect

from gptcli.engine.backend import CacheConfig, Decoded, MemoryKind
from gptcli.engine.engine import LocalEngine
from gptcli.errors import ContextFull, EngineError, LoadError
from gptcli.interrupt import Interrupt
from gptcli.llama.backend import LlamaBackend
from gptcli.models.gguf.header import read_header
from gptcli.params import Sampling
from gptcli.prompt.template import ChatTemplate
from gptcli.types import ChatPrompt, Delta, Finished, FinishReason, Message, Request, TextPrompt, TokenPrompt

GREEDY = Sampling(temperature=0)
FREE = Sampling(seed=7, top_k=0, top_p=1, min_p=0, temperature=1.5)
"""Varied text: a mistake in the state would show at once."""
Open = Callable[..., LlamaBackend]
STORY = "Once upon a time there was a king who had three daughters; the first counted the stars, "


def ask(number: int, prompt: str | list[int], sampling: Sampling = FREE, **more: object) -> Request:
    asked = TextPrompt(prompt.encode()) if isinstance(prompt, str) else TokenPrompt(tuple(prompt))
    fields: dict[str, object] = {"max_tokens": 40, "ignore_eos": True, "logprobs": 0, **more}
    return Request(str(number), asked, sampling, **fields)  # type: ignore[arg-type]


def run(engine: LocalEngine, *requests: Request) -> Answers:
    answers = collect(engine.stream(requests))
    for failed in answers.failed.values():
        raise failed.error
    assert len(answers.samples) == sum(request.n for request in requests)
    return answers


def texts(answers: Answers) -> list[str]:
    return [answers.samples[key].text for key in sorted(answers.samples)]


def check_state(answers: Answers, requests: Iterable[Request], judge: LocalEngine) -> None:
    """The log-probability of a token equals that after a prefill of the whole text before it.

    A wrong position, cell or sequence changes it far more than rounding does (0.004 at most was observed). The texts
    themselves cannot be compared: in a batch of another shape, other rounding may tip a close choice."""
    for request in requests:
        before = list(judge.encode(request.prompt).tokens)
        for index in range(request.n):
            chosen = answers.samples[request.id, index].tokens
            for place in {0, 1, len(chosen) // 2, len(chosen) - 1}:
                text = before + [info.token for info in chosen[:place]]
                alone = collect(judge.stream([ask(0, text, GREEDY, max_tokens=1, logprobs=600)]))
                top = {other.token: other.logprob for other in alone.samples["0", 0].tokens[0].top}
                assert chosen[place].logprob == pytest.approx(top[chosen[place].token], abs=0.02)


@pytest.fixture
def judge(open_backend: Open) -> LocalEngine:
    return LocalEngine(open_backend(), context=512)


@pytest.mark.parametrize("name", ["F32", "F16", "Q4_0", "Q8_0"])
def test_gpt2_runs_in_every_format(name: str, formats: dict[str, Path], open_backend: Open) -> None:
    backend = open_backend(formats[name])
    assert backend.memory is MemoryKind.ATTENTION
    assert (backend.trained_context, backend.window) == (512, 0)
    assert read_header(formats[name]).quantization == name
    first = run(LocalEngine(backend), ask(0, STORY, GREEDY))
    assert texts(first) == texts(run(LocalEngine(open_backend(formats[name])), ask(0, STORY, GREEDY)))
    assert len(first.samples["0", 0].tokens) == 40
    check_state(first, [ask(0, STORY)], LocalEngine(open_backend(formats[name])))


def test_the_same_seed_gives_the_same_text_and_another_one_another(open_backend: Open) -> None:
    first = run(LocalEngine(open_backend()), ask(0, STORY, n=3))
    assert texts(run(LocalEngine(open_backend()), ask(0, STORY, n=3))) == texts(first)
    other = replace(FREE, seed=8)
    assert texts(run(LocalEngine(open_backend()), ask(0, STORY, other)))[0] not in (texts(first)[0], texts(first)[2])


def test_samples_continue_the_same_prompt(backend: LlamaBackend, judge: LocalEngine) -> None:
    request = ask(0, STORY, n=6)
    answers = run(LocalEngine(backend), request)
    assert len(set(texts(answers))) == 6
    check_state(answers, [request], judge)


def test_sequences_side_by_side_do_not_disturb_each_other(backend: LlamaBackend, judge: LocalEngine) -> None:
    requests = [ask(n, STORY[: 10 + 9 * n], max_tokens=20 + 5 * n, n=1 + n % 3) for n in range(9)]
    check_state(run(LocalEngine(backend, parallel=4), *requests), requests, judge)


def test_a_cached_prefix_is_reused(backend: LlamaBackend, judge: LocalEngine) -> None:
    engine = LocalEngine(backend)
    run(engine, ask(0, STORY + "and the second"))
    for prompt in (STORY + "and the third", STORY + "and the third", STORY[:40] + "cat"):
        answers = run(engine, ask(0, prompt))
        assert answers.started["0"].reused_tokens > 5
        check_state(answers, [ask(0, prompt)], judge)


def test_a_cached_prefix_does_not_change_a_clear_choice(backend: LlamaBackend, open_backend: Open) -> None:
    engine = LocalEngine(backend)
    first = run(engine, ask(0, STORY, GREEDY, max_tokens=10))
    again = run(engine, ask(0, STORY, GREEDY, max_tokens=10))
    assert again.started["0"].reused_tokens == again.started["0"].prompt_tokens - 1
    assert texts(again) == texts(first) == texts(run(LocalEngine(open_backend()), ask(0, STORY, GREEDY, max_tokens=10)))


def test_growing_between_requests_keeps_the_state(backend: LlamaBackend, judge: LocalEngine) -> None:
    engine = LocalEngine(backend)
    run(engine, ask(0, STORY, max_tokens=5))
    small = backend.config.cells
    answers = run(engine, ask(0, STORY, max_tokens=400))
    assert backend.config.cells > small
    assert answers.started["0"].reused_tokens == answers.started["0"].prompt_tokens - 1
    check_state(answers, [ask(0, STORY)], judge)


def test_growing_while_decoding_keeps_the_state(backend: LlamaBackend, judge: LocalEngine) -> None:
    # A shared prefix, so that all use one unified cache, which is created for the first three.
    requests = [ask(n, f"{STORY} {n}", max_tokens=length) for n, length in enumerate([30, 30, 30, 200, 400, 300])]
    sizes = set()
    answers = Answers()

    def arriving() -> Iterator[Request | None]:
        yield from requests[:3]
        while len(answers.started) < 3:
            yield None
        yield from requests[3:]

    for event in LocalEngine(backend, parallel=3).stream(arriving()):
        answers.take(event)
        if any(answers.samples.get((str(n), 0)) and not answers.samples[str(n), 0].finished for n in range(6)):
            sizes.add(backend.config.cells)
    assert len(sizes) > 1, "the cache did not grow, so this test shows nothing"
    check_state(answers, requests, judge)


def test_longer_partitions_keep_the_state_of_what_runs(open_backend: Open, judge: LocalEngine) -> None:
    backend = open_backend()
    requests = [
        ask(0, "seven kings had", max_tokens=90),
        ask(1, "a star", max_tokens=5),
        ask(2, STORY * 12, max_tokens=5),
    ]
    sizes = set()
    answers = Answers()
    for event in LocalEngine(backend, parallel=2).stream(requests):
        answers.take(event)
        if "0" in answers.started and not (answers.samples.get(("0", 0)) and answers.samples["0", 0].finished):
            sizes.add((backend.config.cells, backend.config.unified))
    assert sizes == {(512, False), (1024, False)}
    check_state(answers, requests, judge)


def test_growing_does_not_duplicate_a_shared_prefix(backend: LlamaBackend, judge: LocalEngine) -> None:
    engine = LocalEngine(backend)
    prompt = (STORY * 5)[:400]
    run(engine, ask(0, prompt, n=8, max_tokens=20))
    cells = backend.config.cells
    longer = run(engine, ask(0, prompt, n=8, max_tokens=60))
    # Copied once for each of the eight, the cached tokens would exceed the new context.
    assert cells < backend.config.cells < 8 * len(engine.encode(TextPrompt(prompt.encode())).tokens)
    check_state(longer, [ask(0, prompt, n=8)], judge)


def test_the_whole_context_can_be_used_and_no_more(backend: LlamaBackend) -> None:
    finished = run(LocalEngine(backend), ask(0, STORY, max_tokens=None)).samples["0", 0].finished
    assert finished is not None
    assert finished.reason is FinishReason.CONTEXT
    assert finished.prompt_tokens + finished.completion_tokens == 513  # the last one is not computed
    with pytest.raises(ContextFull, match="512 tokens"):
        run(LocalEngine(backend), ask(0, [5] * 512))
    run(LocalEngine(backend), ask(0, [5] * 511, max_tokens=2))


def at_most(cells: int) -> Callable[[int], None]:
    def allow(wanted: int) -> None:
        if wanted > cells:
            raise LoadError(f"no room for {wanted} tokens.")

    return allow


def test_a_context_that_does_not_fit_into_memory_fails_the_request(open_backend: Open) -> None:
    with pytest.raises(LoadError, match="no room for 512 tokens"):
        run(LocalEngine(open_backend(allow=at_most(256)), context=512), ask(0, STORY))


def test_rows_wait_for_each_other_when_memory_is_short(open_backend: Open, judge: LocalEngine) -> None:
    requests = [ask(n, f"{n} {STORY}", max_tokens=200) for n in range(4)]
    check_state(run(LocalEngine(open_backend(allow=at_most(512)), parallel=4), *requests), requests, judge)


def test_as_many_samples_as_llama_cpp_has_sequences(backend: LlamaBackend) -> None:
    assert backend.max_sequences == 256
    assert len(set(texts(run(LocalEngine(backend, parallel=2), ask(0, STORY, n=256, max_tokens=4))))) > 100


def test_an_empty_prompt_starts_with_the_bos_token(backend: LlamaBackend) -> None:
    assert LocalEngine(backend).encode(TextPrompt(b"")).tokens == (backend.vocabulary.begin,)
    assert texts(run(LocalEngine(backend), ask(0, "")))[0]


def test_an_interrupt_before_decode_aborts_it(open_backend: Open) -> None:
    interrupt = Interrupt()
    backend = open_backend(interrupt=interrupt)
    backend.reserve(CacheConfig(512, 1))
    interrupt.request()
    backend.add(5, 0, 0, logits=True)
    assert backend.decode() is Decoded.ABORTED
    interrupt.clear()
    backend.add(5, 0, 0, logits=True)
    assert backend.decode() is Decoded.OK


class Watched:
    """The real backend, except that a thread interrupts each decode."""

    def __init__(self, inner: LlamaBackend, interrupt: Interrupt) -> None:
        self.inner, self.interrupt, self.armed, self.outcomes = inner, interrupt, True, list[Decoded]()

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def decode(self) -> Decoded:
        if not self.armed:
            return self.inner.decode()
        started = threading.Event()

        def stop() -> None:
            started.wait()
            self.interrupt.request()

        thread = threading.Thread(target=stop)
        thread.start()
        started.set()
        self.outcomes.append(self.inner.decode())
        thread.join()
        return self.outcomes[-1]


def test_an_interrupt_from_another_thread_aborts_a_long_prompt(open_backend: Open) -> None:
    interrupt = Interrupt()
    backend = open_backend(interrupt=interrupt)
    watched = Watched(backend, interrupt)
    engine = LocalEngine(watched, interrupt=interrupt)  # type: ignore[arg-type]
    prompt = TokenPrompt(tuple(n % 250 for n in range(511)))
    for attempt in range(50):  # on a busy machine the thread may be too late
        interrupt.clear()
        events = list(engine.stream([Request(str(attempt), prompt, FREE, max_tokens=3)]))
        assert isinstance(events[-1], Finished)
        assert events[-1].reason is FinishReason.CANCELLED
        if Decoded.ABORTED in watched.outcomes:
            break
    assert Decoded.ABORTED in watched.outcomes
    assert events[-1].completion_tokens == 0
    watched.armed = False
    interrupt.clear()
    half = ask(0, list(prompt.tokens[:300]))
    check_state(run(engine, half), [half], LocalEngine(open_backend()))


@pytest.mark.parametrize("replicas", [0, 1])
def test_one_request_is_cancelled_and_the_others_are_answered_in_full(open_backend: Open, replicas: int) -> None:
    backend = open_backend()
    engine = LocalEngine(backend, parallel=3, replicas=[backend.replica() for _ in range(replicas)])
    requests = [ask(number, f"{number} times a king", logprobs=None, n=1 + number % 2) for number in range(3)]
    answers = Answers()
    for event in engine.stream(requests):
        answers.take(event)
        if isinstance(event, Delta) and event.id == "1":
            engine.cancel("1")
    assert set(answers.samples) == {("0", 0), ("1", 0), ("1", 1), ("2", 0)}
    for (number, _), answer in answers.samples.items():
        reason, tokens = answer.finished.reason, len(answer.finished.tokens)
        assert reason is (FinishReason.CANCELLED if number == "1" else FinishReason.LENGTH)
        assert tokens < 40 if number == "1" else tokens == 40
    engine.cancel("unknown")
    again = collect(engine.stream([replace(requests[1], id="4")]))
    assert [len(answer.finished.tokens) for answer in again.samples.values()] == [40, 40]


def test_an_encoded_prompt_is_answered_like_the_prompt(open_backend: Open) -> None:
    template = ChatTemplate("{{ messages[0].content }}<|endoftext|>", specials=["<|endoftext|>"])
    engine = LocalEngine(open_backend(), template=template, reuse=False)
    chat = ChatPrompt((Message("user", "A <|endoftext|> king"),))
    for prompt in (TextPrompt(STORY.encode()), TextPrompt(b"\xff\xfe no text"), chat):
        encoded = engine.encode(prompt)
        assert engine.encode(encoded) == encoded
        request = Request("1", prompt, FREE, max_tokens=12)
        answers = [collect(engine.stream([replace(request, prompt=each)])) for each in (prompt, encoded)]
        assert texts(answers[0]) == texts(answers[1])
        assert answers[1].started["1"].prompt_tokens == len(encoded.tokens)
    names = [engine.token_text(token) for token in engine.encode(chat).tokens]
    assert names[-1] == "<|endoftext|>"  # the template's own; the one that was typed is text
    assert names.count("<|endoftext|>") == 1
    assert "".join(names) == "A <|endoftext|> king<|endoftext|>"
    assert engine.capabilities.max_samples > 1


def test_a_batch_that_llama_cpp_rejects_is_an_error_with_its_log(backend: LlamaBackend) -> None:
    backend.reserve(CacheConfig(256, 1))
    backend.add(10**6, 0, 0, logits=True)
    with pytest.raises(EngineError, match="code -1") as caught:
        backend.decode()
    assert "invalid token" in caught.value.log
    request = Request("bad", TokenPrompt((10**6,)), FREE)
    answers = collect(LocalEngine(backend).stream([request, Request("good", TokenPrompt((5,)), FREE, max_tokens=2)]))
    assert set(answers.failed) == {"bad"}
    assert ("good", 0) in answers.samples


def test_samples_of_one_prompt_in_a_partitioned_cache(open_backend: Open, judge: LocalEngine) -> None:
    backend = open_backend()
    engine = LocalEngine(backend, parallel=6)
    unrelated = [ask(n, f"{n} kings had {n} daughters", max_tokens=4 * n) for n in range(1, 7)]
    requests = [*unrelated, ask(9, STORY, n=2, max_tokens=4)]  # those before end one by one, and it takes their place
    check_state(run(engine, *requests), requests, judge)
    assert not backend.config.unified
