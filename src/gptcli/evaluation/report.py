"""The results of tasks on one or several models: a table, JSON and bars."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from gptcli.evaluation.metrics import BitsPerByte, Bleu, MacroF1, Mean, Metric, Perplexity, Record, Rouge
from gptcli.evaluation.statistics import Estimate, estimate, item_numbers, significance
from gptcli.evaluation.task import Task


@dataclass(slots=True)
class ModelResult:
    """A metric of one model."""

    model: str
    estimate: Estimate
    p: float | None = None
    """Significance of the difference to the first model; None for that one."""


@dataclass(slots=True)
class MetricResult:
    """One metric of a task on every model."""

    task: str
    metric: str
    better: str
    models: list[ModelResult]


@dataclass(slots=True)
class TaskResult:
    """Everything about one task."""

    task: str
    metrics: list[MetricResult] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    """Items without a result, by model."""
    confusion: dict[str, list[list[int]]] = field(default_factory=dict)
    """By model; a row for each target, a column for each prediction."""
    labels: tuple[str, ...] = ()


def make_metrics(task: Task) -> list[Metric]:
    """The task's metrics. Raises GptcliError where the package of one is not installed."""
    return [_make(name, task) for name in task.metrics]


def _make(name: str, task: Task) -> Metric:
    if name == "macro_f1":
        return MacroF1(task.labels)
    if name == "bleu":
        return Bleu()
    if name.startswith("rouge"):
        return Rouge(name)
    if name == "perplexity":
        return Perplexity()
    return BitsPerByte() if name == "bits_per_byte" else Mean(name, lambda record: float(record[name]))


def read_records(data: bytes) -> list[Record]:
    """The lines that `items.RecordLines` wrote, in the order of the items."""
    records: list[Record] = [json.loads(line) for line in data.splitlines()]
    return sorted(records, key=lambda record: int(record["line"]))


def judge_task(
    task: Task, metrics: Sequence[Metric], records: Sequence[tuple[str, Sequence[Record]]], *, seed: int
) -> TaskResult:
    """The results of one task. `records`: those of each model, by its name. Models are compared on the items that all
    of them have answered."""
    result = TaskResult(task.name, labels=task.labels)
    good = [{record["line"]: record for record in found if "error" not in record} for _, found in records]
    for (model, found), answered in zip(records, good, strict=True):
        result.errors[model] = len(found) - len(answered)
    common = sorted(set.intersection(*map(set, good))) if good else []
    for metric in metrics:
        numbers = [item_numbers(metric, list(answered.values())) for answered in good]
        row = MetricResult(task.name, metric.name, metric.better, [])
        for (model, _), own in zip(records, numbers, strict=True):
            row.models.append(ModelResult(model, estimate(metric, own, seed=seed)))
        if common:
            paired = [item_numbers(metric, [answered[line] for line in common]) for answered in good]
            for other, own in zip(row.models[1:], paired[1:], strict=True):
                other.p = significance(metric, paired[0], own, seed=seed)
        result.metrics.append(row)
        if isinstance(metric, MacroF1):
            for (model, _), own in zip(records, numbers, strict=True):
                sums = own.sum(axis=0) if len(own) else [0.0] * len(task.labels) ** 2
                result.confusion[model] = [[round(cell) for cell in line] for line in metric.matrix(sums)]
    return result


def to_json(results: Sequence[TaskResult]) -> dict[str, object]:
    """All numbers, for a program."""
    return {
        result.task: {
            "metrics": {
                row.metric: {
                    one.model: {
                        "value": _number(one.estimate.value),
                        "low": _number(one.estimate.low),
                        "high": _number(one.estimate.high),
                        "items": one.estimate.items,
                        **({} if one.p is None else {"p": round(one.p, 6)}),
                    }
                    for one in row.models
                }
                for row in result.metrics
            },
            "errors": result.errors,
            **({"labels": list(result.labels), "confusion": result.confusion} if result.confusion else {}),
        }
        for result in results
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
