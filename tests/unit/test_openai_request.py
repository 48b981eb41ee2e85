"""An OpenAI body becomes a request, or an error with a code and the name of the field."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gptcli.errors import ExitCode, InvalidRequest, RequestError
from gptcli.openai.request import build_request, parse_chat_completion, parse_completion, parse_messages
from gptcli.params import Sampling
from gptcli.types import ChatPrompt, Message, Request, TextPrompt, TokenPrompt

BASE = Request("", TextPrompt(b""), Sampling(temperature=0.5), max_tokens=9, n=2)
USER = {"role": "user", "content": "hi"}


def test_a_chat_completion() -> None:
    body = {"model": "m", "messages": [USER], "temp": 0.25, "logprobs": True, "top_logprobs": 3, "user": "ann"}
    request = parse_chat_completion("7", body, BASE)
    assert (request.id, request.prompt) == ("7", ChatPrompt((Message("user", "hi"),)))
    assert (request.sampling.temperature, request.logprobs, request.max_tokens, request.n) == (0.25, 3, 9, 2)


def test_a_text_completion() -> None:
    request = parse_completion("7", {"prompt": "once", "suffix": "end", "logprobs": 2, "best_of": 2}, BASE)
    assert (request.prompt, request.logprobs) == (TextPrompt(b"once", b"end"), 2)
    assert parse_completion("7", {"prompt": [1, 2]}, BASE).prompt == TokenPrompt((1, 2))


def test_null_changes_nothing() -> None:
    names = ("model", "temperature", "logprobs", "tools", "never_heard_of")
    body: dict[str, object] = {"prompt": "x", **dict.fromkeys(names)}
    assert parse_completion("", body, BASE) == parse_completion("", {"prompt": "x"}, BASE)


def test_the_parameters_of_a_request_are_marked_as_chosen() -> None:
    request = build_request("", BASE.prompt, {"top_k": 5, "max_tokens": 3}.items(), BASE)
    assert request.sampling.chosen == {"top_k"}


@pytest.mark.parametrize(
    ("body", "code", "param", "message"),
    [
        ({}, "missing_field", "messages", "The body has no messages."),
        ({"messages": []}, "invalid_request", "messages", "messages must be a list of at least one message."),
        ({"model": 7}, "invalid_request", "model", "model must be a text."),
        ({"temperature": -1}, "invalid_request", "temperature", "temperature must be a number of at least 0, not -1."),
        ({"temp": "x"}, "invalid_request", "temp", "temp must be a number of at least 0, not 'x'."),
        ({"top_logprobs": 2}, "invalid_request", "top_logprobs", "top_logprobs needs logprobs to be true."),
        ({"logprobs": 2}, "invalid_request", "logprobs", "logprobs must be true or false in a chat completion."),
        ({"tools": [1]}, "unsupported", "tools", "tools [1] is not supported."),
        ({"stream": True}, "unsupported", "stream", "stream true is not supported."),
        ({"best_of": 3}, "unsupported", "best_of", "best_of other than n is not supported."),
        ({"nonsense": 3}, "unsupported", "nonsense", 'The field "nonsense" is not supported.'),
        ({"stop": "\ud83d"}, "invalid_request", "stop", "stop holds half a character (a lone surrogate)."),
        ({"n": 2, "samples": 3}, "invalid_request", "samples", "n and samples contradict each other."),
        (
            {"messages": [{"role": "tool", "content": ""}]},
            "unsupported",
            "messages",
            "messages[0]: the role 'tool' is not supported.",
        ),
    ],
)
def test_errors_name_the_field(body: dict[str, Any], code: str, param: str, message: str) -> None:
    if body and "messages" not in body:
        body = {"messages": [USER], **body}
    with pytest.raises(InvalidRequest) as caught:
        parse_chat_completion("", body, BASE)
    error = caught.value
    assert (error.code, error.param, error.message) == (code, param, message)
    assert isinstance(error, RequestError)
    assert error.exit_code is ExitCode.ENGINE


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (7, "content must be a text"),
        ([], "content must be a text"),
        ([{}], "must be an object with a type"),
        ([{"type": "text"}], "has no text"),
        ([{"type": "image_url", "image_url": {}}], "content other than text is not supported"),
        ("\udc00", "half a character"),
    ],
)
def test_errors_name_the_message(content: object, words: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape("messages[1]") + ".*" + words):
        parse_messages([USER, {"role": "user", "content": content}])
