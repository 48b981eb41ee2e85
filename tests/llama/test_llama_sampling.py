"""Samplers: their choices match the model's probabilities, and each one has an effect."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import pytest
import tiny_gpt2
from answers import Answers, collect

from gptcli.engine.backend import CacheConfig
from gptcli.engine.engine import LocalEngine
from gptcli.errors import RequestError
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.sampler import _CHAIN
from gptcli.params import SAMPLER_NAMES, SAMPLING_PARAMS, Sampling
from gptcli.types import FinishReason, Request, TextPrompt, TokenInfo

Open = Callable[..., LlamaBackend]
PLAIN = Sampling(seed=1, temperature=1, top_k=0, top_p=1, min_p=0)
"""The model's own distribution."""
STORY = b"Once upon a time there was a king who had three daughters"


def run(backend: LlamaBackend, sampling: Sampling, **more: object) -> Answers:
    fields: dict[str, object] = {"max_tokens": 12, "ignore_eos": True, **more}
    request = Request("r", TextPrompt(STORY), sampling, **fields)  # type: ignore[arg-type]
    answers = collect(LocalEngine(backend).stream([request]))
    for failed in answers.failed.values():
        raise failed.error
    return answers


def text(backend: LlamaBackend, sampling: Sampling, **more: object) -> str:
    return run(backend, sampling, **more).samples["r", 0].text


@pytest.fixture
def row(backend: LlamaBackend) -> int:
    """A row of logits after a prompt."""
    tokens = LocalEngine(backend).encode(TextPrompt(STORY)).tokens
    backend.reserve(CacheConfig(256, 1))
    rows = [
        backend.add(token, place, 0, logits=token is tokens[-1] and place == len(tokens) - 1)
        for place, token in enumerate(tokens)
    ]
    backend.decode()
    return rows[-1]


def draws(backend: LlamaBackend, sampling: Sampling, row: int, count: int) -> Counter[int]:
    sampler = backend.sampler(sampling, 1234, [], ignore_end=False)
    try:
        return Counter(sampler.sample(row) for _ in range(count))
    finally:
        sampler.close()


def surprise(drawn: Counter[int], probabilities: dict[int, float]) -> float:
    """Pearson's chi-square as a normal deviate (Wilson and Hilferty 1931); rare tokens are counted together."""
    count = drawn.total()
    bins = [(drawn[token], count * p) for token, p in probabilities.items() if count * p >= 10]
    rest = (count - sum(seen for seen, _ in bins), count - sum(expected for _, expected in bins))
    if rest[1] >= 10:
        bins.append(rest)
    else:
        assert rest[0] <= 40, "tokens were drawn that should hardly ever come"
    chi_square = sum((seen - expected) ** 2 / expected for seen, expected in bins)
    freedom = len(bins) - 1
    assert freedom > 3
    return ((chi_square / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))


def probabilities(info: TokenInfo, *, temperature: float = 1.0, top: int | None = None) -> dict[int, float]:
    weights = {other.token: math.exp(other.logprob / temperature) for other in info.top[:top]}
    whole = sum(weights.values())
    return {token: weight / whole for token, weight in weights.items()}


LIMIT = 4.5
"""Standard deviations: once in 300,000 for a sampler that is right; the seeds are fixed, so it does not flicker."""


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (PLAIN, {}),
        (replace(PLAIN, temperature=0.7), {"temperature": 0.7}),
        (replace(PLAIN, top_k=8), {"top": 8}),
        (replace(PLAIN, top_k=20, temperature=1.4), {"top": 20, "temperature": 1.4}),
    ],
)
def test_frequencies_agree_with_the_probabilities_that_the_model_reports(
    backend: LlamaBackend, row: int, sampling: Sampling, expected: dict[str, float]
) -> None:
    reported = backend.describe(row, 0, backend.vocabulary.size)
    drawn = draws(backend, sampling, row, 20_000)
    assert surprise(drawn, probabilities(reported, **expected)) < LIMIT  # type: ignore[arg-type]


def test_the_statistic_detects_a_slightly_wrong_temperature(backend: LlamaBackend, row: int) -> None:
    reported = probabilities(backend.describe(row, 0, backend.vocabulary.size))
    for temperature in (0.9, 1.1):
        drawn = draws(backend, replace(PLAIN, temperature=temperature), row, 20_000)
        assert surprise(drawn, reported) > 2 * LIMIT


def test_first_tokens_of_many_samples_agree_with_the_probabilities(backend: LlamaBackend) -> None:
    """Seeds that follow each other must not choose alike."""
    drawn: Counter[int] = Counter()
    sampling = replace(PLAIN, top_k=8)
    for start in range(8):
        answers = run(backend, replace(sampling, seed=256 * start), n=256, max_tokens=1, logprobs=8)
        drawn.update(answer.tokens[0].token for answer in answers.samples.values())
    info = answers.samples["r", 0].tokens[0]
    assert surprise(drawn, probabilities(info)) < LIMIT


def test_the_probabilities_of_all_tokens_add_up_to_one(backend: LlamaBackend) -> None:
    size = backend.vocabulary.size
    for info in run(backend, PLAIN, logprobs=size).samples["r", 0].tokens:
        assert sum(math.exp(other.logprob) for other in info.top) == pytest.approx(1)
        assert [other.logprob for other in info.top] == sorted((other.logprob for other in info.top), reverse=True)
        assert {other.token for other in info.top} == set(range(size))
        assert info.logprob in [other.logprob for other in info.top if other.token == info.token]


def test_logprobs_belong_to_the_generated_tokens(backend: LlamaBackend) -> None:
    answer = run(backend, PLAIN, logprobs=3, max_tokens=30).samples["r", 0]
    assert len(answer.tokens) == 30
    assert all(len(info.top) == 3 for info in answer.tokens)
    pieces = b"".join(backend.vocabulary.piece(info.token) for info in answer.tokens)
    dropped = answer.finished.dropped_bytes if answer.finished else 0
    assert pieces[: len(pieces) - dropped] == answer.text.encode("utf-8", "surrogateescape")
    assert [info.text for info in answer.tokens] == [backend.vocabulary.name(info.token) for info in answer.tokens]


def test_greedy_picks_the_most_likely_token(backend: LlamaBackend) -> None:
    answer = run(backend, Sampling(temperature=0), logprobs=1).samples["r", 0]
    assert all(info.token == info.top[0].token for info in answer.tokens)
    assert all(info.top == [] for info in run(backend, PLAIN, logprobs=0).samples["r", 0].tokens)
    assert run(backend, PLAIN).samples["r", 0].tokens == []


def test_logprobs_do_not_change_the_text(open_backend: Open) -> None:
    assert text(open_backend(), PLAIN, logprobs=5) == text(open_backend(), PLAIN)


# Every sampler


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0.2},
        {"top_k": 2},
        {"top_p": 0.1},
        {"min_p": 0.9},
        {"typical_p": 0.05},
        {"top_n_sigma": 0.3},
        {"xtc_probability": 1.0, "xtc_threshold": 0.005},
        {"dynatemp_range": 1.0, "dynatemp_exponent": 3.0},
        {"repeat_penalty": 5.0},
        {"presence_penalty": 20.0},
        {"frequency_penalty": 20.0},
        {"dry_multiplier": 50.0, "dry_allowed_length": 1, "temperature": 0.3},
        {"mirostat": 1, "mirostat_tau": 1.0},
        {"mirostat": 2, "mirostat_tau": 1.0},
        {"samplers": ("top_k", "adaptive_p"), "adaptive_target": 0.1},
        {"samplers": ("infill",)},
        {"logit_bias": (("the", -5.0), (" answer", 3.0))},
        {"seed": 99},
    ],
    ids=lambda changed: ",".join(f"{name}={value}" for name, value in changed.items())[:50],
)
def test_every_sampler_is_reproducible_and_has_an_effect(changed: dict[str, object], open_backend: Open) -> None:
    sampling = replace(PLAIN, **changed)  # type: ignore[arg-type]
    with_it = text(open_backend(), sampling, max_tokens=60)
    assert text(open_backend(), sampling, max_tokens=60) == with_it
    beside = replace(PLAIN, temperature=sampling.temperature) if "dry_multiplier" in changed else PLAIN
    assert text(open_backend(), beside, max_tokens=60) != with_it


def test_penalties_see_the_end_of_the_prompt(backend: LlamaBackend, row: int) -> None:
    likeliest = backend.describe(row, 0, 1).top[0].token
    sampling = Sampling(temperature=0, presence_penalty=1000.0)
    unseen = backend.sampler(sampling, 0, [], ignore_end=False)
    seen = backend.sampler(sampling, 0, [*range(100, 130), likeliest], ignore_end=False)
    forgotten = backend.sampler(replace(sampling, repeat_last_n=8), 0, [likeliest, *range(20)], ignore_end=False)
    assert unseen.sample(row) == likeliest
    assert seen.sample(row) != likeliest
    assert forgotten.sample(row) == likeliest or likeliest < 20
    for sampler in (unseen, seen, forgotten):
        sampler.close()


def test_greedy_with_a_penalty_is_still_greedy(backend: LlamaBackend) -> None:
    sampling = Sampling(temperature=0, repeat_penalty=1.5)
    assert text(backend, replace(sampling, seed=1)) == text(backend, replace(sampling, seed=2))


def test_an_unknown_sampler_is_refused(backend: LlamaBackend) -> None:
    with pytest.raises(RequestError, match="no sampler named magic"):
        text(backend, Sampling(samplers=("top_k", "magic")))


# Biases and ends


def test_a_bias_by_id_and_by_text(backend: LlamaBackend) -> None:
    (token,) = backend.vocabulary.tokenize(b" king", add_special=False, parse_special=False)
    assert text(backend, replace(PLAIN, logit_bias=((token, 1000.0),)), max_tokens=3) == " king king king"
    assert text(backend, replace(PLAIN, logit_bias=((" king", 1000.0),)), max_tokens=2) == " king king"
    assert " king" not in text(
        backend, replace(PLAIN, logit_bias=((" king", 50.0), (token, -math.inf))), max_tokens=100
    )


@pytest.mark.parametrize("token", [-1, 513, 10**9])
def test_a_bias_for_an_unknown_token_is_refused(backend: LlamaBackend, token: int) -> None:
    size = backend.vocabulary.size
    with pytest.raises(RequestError, match=f"no token {max(token, size) if token >= 0 else token}") as caught:
        text(backend, replace(PLAIN, logit_bias=((max(token, size) if token >= 0 else token, 1.0),)))
    assert str(size - 1) in caught.value.hint


def test_an_end_stops_unless_it_is_ignored(backend: LlamaBackend) -> None:
    (end,) = backend.vocabulary.ends
    likely = replace(PLAIN, logit_bias=((end, 1000.0),))
    answer = run(backend, likely, ignore_eos=False).samples["r", 0]
    assert answer.finished is not None
    assert (answer.text, answer.finished.reason, answer.finished.completion_tokens) == ("", FinishReason.STOP, 0)
    ignored = run(backend, PLAIN, ignore_eos=True, max_tokens=300, logprobs=0).samples["r", 0]
    assert end not in [info.token for info in ignored.tokens]


# The file's own defaults


def test_the_files_defaults_replace_what_the_user_did_not_choose(tmp_path: Path, open_backend: Open) -> None:
    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_sampling_top_k(7)
        writer.add_sampling_temp(0.25)
        writer.add_string("general.sampling.penalty_last_n", "many")
        writer.add_int32("general.sampling.mirostat_tau", 3)
        writer.add_sampling_sequence("top-k;Temp;wonder;typ;nucleus")

    backend = open_backend(tiny_gpt2.write_tiny_gpt2(tmp_path / "defaults.gguf", more=add))
    found = backend.default_sampling(Sampling(top_k=9, chosen=frozenset({"top_k"})))
    assert (found.top_k, found.temperature, found.mirostat_tau) == (9, 0.25, 3.0)
    assert found.repeat_last_n == Sampling().repeat_last_n
    assert found.samplers == ("top_k", "temperature", "typ_p", "top_p")
    assert text(backend, found)


def test_defaults_in_the_file_that_are_out_of_range_are_ignored(tmp_path: Path, open_backend: Open) -> None:
    values = {"top_k": "40.9", "top_p": 1.5, "min_p": "nan", "temp": -1.0, "xtc_threshold": 9.0, "mirostat": 7}
    values |= {"penalty_repeat": 0.0, "penalty_last_n": "inf", "xtc_probability": 0.25}

    def add(writer: gguf.GGUFWriter) -> None:
        for name, value in values.items():
            if isinstance(value, str):
                writer.add_string(f"general.sampling.{name}", value)
            elif isinstance(value, int):
                writer.add_int32(f"general.sampling.{name}", value)
            else:
                writer.add_float32(f"general.sampling.{name}", value)

    backend = open_backend(tiny_gpt2.write_tiny_gpt2(tmp_path / "defaults.gguf", more=add))
    assert backend.default_sampling(Sampling()) == replace(Sampling(), top_k=40, xtc_probability=0.25)


def test_every_parameter_with_a_key_is_read_from_the_file(tmp_path: Path, open_backend: Open) -> None:
    keys = {name: param.gguf for name, param in SAMPLING_PARAMS.items() if param.gguf}

    def add(writer: gguf.GGUFWriter) -> None:
        for name, key in keys.items():
            writer.add_string(key, "top_k;temp" if name == "samplers" else "1")

    backend = open_backend(tiny_gpt2.write_tiny_gpt2(tmp_path / "defaults.gguf", more=add))
    found = backend.default_sampling(Sampling())
    assert found == replace(Sampling(), **dict.fromkeys(keys, 1) | {"samplers": ("top_k", "temperature")})  # type: ignore[arg-type]
    assert backend.default_sampling(replace(PLAIN, chosen=frozenset(keys))) == replace(PLAIN, chosen=frozenset(keys))


def test_the_chain_has_every_sampler_of_the_table() -> None:
    assert {*_CHAIN, "adaptive_p"} == set(SAMPLER_NAMES)


def test_without_defaults_in_the_file_nothing_changes(backend: LlamaBackend) -> None:
    assert backend.default_sampling(PLAIN) is PLAIN
