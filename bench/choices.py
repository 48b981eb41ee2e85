"""Score four endings of each of some 500-token prefixes, as a tree or each as a whole text; print seconds and sums."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

from gptcli.models.progress import Silent
from gptcli.runtime import EngineOptions
from gptcli.runtime.loader import EngineLoader
from gptcli.scoring.choices import Choices, NotScored, score_choices
from gptcli.scoring.texts import PARALLEL
from gptcli.types import Engine, TokenPrompt

PREFIX_TOKENS = 500
_ENDINGS = (
    " He went home at once.",
    " He went home and slept.",
    " She counted the birds again.",
    " The mill was on fire.",
)


def items(engine: Engine, count: int) -> Iterator[Choices]:
    """Prefixes that have nothing in common, with endings of which two begin alike."""
    endings = tuple(engine.tokenize(ending.encode()) for ending in _ENDINGS)
    for number in range(count):
        words = " ".join(f"On day {(number * 997 + day * day) % 9973} he counted {day} birds." for day in range(60))
        prefix = engine.tokenize(f"{number}: {words}".encode(), begins=True)[:PREFIX_TOKENS]
        yield Choices(str(number), TokenPrompt(prefix), endings)


def main(model: str, threads: int, count: int, kind: str) -> None:
    loader = EngineLoader(EngineOptions(model=model or None, threads=threads), Silent(), sys.stderr.write)
    with loader.open(parallel=PARALLEL, reuse=kind == "tree") as loaded:
        asked = list(items(loaded.engine, count))
        if kind == "whole":  # nothing is shared: every ending comes with its own prefix, and all of it is scored
            asked = [
                Choices(f"{one.id}/{at}", TokenPrompt(one.prompt.tokens[:1]), ((*one.prompt.tokens[1:], *ending),))
                for one in asked
                for at, ending in enumerate(one.continuations)
            ]
        started, sums = time.perf_counter(), {}
        for result in score_choices(loaded.engine, asked):
            if isinstance(result, NotScored):
                raise result.error
            for at, score in enumerate(result.scores):
                key = result.id if kind == "whole" else f"{result.id}/{at}"
                tokens = score.tokens[PREFIX_TOKENS - 1 :] if kind == "whole" else score.tokens
                sums[key] = sum(token.logprob for token in tokens) / len(tokens)
        print(json.dumps({"seconds": time.perf_counter() - started, "per_token": sums}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
