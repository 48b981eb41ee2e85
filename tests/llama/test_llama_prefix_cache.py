"""Computed prefixes on disk with llama.cpp: another context goes on from them as if it had computed them itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from answers import Answers, collect
from tiny_gpt2 import write_tiny_gpt2

from gptcli.engine.engine import LocalEngine
from gptcli.engine.prefix_cache import PrefixCache, list_prefixes
from gptcli.llama.backend import LlamaBackend
from gptcli.models.resolve import ModelFile
from gptcli.models.store import integrity
from gptcli.params import Sampling
from gptcli.runtime.local import prefix_cache_opener
from gptcli.settings import prefix_cache_dir
from gptcli.types import Request, TextPrompt

GREEDY = Sampling(temperature=0)
STORY = "Once upon a time there was a king who had three daughters; the first counted the stars, " * 4
Open = Callable[..., LlamaBackend]


def ask(backend: LlamaBackend, folder: Path | None, prompt: str = STORY, *, keep: bool = False, n: int = 1) -> Answers:
    engine = LocalEngine(backend, open_prefix_cache=(lambda: PrefixCache(folder, "tiny")) if folder else None)
    request = Request("r", TextPrompt(prompt.encode()), GREEDY, max_tokens=20, ignore_eos=True, n=n, logprobs=0)
    answers = collect(engine.stream([request]))
    assert not answers.failed
    if keep:
        engine.save_prefix()
    return answers


def logprobs(answers: Answers, index: int = 0) -> list[float]:
    return [info.logprob for info in answers.samples["r", index].tokens]


def test_another_context_says_the_same(open_backend: Open, tmp_path: Path) -> None:
    first = ask(open_backend(), tmp_path, keep=True)
    started = first.started["r"]
    again = ask(open_backend(), tmp_path)
    assert again.started["r"].reused_tokens == started.prompt_tokens - 1
    assert again.samples["r", 0].text == first.samples["r", 0].text
    assert logprobs(again) == pytest.approx(logprobs(first), abs=0.02)


def test_a_text_that_differs_in_the_end_is_computed_from_there(open_backend: Open, tmp_path: Path) -> None:
    ask(open_backend(), tmp_path, keep=True)
    for prompt in STORY[:-40] + "and the cat slept", STORY + "the cat":
        with_it, without = ask(open_backend(), tmp_path, prompt), ask(open_backend(), None, prompt)
        assert with_it.started["r"].reused_tokens > 64
        assert with_it.samples["r", 0].text == without.samples["r", 0].text
        assert logprobs(with_it) == pytest.approx(logprobs(without), abs=0.02)


def test_it_is_the_very_state_that_rested_in_memory(open_backend: Open, tmp_path: Path) -> None:
    engine = LocalEngine(open_backend(), open_prefix_cache=lambda: PrefixCache(tmp_path, "tiny"))
    requests = [
        Request("r", TextPrompt(prompt.encode()), GREEDY, max_tokens=20, ignore_eos=True, logprobs=0)
        for prompt in (STORY, STORY + "and then")
    ]
    collect(engine.stream(requests[:1]))
    engine.save_prefix()
    rested = collect(engine.stream(requests[1:]))
    brought = ask(open_backend(), tmp_path, STORY + "and then")
    assert brought.started["r"].reused_tokens == rested.started["r"].reused_tokens > 64
    assert logprobs(brought) == logprobs(rested)  # not even a rounding differs


def test_samples_begin_with_what_was_kept_alone(open_backend: Open, tmp_path: Path) -> None:
    first = ask(open_backend(), tmp_path, keep=True)
    again = ask(open_backend(), tmp_path, n=3)
    assert again.started["r"].reused_tokens > 64
    for index in range(3):
        assert again.samples["r", index].text == first.samples["r", 0].text


def test_a_state_that_llama_cpp_refuses_is_thrown_away(open_backend: Open, tmp_path: Path) -> None:
    backend = open_backend()
    ask(backend, tmp_path / "one", keep=True)
    (saved,) = list_prefixes(tmp_path / "one")
    cache = PrefixCache(tmp_path / "two", "tiny")
    cut = backend.state(0)
    cache.save(saved.tokens, "", lambda: cut[:-1000], cuttable=True)  # right for us, and not for llama.cpp
    answers = ask(open_backend(), tmp_path / "two")
    assert answers.started["r"].reused_tokens == 0
    assert answers.samples["r", 0].text == ask(open_backend(), None).samples["r", 0].text
    assert not list_prefixes(tmp_path / "two")


def opened(backend: LlamaBackend, path: Path, adapters: list[tuple[Path, float]] | None = None) -> LocalEngine:
    """As the command line opens it, but for the adapters, which are named and not put on."""
    return LocalEngine(
        backend, open_prefix_cache=prefix_cache_opener(ModelFile(path, path.stem, True), backend, adapters or [])
    )


def reused(engine: LocalEngine, *, keep: bool = False) -> int:
    request = Request("r", TextPrompt(STORY.encode()), GREEDY, max_tokens=2, ignore_eos=True)
    answers = collect(engine.stream([request]))
    if keep:
        engine.save_prefix()
    return answers.started["r"].reused_tokens


def test_only_the_same_files_match(open_backend: Open, tiny: Path, tmp_path: Path) -> None:
    assert reused(opened(open_backend(), tiny), keep=True) == 0
    assert reused(opened(open_backend(), tiny)) > 64
    other = write_tiny_gpt2(tmp_path / "other.gguf", seed=1)
    assert reused(opened(open_backend(other), other)) == 0
    copy = shutil.copy(tiny, tmp_path / "copy.gguf")  # nobody knows that it is the same
    assert reused(opened(open_backend(copy), copy)) == 0
    assert len(list_prefixes(prefix_cache_dir())) == 1


def test_adapters_and_their_strength_belong_to_it(open_backend: Open, tiny: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "lora.gguf"
    adapter.write_bytes(b"lora")
    assert reused(opened(open_backend(), tiny), keep=True) == 0
    assert reused(opened(open_backend(), tiny, [(adapter, 1.0)]), keep=True) == 0
    assert reused(opened(open_backend(), tiny, [(adapter, 0.5)])) == 0
    assert reused(opened(open_backend(), tiny, [(adapter, 1.0)])) > 64
    adapter.write_bytes(b"another")
    assert reused(opened(open_backend(), tiny, [(adapter, 1.0)])) == 0
    assert reused(opened(open_backend(), tiny)) > 64


def test_a_file_that_is_known_by_its_hash_matches_wherever_it_lies(
    open_backend: Open, tiny: Path, tmp_path: Path
) -> None:
    paths = [Path(shutil.copy(tiny, tmp_path / name)) for name in ("one.gguf", "two.gguf")]
    for path in paths:
        integrity.record(path, "a" * 64)
    assert reused(opened(open_backend(paths[0]), paths[0]), keep=True) == 0
    assert reused(opened(open_backend(paths[1]), paths[1])) > 64


def test_nothing_is_kept_where_the_size_of_the_context_changes_what_is_computed(
    open_backend: Open, tmp_path: Path
) -> None:
    def scaling(kind: str | None) -> Callable[..., None]:
        def write(writer: object) -> None:
            writer.add_rope_scaling_orig_ctx_len(256)  # type: ignore[attr-defined]
            if kind is not None:
                writer.add_string("gpt2.rope.scaling.type", kind)  # type: ignore[attr-defined]

        return write

    for kind, saved in (None, False), ("longrope", False), ("yarn", True):
        path = write_tiny_gpt2(tmp_path / f"{kind}.gguf", more=scaling(kind))
        backend = open_backend(path)
        assert (prefix_cache_opener(ModelFile(path, "x", True), backend, []) is not None) is saved
