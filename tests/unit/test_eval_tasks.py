"""Tasks: what a file of items is taken for, what TOML may say, and which mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptcli.batch.row import Row, RowError
from gptcli.errors import InvalidRequest, UsageError
from gptcli.evaluation.items import Item, ItemBuilder
from gptcli.evaluation.report import make_metrics
from gptcli.evaluation.task import OutputType, Task, load_task, shipped_tasks


def items(task: Task) -> list[Item]:
    builder = ItemBuilder(task, lambda: pytest.fail("no engine is needed for items"))
    return [builder.item(row) for row in task.rows() if isinstance(row, Row)]


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", shipped_tasks())
def test_the_tasks_that_ship_are_whole(name: str) -> None:
    task = load_task(name)
    found = items(task)
    assert len(found) == len(list(task.rows())) > 5
    assert make_metrics(task)
    if task.output_type is OutputType.MULTIPLE_CHOICE:
        places = [item.target for item in found]
        assert {places.count(place) * len(set(places)) // len(places) for place in places} == {1}, "balanced"


def test_choices_and_answers_in_the_forms_that_people_use(tmp_path: Path) -> None:
    rows = [{"question": "Q", "choices": ["x", "y", "z"], "answer": answer} for answer in (1, "1", "B", "b", "y")]
    task = load_task(str(written(tmp_path / "t.jsonl", *rows)))
    assert (task.output_type, task.metrics) == (OutputType.MULTIPLE_CHOICE, ("acc", "acc_norm"))
    assert items(task) == [Item("Q", ("x", "y", "z"), 1)] * 5


def test_a_text_that_is_a_choice_is_no_letter(tmp_path: Path) -> None:
    task = load_task(str(written(tmp_path / "t.jsonl", {"question": "Q", "choices": ["B", "A"], "answer": "A"})))
    assert items(task)[0].target == 1


def test_labels_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\nfine,good\npoor,bad\n")
    task = load_task(str(tmp_path / "t.csv"))
    assert task.labels == ("good", "bad")
    assert items(task) == [
        Item("Text: fine\nLabel:", ("good", "bad"), 0),
        Item("Text: poor\nLabel:", ("good", "bad"), 1),
    ]


def test_answers_are_generated_and_texts_alone_are_predicted(tmp_path: Path) -> None:
    answers = load_task(str(written(tmp_path / "a.jsonl", {"question": "Q", "answers": ["x", "y"]})))
    texts = load_task(str(written(tmp_path / "t.jsonl", {"text": "Once"})))
    assert (answers.output_type, items(answers)) == (OutputType.GENERATE, [Item("Q", answers=("x", "y"))])
    assert (texts.output_type, items(texts)) == (OutputType.PERPLEXITY, [Item("Once")])


def test_a_task_in_the_words_of_lm_eval(tmp_path: Path) -> None:
    written(tmp_path / "d.jsonl", {"ctx": "A", "ends": ["b", "c"], "gold": 1, "split": "test"}, {"split": "train"})
    (tmp_path / "t.toml").write_text(
        'task = "mine"\ndata = "d.jsonl"\nsplit = "test"\noutput_type = "multiple_choice"\ndescription = "Go on.\\n"\n'
        'doc_to_text = "{{ ctx }}:"\ndoc_to_choice = ["{{ ends[0] }}", "{{ ends[1] }}"]\ndoc_to_target = "gold"\n'
        'metric_list = [{ metric = "acc", aggregation = "mean" }]\n'
    )
    task = load_task(str(tmp_path / "t.toml"))
    assert (task.name, task.metrics, task.labels) == ("mine", ("acc",), ())
    assert items(task) == [Item("A:", ("b", "c"), 1)]


def test_one_of_several_files_is_the_split(tmp_path: Path) -> None:
    written(tmp_path / "a.jsonl", {"text": "one"})
    written(tmp_path / "b.jsonl", {"text": "two"})
    (tmp_path / "t.toml").write_text(
        'data = { train = "a.jsonl", test = "b.jsonl" }\nsplit = "test"\noutput_type = "loglikelihood_rolling"\n'
        'doc_to_text = "text"\n'
    )
    assert items(load_task(str(tmp_path / "t.toml"))) == [Item("two")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"choices": ["x", "y"], "answer": 0}, "lacks what the template uses"),
        ({"question": "Q", "choices": ["x"], "answer": 0}, "choices must be a list of two texts"),
        ({"question": "Q", "choices": "xy", "answer": 0}, "choices must be a list of two texts"),
        ({"question": "Q", "choices": ["x", "y"], "answer": 2}, "2 is none of the 2 choices"),
        ({"question": "Q", "choices": ["x", "y"], "answer": True}, "True is none of the 2 choices"),
        ({"question": "Q", "choices": ["x", "y"]}, "no field answer"),
    ],
)
def test_a_broken_item_is_named_and_others_go_on(tmp_path: Path, row: dict[str, object], message: str) -> None:
    good = {"question": "Q", "choices": ["x", "y"], "answer": 0}
    path = written(tmp_path / "t.jsonl", good, row, good)
    with path.open("a") as file:
        file.write("{broken\n")
    task = load_task(str(path))
    builder = ItemBuilder(task, lambda: pytest.fail("no engine is needed for items"))
    first, broken, last, unreadable = list(task.rows())
    assert isinstance(unreadable, RowError)
    assert unreadable.line == 4
    assert isinstance(first, Row)
    assert isinstance(broken, Row)
    assert isinstance(last, Row)
    assert builder.item(first) == builder.item(last)
    with pytest.raises(InvalidRequest, match=message):
        builder.item(broken)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('data = "d.jsonl"\n', "'output_type' is missing"),
        ('data = "d.jsonl"\noutput_type = "guess"\ndoc_to_text = "x"\n', "'guess' is not a valid OutputType"),
        ('output_type = "multiple_choice"\ndata = "d"\ndoc_to_text = "x"\ndoc_to_target = "y"\n', "'doc_to_choice'"),
        ('doc_to_txt = "x"\n', "'doc_to_txt' is no key"),
        ("data = \n", "cannot be read"),
        (
            'output_type = "loglikelihood_rolling"\ndata = "d"\ndoc_to_text = "x"\nmetric_list = ["acc"]\n',
            "metric_list has 'acc'",
        ),
    ],
)
def test_a_mistake_in_a_task_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_task(str(tmp_path / "t.toml"))


def test_an_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as error:
        load_task("hellaswag")
    assert "endings" in error.value.hint
