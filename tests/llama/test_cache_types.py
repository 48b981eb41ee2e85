"""Types of the KV cache: what is chosen is what llama.cpp gets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from answers import collect

from gptcli.engine.backend import CacheConfig
from gptcli.engine.engine import LocalEngine
from gptcli.errors import OutOfMemory
from gptcli.llama.backend import LlamaBackend
from gptcli.params import Sampling
from gptcli.types import Request, TextPrompt

PROMPT = TextPrompt(b"Once upon a time there was a king who had three daughters. " * 3)
Open = Callable[..., LlamaBackend]


def ask(backend: LlamaBackend) -> tuple[list[float], int]:
    """Log-probabilities of the answer's tokens, and the bytes of a cell in the KV cache."""
    request = Request("r", PROMPT, Sampling(temperature=0), max_tokens=8, ignore_eos=True, logprobs=0)
    tokens = collect(LocalEngine(backend).stream([request])).samples["r", 0].tokens
    return [info.logprob for info in tokens], len(backend.state(0))


def test_keys_and_values_have_the_types_that_were_chosen(open_backend: Open) -> None:
    # The tiny model's heads of 16 numbers have no block of 32, so they cannot be smaller.
    plain, larger = open_backend(), open_backend()
    larger.cache_types = ("f32", "f32")
    (near, size), (exact, double) = ask(plain), ask(larger)
    assert double > 1.6 * size
    assert near == pytest.approx(exact, abs=0.05)


def test_a_replica_and_a_saved_prefix_know_the_types(open_backend: Open) -> None:
    backend = open_backend()
    before = backend.key
    backend.cache_types = ("q8_0", "f16")
    assert backend.key != before
    with backend.replica() as replica:
        assert replica.cache_types == backend.cache_types
    assert not backend.needs_flash
    backend.cache_types = ("f16", "q8_0")
    assert backend.needs_flash


def test_a_type_that_does_not_fit_the_model_is_an_error(open_backend: Open) -> None:
    backend = open_backend()
    backend.cache_types = ("q8_0", "f16")
    with pytest.raises(OutOfMemory, match="could not create a context") as error:
        backend.reserve(CacheConfig(256, 1))
    assert "types of the KV cache" in (error.value.hint or "")
