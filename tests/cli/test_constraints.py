"""Constraints from the command line, in files and rows, on the tiny model: what is legal comes out, or nothing does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from shell import Outcome, Shell, call, interrupt

from gptcli.errors import ExitCode

pytestmark = pytest.mark.usefixtures("home")

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
HOT = ("--temp", "1.5", "--seed", "3")


def run(command: str, tiny: Path, *arguments: object, **more: object) -> Outcome:
    return call(command, "-m", tiny, "-t", "1", *arguments, **more)


def check_person(text: str) -> None:
    Draft202012Validator(PERSON).validate(json.loads(text))


@pytest.mark.parametrize("command", ["complete", "chat"])
@pytest.mark.parametrize("limit", [30, 33, 60])
@pytest.mark.parametrize("form", ["file", "json", "short"])
def test_json_satisfies_a_schema(command: str, limit: int, form: str, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "person.json").write_text(json.dumps(PERSON))
    given = {"file": tmp_path / "person.json", "json": json.dumps(PERSON), "short": "name, age int"}[form]
    outcome = run(command, tiny, "Who?", "--json-schema", given, "-n", limit, *HOT)
    assert outcome.code == 0, outcome.err
    check_person(outcome.text)


def test_other_constraints_are_kept(tiny: Path, tmp_path: Path) -> None:
    assert isinstance(json.loads(run("complete", tiny, "x", "--json", *HOT).text), dict)
    assert re.fullmatch("[ab]{2}-[0-9]+", run("complete", tiny, "x", "--regex", "[ab]{2}-[0-9]+", *HOT).text)
    assert run("complete", tiny, "x", "--choices", "yes, no", *HOT).text in ("yes", "no")
    assert run("complete", tiny, "x", "--choices", '["a,b", "c"]', *HOT).text in ("a,b", "c")
    (tmp_path / "g.gbnf").write_text('root ::= "ä" [0-9]', encoding="utf-8")
    (tmp_path / "g.lark").write_text('start: "ö" /[0-9]/', encoding="utf-8")
    assert re.fullmatch("ä[0-9]", run("complete", tiny, "x", "--grammar-file", tmp_path / "g.gbnf", *HOT).text)
    assert re.fullmatch("ö[0-9]", run("complete", tiny, "x", "--grammar-file", tmp_path / "g.lark", *HOT).text)


def test_a_limit_that_is_too_low_is_refused_with_the_number(tiny: Path) -> None:
    outcome = run("complete", tiny, "x", "--json-schema", "name, age int", "-n", "3")
    assert (outcome.code, outcome.out) == (ExitCode.ENGINE, b"")
    found = re.search(r"needs at least (\d+) tokens, and the answer may have 3", outcome.err)
    assert found
    check_person(run("complete", tiny, "x", "--json-schema", "name, age int", "-n", found[1], *HOT).text)


def test_what_cannot_be_kept_is_refused_or_left_out_with_a_word(tiny: Path) -> None:
    schema = json.dumps({**PERSON, "propertyNames": {"maxLength": 4}, "minimun": 3})
    outcome = run("complete", tiny, "x", "--json-schema", schema)
    assert (outcome.code, outcome.out) == (ExitCode.USAGE, b"")
    assert "minimun" in outcome.err
    outcome = run("complete", tiny, "x", "--json-schema", schema, "--lenient", *HOT)
    assert outcome.code == 0, outcome.err
    check_person(outcome.text)
    assert "minimun" in outcome.err


def test_an_answer_that_was_closed_is_said_to_be(tiny: Path) -> None:
    short = ("x", "--json-schema", "name, age int", "-n", "33", *HOT)
    whole = json.loads(run("complete", tiny, *short, "--format", "json").text)
    assert whole["choices"][0]["closed"] is True
    assert whole["choices"][0]["finish_reason"] == "length"
    last = [json.loads(line) for line in run("chat", tiny, *short, "--format", "jsonl").text.splitlines()][-2]
    assert last["choices"][0]["closed"] is True
    assert "finish:  length (closed)" in run("complete", tiny, *short, "--stats").err
    assert "Closed after 33 tokens" in run("complete", tiny, *short, tty="err").err
    ended = json.loads(run("complete", tiny, "x", "--choices", "a,b", "--format", "json").text)
    assert "closed" not in ended["choices"][0]


def test_forced_tokens_are_marked_among_the_logprobs(tiny: Path) -> None:
    arguments = ("x", "--regex", "[ab]--[cd]", "--logprobs", "1", "--format", "json", *HOT)
    text = json.loads(run("complete", tiny, *arguments).text)["choices"][0]
    assert text["logprobs"]["forced"][0] is False
    assert any(text["logprobs"]["forced"])
    assert "".join(text["logprobs"]["tokens"]) == text["text"]
    chat = json.loads(run("chat", tiny, *arguments).text)["choices"][0]
    assert [entry.get("forced", False) for entry in chat["logprobs"]["content"]] == text["logprobs"]["forced"]


def test_items_are_lines(tiny: Path) -> None:
    schema = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 3, "maxItems": 3}
    items = ("--json-schema", json.dumps(schema), "--stream-items", "--format", "jsonl", *HOT)
    for command in ("complete", "chat"):
        lines = [json.loads(line) for line in run(command, tiny, "x", *items).text.splitlines()]
        assert len(lines) == 3
        assert set(lines) <= {"a", "b"}


def test_rows_have_constraints(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
    body = {"prompt": "Who?", "max_tokens": 40, "response_format": wanted}
    rows = [
        {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": body},
        {"id": "b", "prompt": "Who?"},
        {"id": "c", "prompt": "Who?", "grammar": 'root ::= "yes" | "no"'},
        {"id": "d", "prompt": "Who?", "response_format": {"type": "text"}},
        {
            "id": "e",
            "prompt": "Who?",
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"tpye": 1}}},
        },
        {"id": "f", "prompt": "Who?", "choices": "not meant for us"},
    ]
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = run("batch", tiny, "in.jsonl", "--json", "-n", "30", "--out-format", "simple", *HOT)
    assert outcome.code == ExitCode.ROWS_FAILED
    found = {line["id"]: line for line in map(json.loads, outcome.text.splitlines())}
    check_person(found["a"]["text"])
    assert isinstance(json.loads(found["b"]["text"]), dict)
    assert found["c"]["text"] in ("yes", "no")
    assert "text" in found["d"]
    assert "tpye" in found["e"]["error"]["message"]
    assert isinstance(json.loads(found["f"]["text"]), dict)


@pytest.mark.parametrize(("flags", "closes"), [((), True), (("--on-interrupt", "cut"), False)])
def test_ctrl_c_closes_the_json_in_a_pipe(starter_shell: Shell, flags: tuple[str, ...], closes: bool) -> None:
    schema = json.dumps({"type": "array", "items": {"type": "string", "minLength": 2000}, "minItems": 2})
    arguments = ("complete", "-m", "smollm2", "-t", "1", "-n", "-1", "x", "--json-schema", schema, *flags)
    with starter_shell.start(*arguments) as process:
        begun = process.stdout.read(8)
        outcome, _ = interrupt(process)
    assert outcome.code == ExitCode.INTERRUPTED
    text = (begun + outcome.out).decode()
    if closes:
        assert len(json.loads(text)) == 2
    else:
        with pytest.raises(ValueError, match="line 1"):
            json.loads(text)
