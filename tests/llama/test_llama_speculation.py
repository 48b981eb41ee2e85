"""Speculative decoding on llama.cpp: the same texts, and the flags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from answers import collect
from shell import call

from gptcli.engine.draft_model import DraftModel
from gptcli.engine.drafting import StepTimes
from gptcli.engine.engine import LocalEngine
from gptcli.engine.speculation import Speculator
from gptcli.llama.backend import LlamaBackend
from gptcli.models.resolve import ModelFile
from gptcli.params import Sampling
from gptcli.runtime import EngineOptions
from gptcli.runtime.local import LocalLoader
from gptcli.types import Finished, Request, TextPrompt

Open = Callable[..., LlamaBackend]
LIST = b"one two three four one two three four one two three"


class FreeSteps(StepTimes):
    """Every step costs the same, so that every draft is verified."""

    def of(self, tokens: int) -> float:
        return 1.0


def tokens_of(engine: LocalEngine, requests: list[Request]) -> tuple[list[tuple[int, ...]], int]:
    """The tokens of all answers, and how many drafts were accepted."""
    ends = [answer.finished for _, answer in sorted(collect(engine.stream(requests)).samples.items())]
    return [end.tokens for end in ends if end], sum(end.accepted for end in ends if end)


@pytest.mark.parametrize("name", ["Q4_0", "Q8_0"])
@pytest.mark.parametrize("model", [False, True])
def test_texts_of_seeds_are_the_same(formats: dict[str, Path], open_backend: Open, name: str, model: bool) -> None:
    requests = [
        Request(
            str(seed),
            TextPrompt(LIST),
            Sampling(seed=seed, temperature=seed / 10, top_k=4),
            max_tokens=60,
            ignore_eos=True,
        )
        for seed in range(12)
    ]
    plain, _ = tokens_of(LocalEngine(open_backend(formats[name]), reuse=False), requests)
    engine = LocalEngine(open_backend(formats[name]), speculation=True, reuse=False)
    draft = DraftModel(open_backend(formats["Q8_0"])) if model else None
    engine._cores[0].speculator = Speculator(draft, times=FreeSteps())
    drafted, accepted = tokens_of(engine, requests)
    assert drafted == plain
    assert accepted > 0


def test_where_several_tokens_are_computed_as_one_is(formats: dict[str, Path], open_backend: Open) -> None:
    assert open_backend(formats["F32"]).exact_tokens == 0
    backend = open_backend(formats["Q4_0"])
    assert backend.exact_tokens == backend.trained_context  # with one thread


def test_flags(tiny: Path, tmp_path: Path) -> None:
    flags = ["--threads", "1", "--stats", "--temp", "0", "-n", "200", "--ignore-eos"]
    asked = ["complete", "-m", tiny, *flags, LIST.decode()]
    drafted = call(*asked, "--speculation")
    assert drafted.code == 0, drafted.err
    assert drafted.out == call(*asked, "--no-speculation").out
    assert "accepted" in call(*asked, "--draft", tiny).err
    assert "accepted" not in call(*asked).err  # F32 is not known to be exact
    assert call(*asked, "--draft", tmp_path / "none.gguf").code != 0
    assert "contradict" in call(*asked, "--draft", tiny, "--no-speculation").err


def test_a_server_drafts_with_the_model_too(tiny: Path) -> None:
    options = EngineOptions(threads=2, speculation=True, draft=str(tiny))
    loader = LocalLoader(ModelFile(tiny, "tiny", trusted=True), options, print)
    request = Request("0", TextPrompt(b"the cat"), Sampling(temperature=0), max_tokens=8, ignore_eos=True)
    with loader.open(parallel=None, before_step=lambda: None) as loaded:
        (finished,) = (event for event in loaded.engine.stream([request]) if isinstance(event, Finished))
    assert finished.drafted > 0
