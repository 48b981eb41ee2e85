"""The same events are the same object in every place that writes OpenAI's JSON."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from gptcli.batch.formats import OpenAILines, SimpleLines
from gptcli.batch.row import Row
from gptcli.openai.response import Answer, ResponseBuilder
from gptcli.render.json import json_renderer
from gptcli.terminal import Terminal
from gptcli.types import (
    Alternative,
    Channel,
    ChatPrompt,
    Delta,
    Event,
    Finished,
    FinishReason,
    Message,
    Prompt,
    Request,
    TextPrompt,
    TokenInfo,
)

CHAT = ChatPrompt((Message("user", "hi"),))
TEXT = TextPrompt(b"")


def info(text: str) -> TokenInfo:
    return TokenInfo(7, text, -0.5, [Alternative(7, text, -0.5), Alternative(8, "x", float("-inf"))])


def finished(index: int, reason: FinishReason, tokens: int) -> Finished:
    return Finished("0", index, reason, 5, 3, tokens, 1, 0.0, 0.0)


EVENTS: list[Event] = [
    Delta("0", 0, "naï", [info("na"), info("ï")]),
    Delta("0", 1, "two", [info("two")]),
    Delta("0", 0, "ve \udcff", [info("ve "), info("\udcff")]),
    finished(1, FinishReason.CONTEXT, 1),
    finished(0, FinishReason.STOP, 4),
]
THOUGHTS: list[Event] = [
    Delta("0", 0, "hm", [info("hm")], Channel.REASONING),
    Delta("0", 0, "yes", [info("yes")]),
    finished(0, FinishReason.LENGTH, 2),
]


def rendered(events: list[Event], *, lines: bool, chat: bool, logprobs: bool) -> list[dict[str, Any]]:
    out = io.BytesIO()
    terminal = Terminal(io.BytesIO(), out, io.StringIO())
    renderer = json_renderer(terminal, "m", lines=lines, chat=chat, logprobs=logprobs)
    for event in events:
        renderer.show(event)
    renderer.close()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def gathered(events: list[Event]) -> Answer:
    answer = Answer(1)
    for event in events:
        if isinstance(event, Delta):
            answer.delta(event)
        elif isinstance(event, Finished):
            answer.finished(event)
    return answer


@pytest.mark.parametrize("logprobs", [None, 2])
@pytest.mark.parametrize(("prompt", "events"), [(TEXT, EVENTS), (CHAT, EVENTS), (CHAT, THOUGHTS)])
def test_a_batch_and_format_json_write_the_same_object(
    prompt: Prompt, events: list[Event], logprobs: int | None
) -> None:
    (shown,) = rendered(events, lines=False, chat=prompt is CHAT, logprobs=logprobs is not None)
    request = Request("0", prompt, logprobs=logprobs)
    line = OpenAILines("m", 1).answer(Row(0, 1, 0, {}), request, gathered(events)).out
    body = json.loads(line)["response"]["body"]
    # All that differs: OpenAI's files have these null fields, and --format json has the cached tokens.
    assert body.pop("system_fingerprint") is None
    for choice in body["choices"]:
        assert prompt is TEXT or choice["message"].pop("refusal") is None
    assert shown["usage"].pop("prompt_tokens_details") == {"cached_tokens": 3}
    for value in (body, shown):
        del value["id"], value["created"]
    assert json.dumps(body) == json.dumps(shown)


@pytest.mark.parametrize(("chat", "events"), [(False, EVENTS), (True, EVENTS), (True, THOUGHTS)])
def test_the_chunks_of_a_stream_add_up_to_the_whole_object(chat: bool, events: list[Event]) -> None:
    (whole,) = rendered(events, lines=False, chat=chat, logprobs=True)
    *chunks, last = rendered(events, lines=True, chat=chat, logprobs=True)
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    for expected in whole["choices"]:
        choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == expected["index"]]
        assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
        assert choices[-1]["finish_reason"] == expected["finish_reason"]
        logprobs = [choice["logprobs"] for choice in choices if choice["logprobs"]]
        if chat:
            assert choices[0]["delta"]["role"] == "assistant"
            assert "role" not in choices[1]["delta"]
            for field in expected["message"].keys() - {"role"}:
                pieces = [choice["delta"].get(field, "") for choice in choices]
                assert "".join(pieces) == expected["message"][field]
            assert [item for part in logprobs for item in part["content"]] == expected["logprobs"]["content"]
        else:
            assert "".join(choice["text"] for choice in choices) == expected["text"]
            for field, values in expected["logprobs"].items():
                assert [item for part in logprobs for item in part[field]] == values


def test_a_chat_of_which_nothing_came_writes_nothing() -> None:
    assert rendered([], lines=True, chat=True, logprobs=False) == []
    assert rendered([], lines=False, chat=True, logprobs=False) == []


def test_ids_and_finish_reasons_are_openais() -> None:
    for chat, prefix in ((True, "chatcmpl-k"), (False, "cmpl-k")):
        value = ResponseBuilder("m", "k", 17, chat).completion(gathered(EVENTS))
        assert (value["id"], value["created"], value["model"]) == (prefix, 17, "m")
        assert [choice["finish_reason"] for choice in value["choices"]] == ["stop", "length"]  # type: ignore[attr-defined]


def test_simple_lines_have_the_reasoning() -> None:
    line = SimpleLines().answer(Row(0, 1, 0, {}), Request("0", CHAT), gathered(THOUGHTS)).out
    assert json.loads(line) == {
        "id": "line-1",
        "text": "yes",
        "finish_reason": "length",
        "reasoning": "hm",
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
