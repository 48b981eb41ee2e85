"""Greedy decoding of many rows: the tokens that llama.cpp's own samplers choose, in every replica."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_gpt2
from answers import collect

from gptcli.engine.engine import LocalEngine
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.sampler import GreedySampler
from gptcli.params import Sampling
from gptcli.types import Delta, Request, TextPrompt

Open = Callable[..., LlamaBackend]
GREEDY = Sampling(temperature=0)
BEGINNINGS = ["Once upon a time", "The king", "In the garden", "She said that", "Nobody knew", "A ring and a map"]


def texts(engine: LocalEngine, sampling: Sampling = GREEDY, *, ignore_eos: bool = True) -> list[str]:
    requests = [
        Request(str(n), TextPrompt(start.encode()), sampling, max_tokens=30, ignore_eos=ignore_eos)
        for n, start in enumerate(BEGINNINGS)
    ]
    answers = collect(engine.stream(requests))
    assert not answers.failed
    return [answers.samples[request.id, 0].text for request in requests]


@pytest.mark.parametrize("ignore_eos", [True, False])
def test_the_same_text_as_with_llama_cpps_samplers(open_backend: Open, ignore_eos: bool) -> None:
    by_chain = texts(LocalEngine(open_backend()), ignore_eos=ignore_eos)
    assert texts(LocalEngine(open_backend(fast_greedy=True)), ignore_eos=ignore_eos) == by_chain
    assert len(set(by_chain)) > 3


def test_forbidden_tokens_are_not_chosen(tmp_path: Path, open_backend: Open, backend: LlamaBackend) -> None:
    answer = texts(LocalEngine(backend))[0].encode("utf-8", "surrogateescape")
    likely = backend.vocabulary.tokenize(answer, add_special=False, parse_special=False)[-3:]
    path = tiny_gpt2.write_tiny_gpt2(
        tmp_path / "s.gguf", more=lambda writer: writer.add_array("tokenizer.ggml.suppress_tokens", likely)
    )
    by_chain, by_argmax = open_backend(path), open_backend(path, fast_greedy=True)
    assert texts(LocalEngine(by_argmax)) == texts(LocalEngine(by_chain)) != texts(LocalEngine(backend))
    request = Request("r", TextPrompt(BEGINNINGS[0].encode()), GREEDY, max_tokens=30, logprobs=0)
    for event in LocalEngine(by_argmax).stream([request]):
        if isinstance(event, Delta):
            assert not set(likely) & {info.token for info in event.tokens}


@pytest.mark.parametrize(
    "more",
    [
        {"repeat_penalty": 1.3},
        {"presence_penalty": 1.0},
        {"dry_multiplier": 1.0},
        {"logit_bias": ((5, 4.0),)},
        {"mirostat": 2},
        {"typical_p": 0.5},
        {"temperature": 0.5},
        {"xtc_probability": 0.5},
        {"dynatemp_range": 0.5},
        {"samplers": ("infill",)},
    ],
)
def test_anything_that_influences_the_choice_gets_a_chain(open_backend: Open, more: dict[str, object]) -> None:
    sampling = replace(GREEDY, seed=3, **more)  # type: ignore[arg-type]
    backend = open_backend(fast_greedy=True)
    sampler = backend.sampler(sampling, 3, [], ignore_end=False)
    sampler.close()
    assert not isinstance(sampler, GreedySampler)


def test_samplers_that_keep_the_most_likely_token_are_skipped(open_backend: Open) -> None:
    sampling = replace(GREEDY, top_k=5, top_p=0.5, min_p=0.3, repeat_penalty=2.0, repeat_last_n=0, dry_base=0.5)
    assert isinstance(open_backend(fast_greedy=True).sampler(sampling, 3, [], ignore_end=True), GreedySampler)


def test_replicas_generate_the_same_text_as_one_backend(open_backend: Open) -> None:
    alone = texts(LocalEngine(open_backend()))
    backend = open_backend(fast_greedy=True)
    with backend.replica() as second, backend.replica() as third:
        # One row at a time in each and nothing reused, since matrices of other shapes round differently.
        engine = LocalEngine(backend, replicas=[second, third], parallel=3, reuse=False)
        assert texts(engine) == alone
        assert texts(engine) == alone
        assert second.config.cells
        assert third.config.cells
    assert texts(LocalEngine(backend)) == alone  # the model outlives its replicas


def test_logprobs_are_the_same_without_flash_attention(open_backend: Open) -> None:
    shared = "Once upon a time there was a king who had three daughters; " * 6

    def requests() -> list[Request]:
        return [
            Request(str(n), TextPrompt((shared + start).encode()), GREEDY, max_tokens=8, logprobs=1)
            for n, start in enumerate(BEGINNINGS)
        ]

    backend = open_backend()
    assert backend.cpu_threads == 1
    dense = collect(LocalEngine(backend, parallel=6).stream(requests()))
    assert not backend.config.flash
    alone = collect(LocalEngine(open_backend()).stream(requests()))
    for key, answer in dense.samples.items():
        first, other = answer.tokens[0], alone.samples[key].tokens[0]
        assert first.logprob == pytest.approx(other.logprob, abs=0.02)


def test_prefixes_copied_between_partitions_say_the_same(open_backend: Open) -> None:
    shared = "Once upon a time there was a king who had three daughters; " * 3
    requests = [
        Request(str(n), TextPrompt((shared + start).encode()), GREEDY, max_tokens=200, ignore_eos=True, logprobs=0)
        for n, start in enumerate(BEGINNINGS)
    ]
    backend, alone = open_backend(), collect(LocalEngine(open_backend(), reuse=False).stream(requests))
    copied = collect(LocalEngine(backend, parallel=6).stream(requests))
    assert not backend.config.unified
    for one in requests:
        first, second = alone.samples[one.id, 0], copied.samples[one.id, 0]
        count = next(
            (at for at, pair in enumerate(zip(first.text, second.text, strict=False)) if pair[0] != pair[1]), 200
        )
        assert count > 20, "another rounding may turn a tie, but not at once"
        ours, theirs = ([info.logprob for info in answer.tokens[:count]] for answer in (second, first))
        assert ours == pytest.approx(theirs, abs=0.05)
    reused = [copied.started[one.id].reused_tokens > 0 for one in requests]
    assert sum(reused) == len(requests) - 1


def test_a_servers_partitions_grow_with_its_requests(open_backend: Open) -> None:
    backend, alone = open_backend(), open_backend()
    engine, one_by_one = LocalEngine(backend, parallel=16, serving=True), LocalEngine(alone, reuse=False)
    sizes = []
    for count in (1, 6, 14, 2):
        requests = [
            Request(f"{count}/{n}", TextPrompt(f"{n} {BEGINNINGS[n % 6]}".encode()), GREEDY, max_tokens=8)
            for n in range(count)
        ]
        answers, expected = collect(engine.stream(requests)), collect(one_by_one.stream(requests))
        same = [answers.samples[one.id, 0].text == expected.samples[one.id, 0].text for one in requests]
        assert sum(same) >= len(same) - 1, "another rounding may turn a tie"
        assert not answers.failed
        sizes.append(backend.config.sequences)
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3]
