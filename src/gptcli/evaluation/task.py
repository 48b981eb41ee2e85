"""A task: a file of items, what is asked about each, and how the answers are judged.

The keys of a task in TOML are those of lm-eval's task files (https://github.com/EleutherAI/lm-evaluation-harness,
docs/task_guide.md), as far as they are understood: `task`, `description`, `output_type`, `doc_to_text`,
`doc_to_choice`, `doc_to_target`, `target_delimiter`, `fewshot_delimiter`, `num_fewshot`, `generation_kwargs`,
`metric_list`. `data` names the file of items, and `split` one of several files or the items of one split."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import Any

from gptcli.batch.input import Input, choose_format
from gptcli.batch.row import Row, RowError
from gptcli.errors import GptcliError, UsageError

SHIPPED = Path(__file__).with_name("tasks")
_KEYS = frozenset(
    {
        "task", "data", "split", "description", "output_type", "doc_to_text", "doc_to_choice", "doc_to_target",
        "target_delimiter", "fewshot_delimiter", "fewshot_data", "num_fewshot", "generation_kwargs", "metric_list",
    }
)  # fmt: skip


class OutputType(str, Enum):
    """What is asked of the model, in lm-eval's words."""

    MULTIPLE_CHOICE = "multiple_choice"  # which of several endings is likeliest
    GENERATE = "generate_until"  # a text, greedily
    PERPLEXITY = "loglikelihood_rolling"  # how likely the item itself is


METRICS = {
    OutputType.MULTIPLE_CHOICE: ("acc", "acc_norm"),
    OutputType.GENERATE: ("exact_match", "f1", "bleu", "rouge1", "rouge2", "rougeL"),
    OutputType.PERPLEXITY: ("perplexity", "bits_per_byte"),
}
"""Metrics of each kind of task. `macro_f1` is for choices that are the same for every item."""
_DEFAULT_METRICS = {**METRICS, OutputType.GENERATE: ("exact_match", "f1")}


@dataclass(slots=True)
class Task:
    """A task as its file has it. `doc_to_…` are templates, or names of fields."""

    name: str
    data: Path
    output_type: OutputType
    doc_to_text: str
    doc_to_target: str | int = ""
    doc_to_choice: str | tuple[str, ...] = ()
    """The field with the choices, or a template for each."""
    description: str = ""
    """What stands before the examples and the item."""
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    fewshot_data: Path | None = None
    num_fewshot: int = 0
    """Examples from the beginning of `fewshot_data`."""
    until: tuple[str, ...] = ("\n\n",)
    max_tokens: int = 64
    metrics: tuple[str, ...] = ()
    split: str | None = None
    settings: dict[str, object] = field(default_factory=dict)
    """What the results depend on, as JSON values."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The choices, if every item has the same: then they are labels."""
        fixed = isinstance(self.doc_to_choice, tuple) and not any("{" in choice for choice in self.doc_to_choice)
        return self.doc_to_choice if fixed and isinstance(self.doc_to_choice, tuple) else ()

    def rows(self) -> Iterator[Row | RowError]:
        """Its items, those of its split numbered anew. Raises UsageError, GptcliError."""
        number = 0
        for row in _open(self.data):
            if self.split is not None and isinstance(row, Row) and row.fields.get("split", self.split) != self.split:
                continue
            row.number = number
            number += 1
            yield row

    def examples(self) -> list[Row]:
        """The items that are shown before each item. Raises UsageError for a broken or a missing one."""
        if not self.num_fewshot:
            return []
        if self.fewshot_data is None:
            raise UsageError(f"The task {self.name} has no fewshot_data.", "Name a file of items there.")
        found: list[Row] = []
        for row in _open(self.fewshot_data):
            if isinstance(row, RowError):
                raise UsageError(f"{self.fewshot_data}, line {row.line}: {row.message}", "Correct the example.")
            found.append(row)
            if len(found) == self.num_fewshot:
                return found
        message = f"{self.fewshot_data} has {len(found)} examples, not {self.num_fewshot}."
        raise UsageError(message, "Lower num_fewshot.")


def shipped_tasks() -> list[str]:
    """The names of the tasks that come with gptcli."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load_task(given: str) -> Task:
    """A task by its file, TOML or only its items (JSONL, CSV, TSV), or by the name of a shipped one.

    Raises UsageError for one that does not exist or is wrong."""
    path = Path(given)
    if not path.is_file():
        path = SHIPPED / f"{given}.toml"
        if not re.fullmatch(r"[\w-]+", given) or not path.is_file():
            known = ", ".join(shipped_tasks())
            raise UsageError(f"There is no task {given}, and no file of that name.", f"Tasks: {known}, or a file.")
    if path.suffix.lower() == ".toml":
        return _from_toml(path)
    return _from_items(path)


def _from_toml(path: Path) -> Task:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise UsageError(f"The task {path} cannot be read: {problem}.", "Correct the file.") from None
    if unknown := sorted(values.keys() - _KEYS):
        raise UsageError(f"{path}: {unknown[0]!r} is no key of a task.", f"The keys are {', '.join(sorted(_KEYS))}.")
    try:
        return _task(path, values)
    except (KeyError, TypeError, ValueError) as problem:
        message = f"{path}: {problem.args[0]!r} is missing." if isinstance(problem, KeyError) else f"{path}: {problem}."
        raise UsageError(message, "See docs/scoring.md for the keys of a task.") from None


def _task(path: Path, values: Mapping[str, Any]) -> Task:
    """Raises KeyError, TypeError, ValueError for keys that are missing or wrong."""
    kind = OutputType(values["output_type"])
    data, split = values["data"], values.get("split")
    if isinstance(data, Mapping):
        if split is None:
            raise ValueError("split must name one of the files in data")
        data, split = data[split], None
    choices = values.get("doc_to_choice", ())
    generation = dict(values.get("generation_kwargs", {}))
    until = generation.pop("until", ["\n\n"])
    most = int(generation.pop("max_gen_toks", 64))
    if generation:
        raise ValueError(f"generation_kwargs has {sorted(generation)[0]!r}; it may have until and max_gen_toks")
    fewshot = values.get("fewshot_data")
    task = Task(
        name=str(values.get("task", path.stem)),
        data=path.parent / data,
        output_type=kind,
        doc_to_text=str(values["doc_to_text"]),
        doc_to_target=values["doc_to_target"] if kind is not OutputType.PERPLEXITY else "",
        doc_to_choice=tuple(map(str, choices)) if isinstance(choices, list) else choices,
        description=str(values.get("description", "")),
        target_delimiter=str(values.get("target_delimiter", " ")),
        fewshot_delimiter=str(values.get("fewshot_delimiter", "\n\n")),
        fewshot_data=None if fewshot is None else path.parent / fewshot,
        num_fewshot=int(values.get("num_fewshot", 0)),
        until=(until,) if isinstance(until, str) else tuple(until),
        max_tokens=most,
        metrics=tuple(_metric_name(metric) for metric in values.get("metric_list", ())),
        split=split,
        settings={name: value for name, value in values.items() if name not in ("metric_list", "task")},
    )
    if kind is OutputType.MULTIPLE_CHOICE and not task.doc_to_choice:
        raise KeyError("doc_to_choice")
    _choose_metrics(task)
    return task


def _metric_name(metric: object) -> str:
    """lm-eval writes `{metric = "acc", aggregation = "mean"}`; the name says it all."""
    return str(metric["metric"] if isinstance(metric, Mapping) else metric)


def _choose_metrics(task: Task) -> None:
    """The task's metrics, or the defaults of its kind. Raises ValueError for one that it cannot have."""
    known = METRICS[task.output_type] + (("macro_f1",) if task.labels else ())
    if wrong := [name for name in task.metrics if name not in known]:
        raise ValueError(f"metric_list has {wrong[0]!r}; a task of this kind has {', '.join(known)}")
    if not task.metrics:
        task.metrics = ("acc", "macro_f1") if task.labels else _DEFAULT_METRICS[task.output_type]


def _from_items(path: Path) -> Task:
    """A task from items alone: their fields say what it is. `choices` with `answer`: multiple choice; `label`: one of
    all labels in the file; `answer` or `answers`: a text to generate; else the perplexity of `text`."""
    fields: set[str] = set()
    labels: dict[str, None] = {}
    for row in _open(path):
        if isinstance(row, Row):
            fields = fields or set(row.fields)
            if isinstance(label := row.fields.get("label"), str):
                labels[label] = None
    text = next((name for name in ("question", "query", "context", "prompt", "text") if name in fields), None)
    if text is None:
        raise UsageError(
            f"The items of {path} have no field question, query, context, prompt or text.",
            "Write a task in TOML that names the fields (docs/scoring.md).",
        )
    task = Task(path.stem, path, OutputType.PERPLEXITY, f"{{{{ {text} }}}}", settings={"data": path.name})
    if "choices" in fields:
        target = next((name for name in ("answer", "label", "gold") if name in fields), "answer")
        task.output_type, task.doc_to_choice, task.doc_to_target = OutputType.MULTIPLE_CHOICE, "choices", target
    elif "label" in fields:
        task.output_type, task.doc_to_choice, task.doc_to_target = OutputType.MULTIPLE_CHOICE, tuple(labels), "label"
        task.doc_to_text = f"Text: {task.doc_to_text}\nLabel:"
    elif answer := next((name for name in ("answers", "answer") if name in fields), None):
        task.output_type, task.doc_to_target = OutputType.GENERATE, answer
    _choose_metrics(task)
    return task


def _open(path: Path) -> Iterator[Row | RowError]:
    source = Input((str(path),), choose_format([str(path)]), BytesIO())
    try:
        yield from source.open()
    except GptcliError as error:
        raise UsageError(error.message, error.hint) from error
    finally:
        source.close()
