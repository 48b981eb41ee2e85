"""What a batch would take: rows, tokens, bad rows, and the time, estimated from a short trial."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace

from gptcli.batch.formats import ResultFormat
from gptcli.batch.request import RequestBuilder
from gptcli.batch.row import Row, RowError
from gptcli.errors import GptcliError, InvalidRequest
from gptcli.types import Delta, Engine, Finished, Request

TRIAL_SECONDS = 20.0


@dataclass(slots=True)
class Plan:
    """Counts of all rows, and measurements of the trial."""

    rows: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    """Rows that cannot be answered, by error code."""
    prompt_tokens: int = 0
    longest_prompt: int = 0
    most_tokens: int | None = 0
    """Tokens generated if every row reaches its limit; None if a row has no limit."""
    trial_rows: int = 0
    trial_prompt_tokens: int = 0
    trial_tokens: int = 0
    trial_ended: int = 0
    trial_seconds: float = 0.0

    @property
    def seconds(self) -> float | None:
        """Estimate for the whole run, if its rows are like those of the trial; None if no trial row has ended."""
        if not self.trial_ended or not self.trial_seconds:
            return None
        work = self.trial_prompt_tokens + self.trial_tokens
        good = self.rows - sum(self.bad.values())
        return self.trial_seconds / work * (self.prompt_tokens + good * self.trial_tokens / self.trial_rows)


def make_plan(
    rows: Iterable[Row | RowError], builder: RequestBuilder, format: ResultFormat, engine: Engine, *, trial: int
) -> Plan:
    """Count every row, and answer the first `trial` ones for at most `TRIAL_SECONDS`."""
    plan, first = Plan(), list[Request]()
    for row in rows:
        plan.rows += 1
        if isinstance(row, RowError):
            plan.bad[row.code.value] += 1
            continue
        try:
            request = builder.build(row)
            format.check(request)
            prompt = engine.encode(request.prompt)
        except InvalidRequest as error:
            plan.bad[error.code] += 1
            continue
        except GptcliError as error:
            plan.bad[type(error).__name__] += 1
            continue
        _count(plan, request, len(prompt.tokens))
        if len(first) < trial:
            # Streamed: about one delta a token, so that the tokens of rows that are cut short count too.
            first.append(replace(request, prompt=prompt, stream=True))
            plan.trial_prompt_tokens += len(prompt.tokens)
    _run_trial(plan, first, engine)
    return plan


def _count(plan: Plan, request: Request, prompt_tokens: int) -> None:
    plan.prompt_tokens += prompt_tokens
    plan.longest_prompt = max(plan.longest_prompt, prompt_tokens)
    if request.max_tokens is None or plan.most_tokens is None:
        plan.most_tokens = None
    else:
        plan.most_tokens += request.n * request.max_tokens


def _run_trial(plan: Plan, requests: list[Request], engine: Engine) -> None:
    plan.trial_rows = len(requests)
    start = time.perf_counter()
    with closing(engine.stream(requests)) as events:
        for event in events:
            plan.trial_tokens += isinstance(event, Delta)
            plan.trial_ended += isinstance(event, Finished)
            plan.trial_seconds = time.perf_counter() - start
            if plan.trial_seconds > TRIAL_SECONDS:
                return
