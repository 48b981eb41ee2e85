"""Which command lines a running server may answer without the ordinary command."""

from __future__ import annotations

import json

import pytest

from gptcli.cli.warm import Ask
from gptcli.params import Sampling
from gptcli.runtime.wire import load
from gptcli.types import Request, TextPrompt


@pytest.mark.parametrize(
    "arguments",
    [
        ["--samples", "2", "x"],
        ["--format", "json", "x"],
        ["-n5", "x"],
        ["-n", "-1", "x"],
        ["-n", "many", "x"],
        ["-n", "", "x"],
        ["-n"],
        ["-n=5", "x"],
        ["-n", "٣", "x"],
        ["--temp", "-1", "x"],
        ["--temp", "nan", "x"],
        ["--top-p", "1.5", "x"],
        ["--stop", "", "x"],
        ["--stop", "-q", "x"],
        ["-f", "-", "--no-stdin"],
        ["--", "x"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_what_may_be_wrong_is_left_to_the_ordinary_command(arguments: list[str]) -> None:
    assert Ask.parse(arguments) is None


def test_the_request_is_the_one_that_the_ordinary_command_sends() -> None:
    ask = Ask.parse(["-m", "any", "-n", "5", "--temp=0.5", "--top-k", "3", "--stop", "a", "--stop", "b", "one", "two"])
    assert ask is not None
    assert ask.prompt == ["one", "two"]
    sampling = Sampling().with_params({"temperature": 0.5, "top_k": 3})
    expected = Request("7", TextPrompt(b"\xff\n"), sampling, max_tokens=5, stop=("a", "b"))
    assert load(Request, json.dumps(ask.request("7", b"\xff\n"))) == expected


def test_the_defaults_are_those_of_the_ordinary_command() -> None:
    ask = Ask.parse([])
    assert ask is not None
    assert load(Request, json.dumps(ask.request("7", b""))) == Request("7", TextPrompt(b""), max_tokens=256)
