"""Scoring with llama.cpp: beside a plain loop over its logits; whole, in chunks, as a tree and in several cores."""

from __future__ import annotations

import ctypes
import itertools
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from answers import collect
from shell import call
from tiny_gpt2 import write_tiny_gpt2

from gptcli.engine.backend import CacheConfig, Decoded
from gptcli.engine.engine import LocalEngine
from gptcli.errors import ExitCode
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.library import C
from gptcli.llama.logprobs import token_logprobs
from gptcli.types import Request, TokenPrompt

Open = Callable[..., LlamaBackend]
SINGLE = 1e-4
"""How far log-probabilities may be apart on average, in nats a token, where steps have 64 tokens or more."""
SHORT_STEPS = {"F32": 1e-3, "Q8_0": 5e-3, "Q4_0": 5e-3}
"""The same with shorter steps: llama.cpp's flash attention on a CPU then sums in half precision (ggml-cpu/ops.cpp,
flash_attn_ext_f16_one_chunk, not tiled), and what quantized weights are multiplied with rounds otherwise.
"""
TOKENS = tuple(random.Random(1).choices(range(60, 250), k=150))


def plain_loop(backend: LlamaBackend, tokens: tuple[int, ...]) -> list[float]:
    """Log-probabilities of all tokens but the first, in one step, without anything of the engine."""
    backend.reserve(CacheConfig(256, 1, scored_rows=256))
    backend.remove(0, 0)
    for position, token in enumerate(tokens):
        backend.add(token, position, 0, logits=True)
    assert backend.decode() is Decoded.OK
    found = []
    for position, token in enumerate(tokens[1:]):
        logits = C.llama_get_logits_ith(backend._live.handle, position)[: backend.vocabulary.size]
        peak = max(logits)
        found.append(logits[token] - peak - math.log(math.fsum(math.exp(logit - peak) for logit in logits)))
    return found


def scored(engine: LocalEngine, tokens: tuple[int, ...], start: int = 1, end: int | None = None) -> list[float]:
    request = Request("a", TokenPrompt(tokens[:end]), max_tokens=0, prompt_logprobs=0, prompt_logprobs_start=start)
    return [info.logprob for info in collect(engine.stream([request])).prompts["a"]]


def apart(left: list[float], right: list[float]) -> float:
    assert len(left) == len(right)
    return abs(math.fsum(left) - math.fsum(right)) / len(left)


@pytest.mark.parametrize("name", ["F32", "Q8_0", "Q4_0"])
def test_scores_are_those_of_a_plain_loop(formats: dict[str, Path], open_backend: Open, name: str) -> None:
    expected = plain_loop(open_backend(formats[name]), TOKENS)
    engine = LocalEngine(open_backend(formats[name]))
    whole = scored(engine, TOKENS)
    assert apart(whole, expected) < SINGLE
    assert scored(engine, TOKENS) == whole  # not even a rounding differs
    for cuts in ([1, 66, 150], [1, 86, 150], [1, *range(2, 150, 7), 150], [*range(1, 151)]):
        pieces = [scored(engine, TOKENS, start, end) for start, end in itertools.pairwise(cuts)]
        found = [logprob for piece in pieces for logprob in piece]
        if len(cuts) == 3:
            assert found == whole
        else:
            assert apart(found, expected) < SHORT_STEPS[name]


@pytest.mark.parametrize("cores", [1, 2])
def test_a_tree_and_several_cores_give_the_same(formats: dict[str, Path], open_backend: Open, cores: int) -> None:
    path = formats["F32"]
    prefix, rest = TOKENS[:70], TOKENS[70:]
    following = (rest[:9], rest[:5], (*rest[:5], 61, 62), (63,), rest[:9][::-1])
    requests = [
        Request(str(n), TokenPrompt((*prefix[: 60 + n],)), max_tokens=0, continuations=following) for n in range(6)
    ]
    backends = [open_backend(path) for _ in range(cores)]
    answers = collect(LocalEngine(backends[0], replicas=backends[1:], parallel=4).stream(requests))
    reference = open_backend(path)
    for request in requests:
        assert isinstance(request.prompt, TokenPrompt)
        for index, continuation in enumerate(following):
            expected = plain_loop(reference, (*request.prompt.tokens, *continuation))[-len(continuation) :]
            found = [info.logprob for info in answers.continuations[request.id, index]]
            assert found == pytest.approx(expected, abs=1e-2)


def test_the_likeliest_token_equals_the_first_alternative_as_a_float(backend: LlamaBackend) -> None:
    request = Request("a", TokenPrompt(TOKENS), max_tokens=0, prompt_logprobs=backend.vocabulary.size)
    infos = collect(LocalEngine(backend).stream([request])).prompts["a"][1:]
    for info in infos:
        assert [one.logprob for one in info.top] == sorted((one.logprob for one in info.top), reverse=True)
        assert info.logprob in [one.logprob for one in info.top if one.token == info.token]
        assert math.fsum(math.exp(one.logprob) for one in info.top) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_the_alternatives_are_the_largest_logits(count: int) -> None:
    size = 20_000 + 17
    row = np.random.default_rng(count).integers(-300, 300, size).astype(np.float32)  # with many equal ones
    pointer = row.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    ((_, top),) = token_logprobs(pointer, size, [5], count)
    assert [token for token, _ in top] == np.lexsort((np.arange(size), -row))[:count].tolist()


def test_nan_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    def damage(weights: dict[str, np.ndarray]) -> None:
        weights["position_embd.weight"][20:] = np.nan

    path = write_tiny_gpt2(tmp_path / "damaged.gguf", damage=damage)
    lines = b"short\n" + b"much longer than that " * 5 + b"\nshort\n"
    outcome = call("score", "-m", path, "--lines", "--format", "tsv", stdin=lines)
    assert outcome.code == ExitCode.ROWS_FAILED
    first, second, third = outcome.text.splitlines()
    assert first == third
    assert second.startswith("\t\t\t\tmuch longer")
    assert "-:2: the model computes no usable numbers" in outcome.err
    assert call("score", "-m", path, stdin=lines).code == ExitCode.LOAD
