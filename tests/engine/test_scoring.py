"""Scoring on the fake backend: log-probabilities depend on nothing but the tokens, however they are computed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from answers import Answers, collect
from fake_backend import END, FakeBackend, logprob
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gptcli.engine.backend import MemoryKind
from gptcli.engine.engine import LocalEngine
from gptcli.engine.output import _texts_within
from gptcli.engine.tree import Branch, make_tree
from gptcli.errors import ContextFull, LoadError, RequestError
from gptcli.params import Sampling
from gptcli.types import FinishReason, Prefill, Prompt, PromptLogprobs, Request, TextPrompt, TokenInfo, TokenPrompt

LIMIT = 160

tokens = st.lists(st.integers(0, 2), max_size=40)
"""Few different ones, so that prompts and continuations begin alike in many ways."""
prompts = st.builds(lambda start, rest: (*start, *rest), st.sampled_from([[7] * 30, [7] * 10, [8]]), tokens)
continuations = st.lists(st.lists(st.integers(0, 1), max_size=6).map(tuple), min_size=1, max_size=8).map(tuple)


@st.composite
def scoring_requests(draw: st.DrawFn) -> list[Request]:
    requests = []
    for number in range(draw(st.integers(1, 6))):
        prompt = draw(prompts)
        following = draw(st.just(()) | continuations)
        scored = draw(st.none() | st.integers(0, 2)) if following else draw(st.integers(0, 2))
        requests.append(
            Request(
                str(number),
                TokenPrompt(prompt),
                max_tokens=draw(st.sampled_from([0, 0, 3])),
                ignore_eos=True,
                logprobs=draw(st.none() | st.integers(0, 2)),
                prompt_logprobs=scored,
                prompt_logprobs_start=draw(st.integers(0, len(prompt))),
                continuations=following,
            )
        )
    return requests


@st.composite
def backends(draw: st.DrawFn) -> FakeBackend:
    memory = draw(st.sampled_from(MemoryKind))
    return FakeBackend(
        memory=memory,
        window=draw(st.integers(1, 60)) if memory is MemoryKind.WINDOW else 0,
        step_tokens=draw(st.integers(1, 40)),
        scored_rows=draw(st.integers(1, 9)),
        capacity=draw(st.none() | st.integers(LIMIT, 4 * LIMIT)),
        trained_context=LIMIT,
        cpu_threads=draw(st.integers(0, 2)),
    )


def twin(backend: FakeBackend) -> FakeBackend:
    names = ("memory", "window", "step_tokens", "scored_rows", "capacity", "trained_context", "cpu_threads")
    return FakeBackend(**{name: getattr(backend, name) for name in names})


def check(answers: Answers, requests: list[Request]) -> None:
    """Everything that was asked for came, once and exactly."""
    assert not answers.failed
    for request in requests:
        assert isinstance(request.prompt, TokenPrompt)
        prompt = request.prompt.tokens
        start = request.prompt_logprobs_start
        if request.prompt_logprobs is not None and start < len(prompt):
            infos = answers.prompts[request.id]
            assert answers.starts[request.id] == start
            assert [info.token for info in infos] == list(prompt[start:])
            if start == 0:
                assert math.isnan(infos[0].logprob)
                assert infos[0].top == []
            for position, info in list(enumerate(infos, start))[start == 0 :]:
                assert info.logprob == logprob(prompt[:position], prompt[position])
                assert len(info.top) == request.prompt_logprobs
        else:
            assert request.id not in answers.prompts
        for index, continuation in enumerate(request.continuations):
            infos = answers.continuations[request.id, index]
            assert [info.token for info in infos] == list(continuation)
            for position, info in enumerate(infos):
                assert info.logprob == logprob([*prompt, *continuation[:position]], info.token)
                assert len(info.top) == (request.logprobs or 0)
        finished = answers.samples[request.id, 0].finished
        assert finished is not None
        assert finished.reason is FinishReason.LENGTH
        assert finished.prompt_tokens == len(prompt)
        assert finished.completion_tokens == (0 if request.continuations else request.max_tokens)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    requests=scoring_requests(),
    backend=backends(),
    parallel=st.integers(1, 4),
    cores=st.integers(1, 3),
    reuse=st.booleans(),
    data=st.data(),
)
def test_scores_depend_on_nothing_but_the_tokens(
    requests: list[Request], backend: FakeBackend, parallel: int, cores: int, reuse: bool, data: st.DataObject
) -> None:
    engine = LocalEngine(backend, replicas=[twin(backend) for _ in range(1, cores)], parallel=parallel, reuse=reuse)
    check(collect(engine.stream(requests)), requests)
    again = data.draw(st.permutations(requests))  # with what the first call left in the cache
    check(collect(engine.stream(iter(again))), again)
    event(f"{backend.memory.value}, {'tight' if backend.capacity else 'roomy'}")


@given(continuations)
def test_a_tree_has_each_continuation_once_and_each_common_beginning_once(
    following: tuple[tuple[int, ...], ...],
) -> None:
    found: dict[int, tuple[int, ...]] = {}

    def walk(branch: Branch, path: tuple[int, ...]) -> None:
        path = (*path, *branch.tokens)
        for index in branch.ends:
            assert index not in found
            found[index] = path
        first = [child.tokens[0] for child in branch.children]
        assert len(set(first)) == len(first), "two branches begin alike"
        for child in branch.children:
            walk(child, path)

    root = make_tree(following)
    walk(root, ())
    assert [found[index] for index in range(len(following))] == list(following)
    prefixes = {one[:length] for one in following for length in range(1, len(one) + 1)}
    assert root.tokens_below == len(prefixes)


def test_many_levels_of_branches_need_no_recursion() -> None:
    chain = tuple(tuple([1] * length) for length in range(1, 3000))
    assert make_tree(chain).tokens_below == 2999


def test_what_continuations_begin_with_is_computed_once() -> None:
    backend = FakeBackend()
    following = ((1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 6), (9,))
    one = Request("a", TokenPrompt((7,) * 100), max_tokens=0, continuations=following)
    check(collect(LocalEngine(backend).stream([one])), [one])
    assert backend.computed == 100 + 3  # 1, 2 and 3: a last token is never computed, only scored


def test_a_reused_prompt_is_computed_again_where_it_is_scored() -> None:
    backend = FakeBackend()
    engine = LocalEngine(backend)
    one = Request("a", TokenPrompt((7,) * 100), max_tokens=0, prompt_logprobs=0, prompt_logprobs_start=80)
    check(collect(engine.stream([one])), [one])
    first = backend.computed
    answers = collect(engine.stream([one]))
    check(answers, [one])
    assert answers.started["a"].reused_tokens == 79
    assert backend.computed == first + 20


@pytest.mark.parametrize("rows", [1, 5, 1000])
def test_a_step_has_a_bounded_number_of_rows(rows: int) -> None:
    backend = FakeBackend(scored_rows=rows)  # asserts it
    requests = [Request(str(n), TokenPrompt((n,) * 50), max_tokens=0, prompt_logprobs=1) for n in range(4)]
    answers = collect(LocalEngine(backend, parallel=4).stream(requests))
    check(answers, requests)
    sizes = [len(event.tokens) for event in answers.events if isinstance(event, PromptLogprobs)]
    assert max(sizes) <= rows + 2  # one of its own, and the first token, which needs none


def test_generation_goes_on_beside_scoring() -> None:
    scored = Request("s", TokenPrompt((5,) * 60), max_tokens=4, prompt_logprobs=0, logprobs=0, ignore_eos=True)
    plain = Request("p", TokenPrompt((6,) * 60), max_tokens=20, ignore_eos=True)
    answers = collect(LocalEngine(FakeBackend(), parallel=2).stream([plain, scored]))
    check(answers, [scored, replace(plain)])
    assert len(answers.samples["s", 0].tokens) == 4


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("max_tokens", [0, 5])
@pytest.mark.parametrize("prompt", [TextPrompt("né!".encode()), TokenPrompt(tuple("né!".encode()))])
def test_an_echo_is_the_first_delta_of_each_sample(n: int, max_tokens: int, prompt: Prompt) -> None:
    plain = Request("a", prompt, Sampling(seed=1), max_tokens=max_tokens, n=n, logprobs=0, ignore_eos=True)
    without = collect(LocalEngine(FakeBackend()).stream([plain]))
    echo = replace(plain, echo=True, prompt_logprobs=2)
    answers = collect(LocalEngine(FakeBackend()).stream([echo]))
    assert not answers.prompts
    for index in range(n):
        sample, bare = answers.samples["a", index], without.samples["a", index]
        assert sample.text == "né!" + bare.text
        assert sample.tokens[4:] == bare.tokens
        assert [info.token for info in sample.tokens[:4]] == list("né!".encode())
        assert [len(info.top) for info in sample.tokens[:4]] == [0, 2, 2, 2]
    silent = collect(LocalEngine(FakeBackend()).stream([replace(plain, echo=True, logprobs=None)]))
    assert silent.samples["a", 0].text == answers.samples["a", 0].text
    assert silent.samples["a", 0].tokens == []


def test_an_echo_has_an_entry_for_the_token_that_ends_the_text() -> None:
    backend = FakeBackend(model=lambda tokens, seed: END)
    one = Request("a", TextPrompt(b"abc"), max_tokens=1, logprobs=1, echo=True, prompt_logprobs=1)
    sample = collect(LocalEngine(backend).stream([one])).samples["a", 0]
    assert [info.token for info in sample.tokens] == [*b"abc", END]  # lm-eval counts on prompt + 1
    assert sample.finished is not None
    assert (sample.finished.reason, sample.finished.completion_tokens) == (FinishReason.STOP, 0)


def test_an_echo_leaves_out_what_the_tokenizer_added() -> None:
    def info(text: str) -> TokenInfo:
        return TokenInfo(0, text, -1.0, [])

    found = _texts_within(b"Hi there", [info("<s>"), info(" Hi"), info(" there")])
    assert [one.text for one in found] == ["", "Hi", " there"]


def test_nan_fails_the_request_and_no_other() -> None:
    backend = FakeBackend(damaged=frozenset({99}))
    bad = Request("bad", TokenPrompt((1, 99, 1, 1)), max_tokens=0, prompt_logprobs=0)
    tree = Request("tree", TokenPrompt((1, 2)), max_tokens=0, continuations=((3, 99, 4), (3, 5, 6), (7,)))
    good = Request("good", TokenPrompt((1, 2, 3)), max_tokens=0, prompt_logprobs=0)
    answers = collect(LocalEngine(backend, parallel=3).stream([bad, tree, good]))
    assert {name: type(event.error) for name, event in answers.failed.items()} == {"bad": LoadError, "tree": LoadError}
    check(Answers(answers.samples, {}, {}, answers.prompts, answers.starts, {}), [good])


def test_more_than_the_context_holds_is_refused() -> None:
    engine = LocalEngine(FakeBackend(trained_context=20), parallel=2)
    fits = Request("fits", TokenPrompt((1,) * 20), max_tokens=0, prompt_logprobs=0)
    tight = Request("tight", TokenPrompt((1,) * 15), max_tokens=0, continuations=((1,) * 5, (2,)))
    long = Request("long", TokenPrompt((1,) * 21), max_tokens=0, prompt_logprobs=0)
    wide = Request("wide", TokenPrompt((1,) * 15), max_tokens=0, continuations=((1,) * 6, (2,)))
    answers = collect(engine.stream([fits, tight, long, wide]))
    assert {name: type(event.error) for name, event in answers.failed.items()} == {
        "long": ContextFull,
        "wide": ContextFull,
    }
    answers.failed.clear()
    check(answers, [fits, tight])


def test_too_many_branches_are_refused_with_their_number() -> None:
    following = tuple((index, 0) for index in range(10))
    one = Request("a", TokenPrompt((1,)), max_tokens=0, continuations=following)
    answers = collect(LocalEngine(FakeBackend(max_sequences=10)).stream([one]))
    assert isinstance(answers.failed["a"].error, RequestError)
    assert "10 branches" in str(answers.failed["a"].error)


def test_a_cancelled_tree_ends_once() -> None:
    engine = LocalEngine(FakeBackend(step_tokens=8))
    one = Request("a", TokenPrompt((1,) * 6), max_tokens=0, continuations=((1,) * 9, (2,) * 9, (3,) * 9))
    answers = Answers()
    for said in engine.stream([one]):
        answers.take(said)
        if isinstance(said, Prefill) and said.total > 6:  # a branch is being computed
            engine.cancel("a")
    finished = answers.samples["a", 0].finished
    assert finished is not None
    assert finished.reason is FinishReason.CANCELLED
    check(collect(engine.stream([one])), [one])
