"""An item of a task becomes a request, and the engine's answer to it a record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gptcli.batch.formats import Result, ResultFormat, json_line, row_name
from gptcli.batch.request import Template
from gptcli.batch.row import Code, Row, RowError
from gptcli.errors import EngineError, InvalidRequest
from gptcli.evaluation.metrics import exact_match, token_f1
from gptcli.evaluation.task import OutputType, Task
from gptcli.openai.response import Answer
from gptcli.params import Sampling
from gptcli.scoring.choices import make_choices
from gptcli.scoring.texts import make_text
from gptcli.types import ChatPrompt, Engine, Message, Prompt, Request, TextPrompt, TokenPrompt


@dataclass(frozen=True, slots=True)
class Item:
    """What is asked, and what would be right."""

    text: str
    choices: tuple[str, ...] = ()
    target: int = 0
    """The index of the right choice."""
    answers: tuple[str, ...] = ()
    """Right texts, where one is generated."""


@dataclass
class ItemBuilder:
    """Makes the request of each item, and remembers the item until it is answered."""

    task: Task
    load_engine: Callable[[], Engine]
    chat: bool = False
    """Whether the text is a message to the model, in its chat template."""
    items: dict[str, Item] = field(default_factory=dict)
    """Items by the ids of their requests."""

    @cached_property
    def engine(self) -> Engine:
        """The engine, which is loaded now if it was not before."""
        return self.load_engine()

    @cached_property
    def _text(self) -> Template:
        return _template(self.task.doc_to_text)

    @cached_property
    def _target(self) -> Template:
        return _template(str(self.task.doc_to_target))

    @cached_property
    def _choices(self) -> list[Template]:
        choices = self.task.doc_to_choice
        return [] if isinstance(choices, str) else [Template(choice) for choice in choices]

    @cached_property
    def _head(self) -> str:
        """What stands before every item: the description and the examples with their answers."""
        parts = [self.task.description]
        for row in self.task.examples():
            item = self.item(row)
            right = item.choices[item.target] if item.choices else item.answers[0]
            parts.append(f"{item.text}{self.task.target_delimiter}{right}{self.task.fewshot_delimiter}")
        return "".join(parts)

    def build(self, row: Row) -> Request:
        item = self.item(row)
        id, kind = str(row.number), self.task.output_type
        if kind is OutputType.PERPLEXITY:
            text = make_text(self.engine, id, item.text.encode())
            prompt: Prompt = TokenPrompt(text.tokens)
            request = Request(id, prompt, max_tokens=0, prompt_logprobs=0, prompt_logprobs_start=text.start)
        elif kind is OutputType.MULTIPLE_CHOICE:
            request = self._choice_request(id, item)
        else:
            prompt = self._prompt(self._head + item.text)
            stop, most = self.task.until, self.task.max_tokens
            request = Request(id, prompt, Sampling(temperature=0, seed=0), max_tokens=most, stop=stop)
        self.items[id] = item
        return request

    def _choice_request(self, id: str, item: Item) -> Request:
        """As lm-eval does it: white space at the end of the text belongs to the choices (`encode_pair`)."""
        whole = self._head + item.text
        delimiter = "" if self.chat else self.task.target_delimiter
        text = whole if self.chat else whole.rstrip()
        continuations = [whole[len(text) :] + delimiter + choice for choice in item.choices]
        choices = make_choices(self.engine, id, self._prompt(text), continuations)
        if not all(choices.continuations):
            raise InvalidRequest("A choice is empty.", param="doc_to_choice")
        return Request(id, choices.prompt, max_tokens=0, logprobs=0, continuations=choices.continuations)

    def _prompt(self, text: str) -> Prompt:
        return ChatPrompt((Message("user", text),)) if self.chat else TextPrompt(text.encode())

    def item(self, row: Row) -> Item:
        """The item of a row. Raises InvalidRequest, naming what is wrong with it."""
        text = self._text.render(row.fields)
        if self.task.output_type is OutputType.PERPLEXITY:
            return Item(text)
        target = self._target_value(row)
        if self.task.output_type is OutputType.GENERATE:
            answers = target if isinstance(target, list) else [target]
            if not answers or not all(isinstance(answer, (str, int, float)) for answer in answers):
                raise InvalidRequest("The item has no right answer.", code="missing_field", param="doc_to_target")
            return Item(text, answers=tuple(map(str, answers)))
        choices = self._item_choices(row)
        return Item(text, choices, _target_index(target, choices))

    def _target_value(self, row: Row) -> Any:
        name = str(self.task.doc_to_target)
        if name in row.fields:
            value = row.fields[name]
            return _json_cell(value) if row.cells is not None else value
        if "{" not in name and not name.isdecimal():
            raise InvalidRequest(f"The item has no field {name}.", code="missing_field", param=name)
        return self._target.render(row.fields)

    def _item_choices(self, row: Row) -> tuple[str, ...]:
        name = self.task.doc_to_choice
        if not isinstance(name, str):
            return tuple(template.render(row.fields) for template in self._choices)
        value = row.fields.get(name)
        if row.cells is not None:
            value = _json_cell(value)
        if not isinstance(value, list) or len(value) < 2 or not all(isinstance(choice, str) for choice in value):
            raise InvalidRequest(f"{name} must be a list of two texts or more.", param=name)
        return tuple(value)


def _template(source: str) -> Template:
    """A name alone is a field, as in lm-eval."""
    return Template(source if "{" in source or not source.isidentifier() else f"{{{{ {source} }}}}")


def _json_cell(value: object) -> object:
    """The list in a cell of a table, if it has one."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _target_index(target: object, choices: Sequence[str]) -> int:
    """The right choice, given as its text, its index from 0, or its letter. Raises InvalidRequest."""
    if isinstance(target, str) and target in choices:
        return choices.index(target)
    index = -1
    if isinstance(target, int) and not isinstance(target, bool):
        index = target
    elif isinstance(target, str) and target.strip().isdecimal():
        index = int(target)
    elif isinstance(target, str) and len(target.strip()) == 1:
        index = ord(target.strip().upper()) - ord("A")
    if not 0 <= index < len(choices):
        raise InvalidRequest(f"{target!r} is none of the {len(choices)} choices.", param="doc_to_target")
    return index


@dataclass(slots=True)
class RecordLines(ResultFormat):
    """A line of JSON for each item: what was right, what came, and its metrics."""

    builder: ItemBuilder

    def answer(self, row: Row, request: Request, answer: Answer) -> Result:
        item = self.builder.items.pop(request.id)
        kind = self.builder.task.output_type
        if kind is OutputType.MULTIPLE_CHOICE:
            record = _choice_record(item, answer, labels=bool(self.builder.task.labels))
        elif kind is OutputType.GENERATE:
            text = answer.samples[0].text.strip()
            record = {"target": list(item.answers), "prediction": text}
            record |= {"exact_match": exact_match(text, item.answers), "f1": token_f1(text, item.answers)}
        else:
            logprob = _sum([token.logprob for token in answer.prompt])
            record = {"logprob": logprob, "tokens": len(answer.prompt), "bytes": len(item.text.encode())}
        return Result(json_line({"id": row_name(row), "line": row.line, **record}))

    def error(self, row: Row | RowError, code: Code, message: str) -> Result:
        self.builder.items.pop(str(row.number), None)
        error = {"code": code.value, "message": message}
        return Result(json_line({"id": row_name(row), "line": row.line, "error": error}))


def _choice_record(item: Item, answer: Answer, *, labels: bool) -> dict[str, object]:
    """lm-eval's `acc` and `acc_norm`: the likeliest choice, as it is and for each character of its text; the first of
    several that are equally likely (lm_eval/api/task.py, `process_results`)."""
    scores = [_sum([token.logprob for token in answer.continuations[index]]) for index in range(len(item.choices))]
    best = max(range(len(scores)), key=scores.__getitem__)
    normalized = [score / max(1, len(choice)) for score, choice in zip(scores, item.choices, strict=True)]
    best_norm = max(range(len(scores)), key=normalized.__getitem__)
    named: dict[str, object] = {"target": item.target, "prediction": best}
    if labels:
        named = {"target": item.choices[item.target], "prediction": item.choices[best]}
    correct = {"acc": float(best == item.target), "acc_norm": float(best_norm == item.target)}
    return {**named, "logprobs": [round(score, 6) for score in scores], **correct}


def _sum(logprobs: Sequence[float]) -> float:
    """Raises EngineError for NaN."""
    total = math.fsum(logprobs)
    if math.isnan(total):
        raise EngineError("The model computed NaN for this item.")
    return total
