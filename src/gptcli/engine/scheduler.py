"""Chooses which sequence computes how many tokens in the next step: a pure function of the sequences and a budget."""

from __future__ import annotations

from collections.abc import Sequence as Many

from gptcli.engine.sequence import Sequence

LONG = 64
"""Pending tokens of a prompt that gets a step in partitions to itself."""
FEW = 8
"""Pending tokens that are just as well computed one a step, beside the sequences that decode."""


def plan(
    running: Many[Sequence], budget: int, *, partitioned: bool = False, rows: int = 0
) -> list[tuple[Sequence, int]]:
    """Pairs of a sequence and how many of its pending tokens to compute now; together at most `budget` tokens, and
    with at most `rows` rows of logits beside one of each sequence.

    The rule:
    1. Sequences with one pending token, which decode, go first: they never wait for another one's long prompt.
    2. The rest of the budget is filled with prompt chunks, oldest sequence first, so that the oldest prompt is complete
       as soon as possible. In partitions fewer may be chosen; see `_even`."""
    decoding = [sequence for sequence in running if sequence.pending == 1][:budget]
    prompts = [(sequence, sequence.pending) for sequence in running if sequence.pending > 1]
    if partitioned and prompts:
        prompts = _even(prompts, alone=not decoding)
    steps = [(sequence, 1) for sequence in decoding]
    left = budget - len(steps)
    for sequence, most in prompts:
        if left == 0:
            break
        unscored = max(0, sequence.score_from - 1 - sequence.computed)
        count = min(most, left, unscored + rows + 1)
        steps.append((sequence, count))
        left -= count
        rows -= max(0, count - unscored - 1)
    if partitioned:
        steps.sort(key=lambda step: step[0].slot)
    return steps


def prompts_fill_step(running: Many[Sequence], budget: int, *, partitioned: bool = False) -> bool:
    """Whether the prompts of these fill the next step, so that a further one would have to wait for them."""
    pending = [sequence.pending for sequence in running if sequence.pending > 1]
    return max(pending, default=0) >= LONG if partitioned else sum(pending) >= budget


def _even(prompts: list[tuple[Sequence, int]], *, alone: bool) -> list[tuple[Sequence, int]]:
    """The prompts of a step in partitions, and how many tokens of each.

    llama.cpp cuts such a step into pieces in which neighbours, by sequence id and in rising order, have as many tokens
    each (llama-batch.cpp, split_equal), and each piece reads all the weights. So a step has one long prompt, or the
    same number of tokens of each short one, whose rest is computed beside the sequences that decode, if there are any.
    """
    first, pending = prompts[0]
    if pending >= LONG:
        return [(first, pending)]
    short = [(sequence, count) for sequence, count in prompts if count < LONG]
    even = min((count for _, count in short if alone or count > FEW), default=1)
    return [(sequence, even if alone or count > FEW else 1) for sequence, count in short]
