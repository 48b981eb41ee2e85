"""`gptcli chat` with a message, in this process on the tiny model, which has no chat template: one answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import Outcome, call
from tiny_gpt2 import write_tiny_gpt2

from gptcli.chat.store import Store
from gptcli.render.fences import code_blocks

GREEDY = ("--temp", "0", "-n", "8")
CODE = 'root ::= "Look:\\n```sh\\nls\\n```\\nand\\n```\\nrm\\n```\\n"'
BOTH = {"tty": "in out err"}


@pytest.fixture
def chat(tiny: Path):
    def run(*arguments: object, **more: object) -> Outcome:
        return call("chat", "-m", tiny, "-t", "1", *arguments, **more)

    return run


def conversations() -> list[list[str]]:
    """The messages of each stored conversation, the last used first."""
    with Store() as store:
        found = [store.load(summary.id) for summary in store.summaries()]
    return [[turn.content for turn in conversation.path()] for conversation in found]


def test_only_the_answer_is_written(chat) -> None:
    outcome = chat("Hello", *GREEDY)
    assert (outcome.code, outcome.err) == (0, "")
    assert conversations() == [["Hello", outcome.text]]


def test_the_message_is_standard_input_an_empty_line_and_the_argument(chat) -> None:
    chat("in one", "line", *GREEDY, stdin=b"diff --git\n+x\n")
    assert conversations()[0][0] == "diff --git\n+x\n\nin one line"
    chat(*GREEDY, stdin=b"only this\n")
    assert conversations()[0][0] == "only this"
    chat("only that", *GREEDY, "--no-stdin", stdin=b"not this\n")
    assert conversations()[0][0] == "only that"


def test_the_system_message_comes_first(chat) -> None:
    outcome = chat("Hello", "-s", "Be brief.", *GREEDY)
    assert conversations() == [["Be brief.", "Hello", outcome.text]]


@pytest.mark.parametrize("arguments", [("x", "--no-save"), (), ("",), (" \n",), ("--no-stdin",)])
def test_nothing_is_saved_with_no_save_or_an_error(chat, arguments: tuple) -> None:
    outcome = chat(*arguments, *GREEDY)
    assert outcome.code == (0 if "--no-save" in arguments else 2)
    assert conversations() == []


def test_continue_takes_the_last_conversation_and_its_model(chat, tiny: Path) -> None:
    first = chat("one", *GREEDY).text
    other = chat("another", *GREEDY).text
    second = call("chat", "-t", "1", "-c", "two", *GREEDY)
    assert (second.code, second.err) == (0, "")
    assert conversations() == [["another", other, "two", second.text], ["one", first]]


def test_a_conversation_is_continued_by_name_and_id(chat) -> None:
    chat("one", *GREEDY)
    (summary,) = json.loads(call("chats", "list", "--json").out)
    chat("two", *GREEDY)
    call("chats", "rename", summary["id"], "first")
    for reference in ("first", summary["id"], summary["id"][:4]):
        assert chat("more", "--chat", reference, *GREEDY).code == 0
    assert [len(path) for path in conversations()] == [8, 2]


def test_a_new_system_message_replaces_the_first(chat) -> None:
    first = chat("one", "-s", "Be brief.", *GREEDY).text
    second = chat("two", "-c", "-s", "Be long.", *GREEDY).text
    assert conversations() == [["Be long.", "one", first, "two", second]]


def test_without_a_conversation_continue_is_an_error(chat) -> None:
    outcome = chat("x", "-c")
    assert (outcome.code, outcome.out) == (1, b"")
    assert "no conversation to continue" in outcome.err
    assert chat("x", "--chat", "nope").code == 1


def test_a_missing_model_is_not_silently_replaced(tmp_path: Path) -> None:
    model = write_tiny_gpt2(tmp_path / "gone.gguf")
    call("chat", "-m", model, "-t", "1", "Hello", *GREEDY)
    model.unlink()
    outcome = call("chat", "-c", "And?", *GREEDY)
    assert (outcome.code, outcome.out) == (3, b"")
    assert str(model) in outcome.err
    assert "`-m MODEL` continues it with another model" in outcome.err


def test_a_base_model_suggests_complete(chat) -> None:
    outcome = chat("Hello", *GREEDY, tty="err")
    assert "tiny has no chat template" in outcome.err
    assert "`gptcli complete`" in outcome.err
    assert "template" not in chat("Hello", *GREEDY, "-q", tty="err").err


def test_a_model_with_a_template_does_not(tmp_path: Path) -> None:
    model = write_tiny_gpt2(tmp_path / "chat.gguf", chat_template="{{ messages[-1].content }}")
    outcome = call("chat", "-m", model, "-t", "1", "Hello", *GREEDY, tty="err")
    assert outcome.code == 0
    assert "template" not in outcome.err


@pytest.mark.parametrize(("flag", "block"), [("-x", "ls\n"), ("--extract", "ls\n"), ("--xl", "rm\n")])
def test_extract_prints_exactly_the_block(chat, flag: str, block: str) -> None:
    outcome = chat("Code!", "--grammar", CODE, flag)
    assert (outcome.code, outcome.text, outcome.err) == (0, block, "")
    assert code_blocks(conversations()[0][1]) == ["ls\n", "rm\n"]  # the whole answer is saved


def test_extract_prints_the_whole_answer_if_it_has_no_block(chat) -> None:
    outcome = chat("Code!", "-x", *GREEDY, tty="err")
    assert outcome.text == chat("Code!", *GREEDY).text
    assert "no fenced block" in outcome.err


def test_json_is_openais_chat_completion(chat, tiny: Path) -> None:
    text = chat("Hello", *GREEDY).out.decode("utf-8", "replace")
    outcome = chat("Hello", *GREEDY, "--format", "json")
    whole = json.loads(outcome.out)
    assert outcome.text.count("\n") == 1
    assert set(whole) == {"id", "object", "created", "model", "choices", "usage"}
    assert whole["id"].startswith("chatcmpl-")
    assert (whole["object"], whole["model"]) == ("chat.completion", "tiny")
    (choice,) = whole["choices"]
    assert choice["message"] == {"role": "assistant", "content": text}
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "length", None)
    assert whole["usage"]["completion_tokens"] == 8


def test_jsonl_is_openais_stream(chat) -> None:
    text = chat("Hello", *GREEDY).out.decode("utf-8", "replace")
    *chunks, last = [json.loads(line) for line in chat("Hello", *GREEDY, "--format", "jsonl").text.splitlines()]
    assert {(chunk["object"], len(chunk["choices"])) for chunk in chunks} == {("chat.completion.chunk", 1)}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert all("role" not in delta for delta in deltas[1:])
    assert "".join(delta.get("content", "") for delta in deltas) == text
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 8)


def test_an_empty_answer_has_a_role(chat) -> None:
    first, *_ = [json.loads(line) for line in chat("Hello", "-n", "0", "--format", "jsonl").text.splitlines()]
    assert first["choices"][0]["delta"] == {"role": "assistant"}


def test_logprobs_have_openais_shape(chat) -> None:
    whole = json.loads(chat("Hello", *GREEDY, "--format", "json", "--logprobs", "2").out)
    tokens = whole["choices"][0]["logprobs"]["content"]
    assert len(tokens) == 8
    for token in tokens:
        assert set(token) == {"token", "logprob", "bytes", "top_logprobs"}
        assert len(token["top_logprobs"]) == 2
        assert token["top_logprobs"][0]["logprob"] == pytest.approx(token["logprob"])


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (("x", "-c", "--chat", "a"), {}),
        (("x", "-x", "--xl"), {}),
        (("x", "-x", "--format", "json"), {}),
        (("x", "--overflow", "ask"), {}),
        (("-x",), BOTH),
        ((), {"tty": "in"}),  # no REPL if the answer goes into a pipe
        (("--format", "json"), BOTH),
        (("x", "--logprobs", "1"), {}),
    ],
    ids=str,
)
def test_contradictions_are_usage_errors(chat, arguments: tuple, more: dict) -> None:
    outcome = chat(*arguments, **more)
    assert (outcome.code, outcome.out) == (2, b"")
    assert outcome.err.startswith("gptcli: error: ")


def test_a_message_that_is_too_long_is_refused_with_numbers(chat) -> None:
    outcome = chat("word " * 600, *GREEDY)
    assert (outcome.code, outcome.out) == (5, b"")
    assert "the context holds 512, 8 of them reserved for the answer" in outcome.err


def test_a_full_context_is_never_silently_cut(chat) -> None:
    chat("word " * 60, *GREEDY)
    refused = chat("word " * 60, *GREEDY, "-c")
    assert (refused.code, refused.out) == (5, b"")
    outcome = chat("word " * 60, *GREEDY, "-c", "--overflow", "oldest")
    assert outcome.code == 0
    assert "The model no longer sees the 2 oldest messages" in outcome.err
    assert len(conversations()[0]) == 4


def test_stop_and_sampling_flags(chat) -> None:
    text = chat("Hello", "--temp", "0", "-n", "30").text
    stop = text[5:8]
    assert chat("Hello", "--temp", "0", "-n", "30", "--stop", stop).text == text[: text.index(stop)]
    texts = [chat("Hello", "-n", "20", "--seed", seed).out for seed in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]


def test_stats_show_reused_tokens(chat) -> None:
    chat("word " * 60, *GREEDY)
    outcome = chat("And?", "-c", *GREEDY, "--stats", tty="err")
    assert "finish:  length" in outcome.err
    assert "tokens were computed before" in outcome.err


def test_reasoning_stays_off_stdout_and_out_of_the_next_prompt(chat) -> None:
    thinking = ("--grammar", 'root ::= "<think>Hm.</think>\\n\\nYes."')
    plain = {"tty": "err", "environment": {"NO_COLOR": "1"}}
    outcome = chat("Hello", *thinking, **plain)
    assert outcome.text == "Yes."
    assert "Hm." in outcome.err
    assert conversations()[0] == ["Hello", "Yes."]
    hidden = chat("Hello", *thinking, "--hide-thinking", **plain)
    assert hidden.text == "Yes."
    assert "Hm." not in hidden.err
    assert "Thinking…" in hidden.err
    assert chat("Hello", *thinking).err == ""
    whole = json.loads(chat("Hello", *thinking, "--format", "json").out)
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
