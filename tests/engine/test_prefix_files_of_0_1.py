"""Prefix states that gptcli 0.1 wrote with the fake backend are restored, for each kind of memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from answers import collect
from fake_backend import FakeBackend

from gptcli.engine.backend import MemoryKind
from gptcli.engine.engine import LocalEngine
from gptcli.engine.prefix_cache import PrefixCache
from gptcli.params import Sampling
from gptcli.types import Request, TextPrompt

FILES = Path(__file__).parents[1] / "data/v0.1"
STORY: str = json.loads((FILES / "facts.json").read_bytes())["fake story"]
KEPT = 180
"""Tokens of each state: the story and two more. With the third one the answer ended, and it was not computed."""


def engine(kind: MemoryKind, folder: Path, key: str) -> LocalEngine:
    """An engine whose prefix cache is that folder."""
    return LocalEngine(FakeBackend(memory=kind, window=48), open_prefix_cache=lambda: PrefixCache(folder, key, "fake"))


def ask(local: LocalEngine, prompt: str, tokens: int) -> tuple[int, str]:
    """Reused tokens and the answer."""
    request = Request("r", TextPrompt(prompt.encode()), Sampling(seed=1), max_tokens=tokens, ignore_eos=True)
    answers = collect(local.stream([request]))
    return answers.started["r"].reused_tokens, answers.samples["r", 0].text


@pytest.mark.parametrize("kind", MemoryKind)
def test_a_state_of_0_1_is_restored(kind: MemoryKind, tmp_path: Path) -> None:
    folder = shutil.copytree(FILES / "fake", tmp_path / "fake")
    key = f"fake {kind.name.lower()}"
    _, first = ask(engine(kind, tmp_path / "none", key), STORY, 3)
    longer = STORY + first[:2] + " and"
    _, fresh = ask(engine(kind, tmp_path / "none", key), longer, 9)
    assert ask(engine(kind, folder, key), longer, 9) == (KEPT, fresh)
    assert len(list(folder.iterdir())) == 3


def test_a_state_of_another_key_is_not_taken(tmp_path: Path) -> None:
    folder = shutil.copytree(FILES / "fake", tmp_path / "fake")
    reused, _ = ask(engine(MemoryKind.ATTENTION, folder, "another"), STORY + " and", 9)
    assert reused == 0
