"""What a batch would take: rows, tokens, bad rows, and the time, estimated from a short trial."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

from gptcli.batch.formats import ResultFormat
from gptcli.batch.request import RequestBuilder
from gptcli.batch.row import Row, RowError
from gptcli.errors import GptcliError, InvalidRequest
from gptcli.render.batch import Plan
from gptcli.types import Delta, Engine, Finished, Request

TRIAL_SECONDS = 20.0


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
        except GptcliError as error:
            plan.bad[error.code if isinstance(error, InvalidRequest) else type(error).__name__] += 1
            continue
        tokens = len(prompt.tokens)
        plan.prompt_tokens += tokens
        plan.longest_prompt = max(plan.longest_prompt, tokens)
        if request.max_tokens is None or plan.most_tokens is None:
            plan.most_tokens = None
        else:
            plan.most_tokens += request.n * request.max_tokens
        if len(first) < trial:
            # Streamed: about one delta a token, so that the tokens of rows that are cut short count too.
            first.append(replace(request, prompt=prompt, stream=True))
            plan.trial_prompt_tokens += tokens
    _run_trial(plan, first, engine)
    return plan


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
