"""What a batch would take, before it is begun: rows, tokens, bad rows, and the time by a short trial.

It knows rows, requests and an engine; it writes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import cast

from gptcli.batch.formats import ResultFormat
from gptcli.batch.request import RequestBuilder
from gptcli.batch.row import Refusal, Row, RowError
from gptcli.batch.runner import Engine
from gptcli.errors import GptcliError
from gptcli.types import Delta, Finished, Prompt, Request, TokenPrompt

TRIAL_SECONDS = 20.0


@dataclass(slots=True)
class Plan:
    """Counts over all rows, and what the trial measured."""

    rows: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    """Rows that cannot be asked, by error code."""
    prompt_tokens: int = 0
    longest_prompt: int = 0
    most_tokens: int | None = 0
    """Tokens generated at most, if every row went on to its limit; None where a row has none."""
    trial_rows: int = 0
    trial_prompt_tokens: int = 0
    trial_tokens: int = 0
    trial_ended: int = 0
    trial_seconds: float = 0.0

    @property
    def seconds(self) -> float | None:
        """The whole run, if its rows are like those of the trial; None where that came to no answer."""
        if not self.trial_ended or not self.trial_seconds:
            return None
        work = self.trial_prompt_tokens + self.trial_tokens
        good = self.rows - sum(self.bad.values())
        return self.trial_seconds / work * (self.prompt_tokens + good * self.trial_tokens / self.trial_rows)


def make_plan(
    rows: Iterable[Row | RowError],
    asking: RequestBuilder,
    format: ResultFormat,
    engine: Engine,
    encode: Callable[[Prompt], TokenPrompt],
    *,
    trial: int,
) -> Plan:
    """Look at every row, and answer the first `trial` ones for at most `TRIAL_SECONDS`."""
    plan, first = Plan(), list[Request]()
    for row in rows:
        plan.rows += 1
        if isinstance(row, RowError):
            plan.bad[row.code.value] += 1
            continue
        try:
            request = asking.request(row)
            format.check(request)
            count = len(encode(request.prompt).tokens)
        except Refusal as refusal:
            plan.bad[refusal.code.value] += 1
            continue
        except GptcliError as error:
            plan.bad[type(error).__name__] += 1
            continue
        _add(plan, request, count)
        if len(first) < trial:
            first.append(request)
            plan.trial_prompt_tokens += count
    _try(plan, first, engine)
    return plan


def _add(plan: Plan, request: Request, count: int) -> None:
    plan.prompt_tokens += count
    plan.longest_prompt = max(plan.longest_prompt, count)
    if request.max_tokens is None or plan.most_tokens is None:
        plan.most_tokens = None
    else:
        plan.most_tokens += request.n * request.max_tokens


def _try(plan: Plan, requests: list[Request], engine: Engine) -> None:
    plan.trial_rows = len(requests)
    began = time.perf_counter()
    # Streamed: a delta a token, near enough, so that those of rows that are not let end count too.
    streamed = [replace(request, stream=True) for request in requests]
    with closing(cast("Generator[object, None, None]", engine.stream(streamed))) as events:
        for event in events:
            plan.trial_tokens += isinstance(event, Delta)
            plan.trial_ended += isinstance(event, Finished)
            plan.trial_seconds = time.perf_counter() - began
            if plan.trial_seconds > TRIAL_SECONDS:
                return
