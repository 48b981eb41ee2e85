"""`gptcli score` through `main`, on the tiny model."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from shell import Outcome, call

from gptcli.errors import ExitCode


def score(tiny: Path, *arguments: object, stdin: bytes = b"") -> Outcome:
    return call("score", "-m", tiny, "-t", "1", *arguments, stdin=stdin)


def objects(outcome: Outcome) -> list[dict]:
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("Once upon a time there was a king. " * 30)
    return path


def test_the_columns_agree(tiny: Path, text: Path) -> None:
    (one,) = objects(score(tiny, text, "--format", "jsonl"))
    assert one["file"] == str(text)
    assert one["bytes"] == len(text.read_bytes())
    assert one["perplexity"] == pytest.approx(math.exp(-one["logprob"] / one["tokens"]))
    assert one["bits_per_byte"] == pytest.approx(-one["logprob"] / math.log(2) / one["bytes"])
    assert json.loads(score(tiny, text, "--format", "json").out) == [one]
    cells = score(tiny, text, "--format", "tsv").text.rstrip("\n").split("\t")
    assert float(cells[0]) == pytest.approx(one["logprob"], abs=1e-5)
    assert [int(cells[1]), float(cells[3]), cells[4]] == [one["tokens"], pytest.approx(one["perplexity"]), str(text)]
    header, row = score(tiny, text).text.splitlines()
    assert header.split() == ["tokens", "nats", "bits/byte", "perplexity", "file"]
    assert row.split()[-1] == str(text)


def test_lines_come_in_order_and_none_is_lost(tiny: Path) -> None:
    lines = [b"Once upon", b"", b"caf\xc3\xa9\tau lait", b"\xff\xfe", b"the end"]
    found = objects(score(tiny, "--lines", "--format", "jsonl", stdin=b"\n".join(lines)))
    assert [(one["line"], one["bytes"]) for one in found] == [(at, len(line)) for at, line in enumerate(lines, 1)]
    assert found[1]["logprob"] == 0
    assert found[1]["perplexity"] is None
    assert all(one["logprob"] < 0 for one in found if one["bytes"])
    rows = score(tiny, "--lines", "--format", "tsv", stdin=b"\n".join(lines)).out.splitlines()
    assert [row.split(b"\t")[4] for row in rows] == [*lines[:2], b"caf\xc3\xa9\\tau lait", *lines[3:]]
    assert rows[1] == b"0.000000\t0\t\t\t"


def test_tokens_add_up_to_the_text(tiny: Path, text: Path) -> None:
    (one,) = objects(score(tiny, text, "--tokens", "--format", "jsonl"))
    each = one["token_logprobs"]
    assert b"".join(bytes(token["bytes"]) for token in each) == text.read_bytes()
    assert math.fsum(token["logprob"] for token in each) == pytest.approx(one["logprob"])
    rows = [row.split("\t") for row in score(tiny, text, "--tokens", "--format", "tsv").text.splitlines()]
    assert [int(row[1]) for row in rows] == list(range(1, one["tokens"] + 1))
    assert len(score(tiny, text, "--tokens").text.splitlines()) == one["tokens"] + 2


def test_a_given_text_is_not_scored(tiny: Path) -> None:
    echo = ("-n", "0", "--echo", "--logprobs", "0", "--format", "json", "--no-stdin")
    whole = json.loads(call("complete", "-m", tiny, "-t", "1", "Once upon a time", *echo).out)["choices"][0]["logprobs"]
    after = objects(score(tiny, "--given", "Once upon", "--tokens", "--format", "jsonl", stdin=b" a time"))[0]
    expected = whole["token_logprobs"][-after["tokens"] :]
    assert after["bytes"] == len(" a time")
    assert [token["logprob"] for token in after["token_logprobs"]] == pytest.approx(expected, abs=1e-4)


def test_a_window_changes_what_a_token_follows_but_not_what_is_scored(tiny: Path, text: Path) -> None:
    (whole,) = objects(score(tiny, text, "--format", "jsonl"))
    (cut,) = objects(score(tiny, text, "--format", "jsonl", "--ctx-size", "16", "--stride", "4"))
    assert (cut["tokens"], cut["bytes"]) == (whole["tokens"], whole["bytes"])
    assert cut["logprob"] != whole["logprob"]


def test_llama_windows_score_the_second_halves(tiny: Path, text: Path) -> None:
    (whole,) = objects(score(tiny, text, "--format", "jsonl"))
    (one,) = objects(score(tiny, text, "--format", "jsonl", "--windows", "llama", "--ctx-size", "32"))
    assert one["tokens"] == whole["tokens"] // 32 * 15
    outcome = score(tiny, "--windows", "llama", stdin=b"short")
    assert outcome.code == ExitCode.ENGINE
    assert "at least" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--windows", "llama", "--lines"),
        ("--windows", "llama", "--given", "x"),
        ("--stride", "16", "--ctx-size", "16"),
        ("--ctx-size", "1"),
        ("--ctx-size", "100000"),
        ("--verbose", "--quiet"),
        ("-", "-"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(tiny: Path, arguments: tuple[str, ...]) -> None:
    outcome = score(tiny, *arguments, stdin=b"x")
    assert outcome.code == ExitCode.USAGE
    assert outcome.out == b""


def test_what_cannot_be_read_is_said_before_the_model_is_loaded(tmp_path: Path, tiny: Path) -> None:
    outcome = score(tiny, tmp_path / "none.txt")
    assert outcome.code == ExitCode.ERROR
    assert "none.txt cannot be read" in outcome.err
    assert call("score", "-m", tiny, tty="in").code == ExitCode.USAGE


def test_a_file_that_fails_is_named_and_the_others_are_scored(tiny: Path, text: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("short")
    outcome = score(tiny, short, text, "--windows", "llama", "--ctx-size", "32", "--format", "jsonl")
    first, second = [json.loads(line) for line in outcome.out.splitlines()]
    assert outcome.code == ExitCode.ROWS_FAILED
    assert (first["file"], second["file"]) == (str(short), str(text))
    assert "at least" in first["error"]["message"]
    assert second["tokens"] > 0
