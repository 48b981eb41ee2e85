"""Result lines are OpenAI's to the letter, tables stay tables."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from batch_engine import TinyEngine

from gptcli.batch.formats import Files, OpenAILines, ResultFormat, SimpleLines, TableRows
from gptcli.batch.request import RequestBuilder
from gptcli.batch.row import Code, Row, RowError
from gptcli.errors import InvalidRequest
from gptcli.openai.response import Answer
from gptcli.types import Delta, Finished, FinishReason, Request, TextPrompt

SCHEMA = json.loads((Path(__file__).parent.parent / "data" / "openai_batch_output.schema.json").read_text())
VALID = jsonschema.Draft202012Validator(SCHEMA)
USER = {"role": "user", "content": "hi"}


def answered(fields: dict[str, Any], form: ResultFormat, **of_row: Any) -> bytes:
    row = Row(4, 5, 6, fields, **of_row)
    request = RequestBuilder(Request("", TextPrompt(b""))).build(row)
    answer = Answer(request.n)
    for event in TinyEngine().stream([request]):
        if isinstance(event, Delta):
            answer.delta(event)
        elif isinstance(event, Finished):
            answer.finished(event)
    return form.answer(row, request, answer).out


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [USER]},
        {"messages": [USER], "n": 3, "logprobs": True, "top_logprobs": 2},
        {"messages": [USER], "logprobs": True},
        {"prompt": "x"},
        {"prompt": [1, 2], "logprobs": 2, "n": 2},
    ],
)
def test_a_result_line_is_valid_by_the_formats_schema(body: dict[str, Any]) -> None:
    url = "/v1/chat/completions" if "messages" in body else "/v1/completions"
    fields = {"custom_id": "mine", "method": "POST", "url": url, "body": body}
    line = answered(fields, OpenAILines("tiny", 77), id="mine")
    assert line.endswith(b"}\n")
    value = json.loads(line)
    VALID.validate(value)
    assert value["custom_id"] == "mine"
    response = value["response"]["body"]
    assert len(response["choices"]) == body.get("n", 1)
    assert (response["model"], response["created"]) == ("tiny", 77)
    usage = response["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_the_schema_itself_can_fail() -> None:
    good = {"id": "batch_req_1", "custom_id": "a", "response": None, "error": {"code": "invalid_json", "message": "x"}}
    VALID.validate(good)
    for change in ({"error": None}, {"custom_id": None}, {"more": 1}, {"error": {"code": "other", "message": "x"}}):
        assert not VALID.is_valid(good | change)


@pytest.mark.parametrize("code", list(Code))
def test_an_error_line_is_valid_and_names_its_line(code: Code) -> None:
    result = OpenAILines("tiny", 1).error(RowError(4, 17, 6, code, "bad"), code, "bad.")
    value = json.loads(result.out)
    VALID.validate(value)
    assert value["error"]["message"].startswith("line 17:")
    assert value["custom_id"] == "line-17"


def test_errors_can_go_to_a_file_of_their_own() -> None:
    for form in (OpenAILines("tiny", 1, separate_errors=True), SimpleLines(separate_errors=True)):
        result = form.error(RowError(4, 17, 6, Code.INVALID_JSON, "bad"), Code.INVALID_JSON, "bad.")
        assert (result.out, bool(result.error)) == (b"", True)


def test_half_characters_and_bad_bytes_still_make_valid_lines() -> None:
    row = Row(0, 1, 0, {}, "half \ud83d")
    answer = Answer(1)
    answer.delta(Delta("0", 0, "bad \udcff", []))
    answer.finished(Finished("0", 0, FinishReason.CONTEXT, 1, 0, 1, 1, 0.0, 0.0))
    line = OpenAILines("tiny", 1).answer(row, Request("0", TextPrompt(b"")), answer).out
    value = json.loads(line.decode())
    assert value["custom_id"] == "half \ud83d"
    assert value["response"]["body"]["choices"][0] == {
        "text": "bad \ufffd",
        "index": 0,
        "logprobs": None,
        "finish_reason": "length",
    }


def test_simple_lines_are_short() -> None:
    assert json.loads(answered({"prompt": "x"}, SimpleLines(), id="7")) == {
        "id": "7",
        "text": "<x#8cdc1683>",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 1, "completion_tokens": 12, "total_tokens": 13},
    }
    several = json.loads(answered({"prompt": "x", "n": 2, "logprobs": 1}, SimpleLines()))
    assert several["id"] == "line-5"
    assert [choice["text"][:3] for choice in several["choices"]] == ["<x#", "<x#"]
    assert several["choices"][0]["logprobs"]["top_logprobs"][0] == {"x": -9999.0}
    error = SimpleLines().error(RowError(4, 17, 6, Code.INVALID_JSON, "bad"), Code.INVALID_JSON, "bad.")
    assert json.loads(error.out) == {
        "id": "line-17",
        "line": 17,
        "error": {"code": "invalid_json", "message": "bad."},
    }


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(("delimiter", "newline"), [(",", "\r\n"), ("\t", "\n")])
def test_a_table_gets_a_column_and_stays_a_table(delimiter: str, newline: str, apart: bool) -> None:
    form = TableRows(["a", "text"], delimiter, newline, "answer", separate_errors=apart)
    bad = RowError(5, 6, 0, Code.INVALID_CSV, "", cells=["1", "2", "3"])
    data = (
        form.header()
        + answered({"text": "x,\t"}, form, cells=['q"\n', "x,\t"])
        + form.error(bad, Code.INVALID_CSV, "3 cells.").out
    )
    rows = list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))
    more = [] if apart else ["answer_error"]
    assert rows[0] == ["a", "text", "answer", *more]
    assert rows[1][:2] == ['q"\n', "x,\t"]
    assert rows[1][2].startswith("<x,")
    assert rows[2][:3] == ["1", "2", ""]
    assert {len(row) for row in rows} == {3 + len(more)}
    assert data.endswith(newline.encode())
    if not apart:
        assert rows[2][3] == "invalid_csv: line 6: 3 cells."


@pytest.mark.parametrize(
    "form", [TableRows(["text"], ",", "\n", "answer", separate_errors=False), Files(separate_errors=True)]
)
@pytest.mark.parametrize("params", [{"n": 2}, {"logprobs": 0}])
def test_what_the_format_cannot_hold_is_refused(form: ResultFormat, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        form.check(Request("0", TextPrompt(b""), **params))
    form.check(Request("0", TextPrompt(b"")))


def test_a_file_holds_only_the_answer() -> None:
    assert answered({"text": "x"}, Files(separate_errors=True), id="a/b.txt") == b"<x#8cdc1683>"


@pytest.mark.parametrize(
    ("block", "expected"), [(None, "Here:\n```\none\n```\n```\ntwo\n```\n"), (0, "one\n"), (-1, "two\n")]
)
def test_a_role_can_have_one_code_block_of_an_answer(block: int | None, expected: str) -> None:
    row, request = Row(0, 1, 2, {}, cells=["a"], id="a.txt"), Request("", TextPrompt(b""))

    def answer(text: str) -> Answer:
        answer = Answer(1)
        answer.delta(Delta("0", 0, text, []))
        answer.finished(Finished("0", 0, FinishReason.STOP, 1, 0, 1, 1, 0.0, 0.0))
        return answer

    text = "Here:\n```\none\n```\n```\ntwo\n```\n"
    assert Files(code_block=block).answer(row, request, answer(text)).out.decode() == expected
    assert json.loads(SimpleLines(code_block=block).answer(row, request, answer(text)).out)["text"] == expected
    table = TableRows(["x"], ",", "\n", "answer", code_block=block).answer(row, request, answer(text))
    assert next(csv.reader(io.StringIO(table.out.decode())))[1] == expected
    assert Files(code_block=block).answer(row, request, answer("no block")).out == b"no block"
