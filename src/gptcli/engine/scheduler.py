"""Which sequence computes how many tokens in the next step: a pure function of sequences and a budget.

It knows neither memory nor llama.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence as Many

from gptcli.engine.sequence import Sequence

LONG = 64
"""Pending tokens of a prompt for which a step in partitions is worth having alone."""
FEW = 8
"""Pending tokens that are as well computed one in each step, beside the texts that are being written."""


def plan(running: Many[Sequence], budget: int, *, parted: bool = False) -> list[tuple[Sequence, int]]:
    """Pairs of a sequence and how many of its pending tokens to compute now; together at most `budget` tokens.

    The rule:
    1. Who has one token pending, that is a text in the middle of being written, goes first: a stream never waits for
       somebody's long prompt.
    2. What is left of the budget is filled with prompt chunks, oldest sequence first, so that the oldest prompt is
       whole as soon as it can be. In partitions (`parted`) fewer may be chosen, for which see `_even`.
    """
    streaming = [sequence for sequence in running if sequence.pending == 1][:budget]
    prompts = [(sequence, sequence.pending) for sequence in running if sequence.pending > 1]
    if parted and prompts:
        prompts = _even(prompts, alone=not streaming)
    steps = [(sequence, 1) for sequence in streaming]
    left = budget - len(steps)
    for sequence, most in prompts:
        if left == 0:
            break
        count = min(most, left)
        steps.append((sequence, count))
        left -= count
    if parted:
        steps.sort(key=lambda step: step[0].slot)
    return steps


def _even(prompts: list[tuple[Sequence, int]], *, alone: bool) -> list[tuple[Sequence, int]]:
    """The prompts of a step in partitions, and how many tokens of each.

    llama.cpp cuts such a step into pieces in which neighbours, by sequence id and in rising order, have as many tokens
    each (llama-batch.cpp, split_equal), and each piece reads all the weights. So a step has one long prompt, or as many
    tokens of each short one; what is left of these goes on beside the texts that are being written, if there are any.
    """
    first, pending = prompts[0]
    if pending >= LONG:
        return [(first, pending)]
    short = [(sequence, count) for sequence, count in prompts if count < LONG]
    even = min((count for _, count in short if alone or count > FEW), default=1)
    return [(sequence, even if alone or count > FEW else 1) for sequence, count in short]
