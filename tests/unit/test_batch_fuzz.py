"""A file of anything: never a traceback, one result a row, and the good rows among the bad ones are all answered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from batch_engine import TinyEngine
from batch_job import Job
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gptcli.batch.request import RequestBuilder, Template
from gptcli.errors import GptcliError
from gptcli.types import Request, TextPrompt

SCHEMA = json.loads((Path(__file__).parent.parent / "data" / "openai_batch_output.schema.json").read_text())
VALID = jsonschema.Draft202012Validator(SCHEMA)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    [
        "custom_id",
        "id",
        "method",
        "url",
        "body",
        "model",
        "messages",
        "role",
        "content",
        "prompt",
        "text",
        "max_tokens",
        "n",
        "stop",
        "seed",
        "temperature",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "response_format",
        "tools",
        "type",
        "/v1/chat/completions",
        "/v1/completions",
        "POST",
    ]
)
near_misses = st.recursive(
    names | json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=12,
)
bad_lines = st.one_of(
    st.binary(max_size=60).map(lambda data: data.replace(b"\n", b"")),
    near_misses.map(lambda value: json.dumps(value).encode()),
    st.integers(0, 3000).map(lambda depth: b'{"prompt":' * depth),
    st.integers(4000, 6000).map(lambda digits: b'{"prompt": "x", "max_tokens": ' + b"9" * digits + b"}"),
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\0", b"null", b'{"prompt": "\\ud800"}', b'{"custom_id": "\\udfff"}']),
)
good_lines = st.integers(0, 5).map(lambda number: b'{"id": "good", "prompt": "good %d"}' % number)
files = st.tuples(
    st.lists(bad_lines | good_lines, max_size=8),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(files, st.booleans())
@example(([b"[" * 200_000, b'{"id": "good", "prompt": "good 1"}'], b"\n", b""), True)
def test_a_fuzzed_file_never_breaks_and_good_rows_are_answered(
    tmp_path_factory: pytest.TempPathFactory, parts: tuple[list[bytes], bytes, bytes], templated: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    lines, newline, mark = parts
    source, out = folder / "in.jsonl", folder / "out"
    data = mark + newline.join(lines)
    source.write_bytes(data)
    template = Template("{{ prompt }}{{ row }}") if templated else None
    job = Job(source, out, TinyEngine(3, 4), RequestBuilder(Request("", TextPrompt(b"")), template=template))
    status = job.run()
    results = [json.loads(line) for line in out.read_bytes().splitlines()]
    for result in results:
        VALID.validate(result)
    rows = [line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    assert len(results) == status.done == len(rows)
    for row, result in zip(rows, results, strict=True):
        if row.startswith(b'{"id": "good"'):
            assert result["error"] is None
            assert result["custom_id"] == "good"
    assert status.failed == sum(result["error"] is not None for result in results)
    shutil.rmtree(folder)


@settings(deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(["utf-8", "utf-16", "cp1252", "shift_jis"]),
    st.sampled_from([None, "blank", "NUL", "ab"]),
)
def test_any_bytes_as_text_never_break(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, encoding: str, split: str | None
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    source = folder / "in.txt"
    source.write_bytes(data)
    job = Job(source, folder / "out", encoding=encoding, split=split)
    try:
        status = job.run()
    except GptcliError:
        assert encoding == "utf-16", "only an input without its byte order mark may be refused as a whole"
        return
    assert len((folder / "out").read_bytes().splitlines()) == status.done
    shutil.rmtree(folder)


def test_ten_megabytes_in_a_line_are_one_rows_error(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    huge = json.dumps({"id": "huge", "prompt": "x" * 10_000_000})
    source.write_text(f'{{"id": "a", "prompt": "x"}}\n{huge}\n{{"id": "a", "prompt": "y"}}\n')
    Job(source, out).run()
    results = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert [(r["custom_id"], r["error"] and r["error"]["code"]) for r in results] == [
        ("a", None),
        ("huge", "context_length_exceeded"),
        ("a", None),
    ]
