"""Weights that were damaged compute NaN, or nothing: an error for the request, soon, and no empty lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from answers import collect
from shell import call
from tiny_gpt2 import write_tiny_gpt2

from gptcli.engine.engine import LocalEngine
from gptcli.errors import ExitCode, LoadError
from gptcli.llama.backend import LlamaBackend
from gptcli.params import Sampling
from gptcli.types import Request, TextPrompt

Open = Callable[..., LlamaBackend]
Weights = dict[str, np.ndarray]
LATE = 20
"""The first position that is damaged in one of the models."""


def not_a_number(weights: Weights) -> None:
    weights["blk.1.ffn_up.weight"][3, 5] = np.nan


def zeros(weights: Weights) -> None:
    for array in weights.values():
        array[:] = 0


def late(weights: Weights) -> None:
    weights["position_embd.weight"][LATE:] = np.nan


SAMPLINGS = {
    "greedy": Sampling(temperature=0),
    "random": Sampling(seed=1),
    "mirostat": Sampling(seed=1, mirostat=2),
}


@pytest.mark.parametrize("damage", [not_a_number, zeros, late])
@pytest.mark.parametrize("name", SAMPLINGS)
@pytest.mark.parametrize("fast_greedy", [False, True])
def test_a_model_that_computes_no_numbers_fails_the_request(
    tmp_path: Path, open_backend: Open, damage: Callable[[Weights], None], name: str, fast_greedy: bool
) -> None:
    path = write_tiny_gpt2(tmp_path / "damaged.gguf", damage=damage)
    engine = LocalEngine(open_backend(path, fast_greedy=fast_greedy))
    request = Request("1", TextPrompt(b"Hi"), SAMPLINGS[name], max_tokens=100, ignore_eos=True, logprobs=None)
    answers = collect(engine.stream([request, replace(request, id="2", n=2)]))
    for failed in answers.failed.values():
        assert isinstance(failed.error, LoadError)
        assert "no usable numbers" in failed.error.message
        assert "gptcli models verify" in failed.error.hint
    assert set(answers.failed) == {"1", "2"}


def test_the_program_says_that_the_model_is_damaged(tmp_path: Path) -> None:
    path = write_tiny_gpt2(tmp_path / "damaged.gguf", damage=not_a_number)
    for command in ("complete", "chat"):
        outcome = call(command, "-m", path, "Hello", "-n", "8")
        assert (outcome.code, outcome.text.strip()) == (ExitCode.LOAD, "")
        assert "gptcli: error: the model computes no usable numbers" in outcome.err


def test_tokens_that_are_repeated_for_good_reasons_are_not_mistaken_for_damage(backend: LlamaBackend) -> None:
    always = Sampling(temperature=0, logit_bias=((72, float("inf")),))
    request = Request("1", TextPrompt(b"Hi"), always, max_tokens=20)
    assert collect(LocalEngine(backend).stream([request])).samples["1", 0].finished.tokens == (72,) * 20
