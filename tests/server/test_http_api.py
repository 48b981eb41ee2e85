"""What clients of OpenAI's API, and of vLLM's and llama-server's, get from a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from http_server import CHAT, HttpServer, parrot

from gptcli.server.process import ServerOptions
from gptcli.server.service import Limits


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    options = ServerOptions(["fake", "also"], Limits(tokens=2000))
    with HttpServer(tmp_path_factory.mktemp("run"), parrot, options=options) as one:
        yield one


def test_a_completion(server: HttpServer) -> None:
    reply = server.ask("/v1/completions", {"model": "also", "prompt": "abc>"})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    (choice,) = reply.json["choices"]
    assert choice == {"index": 0, "text": "abc", "logprobs": None, "finish_reason": "stop"}
    assert reply.json["object"] == "text_completion"
    assert reply.json["model"] == "also"
    usage = reply.json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (4, 3, 7)


def test_sixteen_tokens_unless_more_are_asked_for(server: HttpServer) -> None:
    prompt = "a" * 40 + ">"
    choice = server.ask("/v1/completions", {"prompt": prompt}).json["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("a" * 16, "length")
    assert server.ask("/v1/completions", {"prompt": prompt, "max_tokens": 50}).json["choices"][0]["text"] == "a" * 40


def test_several_prompts_and_samples_are_choices_in_order(server: HttpServer) -> None:
    body = {"prompt": ["one>", "two>", "three>"], "n": 2}
    value = server.ask("/v1/completions", body).json
    assert [(choice["index"], choice["text"]) for choice in value["choices"]] == [
        (0, "one"),
        (1, "one"),
        (2, "two"),
        (3, "two"),
        (4, "three"),
        (5, "three"),
    ]
    assert value["usage"]["prompt_tokens"] == 4 + 4 + 6
    assert value["usage"]["completion_tokens"] == 2 * (3 + 3 + 5)


def test_several_prompts_in_a_stream(server: HttpServer) -> None:
    body = {"prompt": ["one>", "two>"], "n": 2, "stream": True, "stream_options": {"include_usage": True}}
    reply = server.ask("/v1/completions", body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    *chunks, last = reply.chunks
    texts = dict.fromkeys(range(4), "")
    for chunk in chunks:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["text"]
        assert chunk["usage"] is None
    assert texts == {0: "one", 1: "one", 2: "two", 3: "two"}
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (8, 12)


def test_token_ids_and_echo(server: HttpServer) -> None:
    body = {"prompt": [[*b"ab>"], [*"ä>".encode()]], "echo": True}
    texts = [choice["text"] for choice in server.ask("/v1/completions", body).json["choices"]]
    assert texts == ["ab>ab", "ä>ä"]
    chunks = server.ask("/v1/completions", {"prompt": "ab>", "echo": True, "stream": True}).chunks
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "ab>ab"


def test_a_chat(server: HttpServer) -> None:
    value = server.ask("/v1/chat/completions", CHAT | {"max_tokens": 3, "logprobs": True, "top_logprobs": 2}).json
    (choice,) = value["choices"]
    assert value["object"] == "chat.completion"
    assert choice["message"] == {"role": "assistant", "content": "<|i", "refusal": None}
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["<", "|", "i"]
    assert "system_fingerprint" in value


def test_a_chat_in_a_stream(server: HttpServer) -> None:
    first, *others, last = server.ask("/v1/chat/completions", CHAT | {"max_tokens": 3, "stream": True}).chunks
    assert first["object"] == "chat.completion.chunk"
    deltas = [chunk["choices"][0]["delta"] for chunk in (first, *others)]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}  # as OpenAI's streams begin
    assert not any("role" in delta for delta in deltas[1:])
    assert "".join(delta["content"] for delta in deltas) == "<|i"
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "length")
    assert "usage" not in last
    assert len({chunk["id"] for chunk in (first, *others, last)}) == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [
        ("/v1/completions", {"model": "gpt-5", "prompt": "a>"}, 404, "model", "model_not_found"),
        ("/v1/completions", {"prompt": "a>", "tools": [{}]}, 400, "tools", "unsupported"),
        ("/v1/completions", {"prompt": "a>", "never_heard_of": 1}, 400, "never_heard_of", "unsupported"),
        ("/v1/completions", {"prompt": "a>", "temperature": "hot"}, 400, "temperature", "invalid_request"),
        ("/v1/completions", {"prompt": "a>", "stream_options": {}}, 400, "stream_options", "invalid_request"),
        ("/v1/completions", {"prompt": "a>", "stream": 1}, 400, "stream", "invalid_request"),
        ("/v1/completions", {"prompt": "a>", "echo": True, "suffix": "b"}, 400, "echo", "invalid_request"),
        ("/v1/completions", {"prompt": []}, 400, "prompt", "invalid_request"),
        ("/v1/completions", {"prompt": ["a>"] * 2049}, 400, "prompt", "invalid_request"),
        ("/v1/completions", {"prompt": [300]}, 400, None, None),
        ("/v1/completions", {}, 400, "prompt", "missing_field"),
        ("/v1/completions", {"prompt": "a" * 5000}, 400, None, "context_length_exceeded"),
        ("/v1/completions", {"prompt": "a>", "max_tokens": 3000}, 400, "max_tokens", "invalid_request"),
        ("/v1/completions", {"prompt": "a>", "suffix": "b"}, 400, None, None),
        ("/v1/chat/completions", {}, 400, "messages", "missing_field"),
        ("/v1/chat/completions", CHAT | {"stream": True, "n": 300}, 400, "n", "invalid_request"),
        ("/v1/chat/completions", CHAT | {"chat_template_kwargs": 1}, 400, "chat_template_kwargs", "invalid_request"),
        ("/v1/chat/completions", b"[" * 100_000, 400, None, "invalid_request"),
        ("/v1/chat/completions", b'{"messages": NaN}', 400, None, "invalid_request"),
        ("/v1/chat/completions", b"\xff", 400, None, "invalid_request"),
        ("/tokenize", {}, 400, "prompt", "missing_field"),
        ("/tokenize", {"prompt": "a", "content": "b"}, 400, "prompt", "missing_field"),
        ("/detokenize", {"tokens": [1, 999]}, 400, "tokens", "invalid_request"),
    ],
)
def test_errors_have_openais_shape(
    server: HttpServer, path: str, body: object, status: int, param: str | None, code: str | None
) -> None:
    reply = server.ask(path, body)
    assert reply.status == status
    error = reply.error
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert error["message"].endswith(".")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/nothing", 404), ("GET", "/v1/completions", 405)])
def test_errors_of_http_have_the_same_shape(server: HttpServer, method: str, path: str, status: int) -> None:
    reply = server.ask(path, method=method)
    assert (reply.status, reply.error["type"]) == (status, "invalid_request_error")


def test_models(server: HttpServer) -> None:
    value = server.ask("/v1/models").json
    assert (value["object"], [model["id"] for model in value["data"]]) == ("list", ["fake", "also"])
    one = server.ask("/v1/models/fake").json
    assert one in value["data"]
    assert (one["object"], one["max_model_len"]) == ("model", 4096)
    assert server.ask("/v1/models/other/model").error["code"] == "model_not_found"


def test_tokens_as_vllm_has_them(server: HttpServer) -> None:
    value = server.ask("/tokenize", {"prompt": "ab", "add_special_tokens": False, "return_token_strs": True}).json
    assert value == {"count": 2, "max_model_len": 4096, "tokens": [97, 98], "token_strs": ["a", "b"]}
    assert server.ask("/detokenize", {"tokens": [97, 98]}).json["prompt"] == "ab"
    chat = server.ask("/tokenize", CHAT).json
    assert bytes(chat["tokens"]).startswith(b"<|im_start|>user\nHi")
    assert server.ask("/tokenizer_info").json["eos_token"] == "<end>"


def test_tokens_as_llama_server_has_them(server: HttpServer) -> None:
    value = server.ask("/tokenize", {"content": "ä", "with_pieces": True}).json
    assert value["tokens"] == [{"id": 0xC3, "piece": [0xC3]}, {"id": 0xA4, "piece": [0xA4]}]
    assert server.ask("/detokenize", {"tokens": [97]}).json["content"] == "a"


def test_health_and_metrics(server: HttpServer) -> None:
    assert server.ask("/health").json == {"status": "ok"}
    before = metrics(server)
    server.ask("/v1/completions", {"prompt": "abc>"})
    server.ask("/v1/completions", {"prompt": []})
    server.ask("/" + "x" * 99)
    after = metrics(server)
    assert after["gptcli_generation_tokens_total"] - before["gptcli_generation_tokens_total"] == 3
    assert after["gptcli_prompt_tokens_total"] - before["gptcli_prompt_tokens_total"] == 4
    assert after["gptcli_time_to_first_token_seconds_count"] > before["gptcli_time_to_first_token_seconds_count"]
    assert after['gptcli_http_responses_total{path="/v1/completions",status="400"}'] >= 1
    assert after['gptcli_http_responses_total{path="other",status="404"}'] >= 1
    assert after["gptcli_requests_running"] == after["gptcli_requests_waiting"] == 0
    assert after["gptcli_connections"] == 1


def metrics(server: HttpServer) -> dict[str, float]:
    """The server's metrics by their names and labels."""
    lines = server.ask("/metrics").body.decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_a_context_that_is_full_is_a_length(tmp_path: Path) -> None:
    with HttpServer(tmp_path, lambda tokens, seed: 97, limit=64) as server:
        choice = server.ask("/v1/completions", {"prompt": "a" * 60, "max_tokens": 50}).json["choices"][0]
    assert choice["finish_reason"] == "length"
    assert 1 <= len(choice["text"]) <= 5
