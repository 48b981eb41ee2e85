"""`gptcli complete` in this process on the tiny model: what comes out on stdout and stderr, in every format."""

from __future__ import annotations

import ast
import json
import re
import time
from pathlib import Path

import gguf
import pytest
from shell import Outcome, call
from tiny_gpt2 import write_tiny_gpt2

pytestmark = pytest.mark.usefixtures("home")

GREEDY = ("--temp", "0", "-n", "8")
ESCAPES = 'root ::= "\\x1b[31mred\\x9b\\r\\x07\\t" "\\n"'


@pytest.fixture
def complete(tiny: Path):
    def run(*arguments: object, **more: object) -> Outcome:
        # one thread: a second one has nothing to do on so small a model, and waits for the first by spinning
        return call("complete", "-m", tiny, "-t", "1", *arguments, **more)

    return run


def chunks(outcome: Outcome) -> list[dict]:
    return [json.loads(line) for line in outcome.text.splitlines()]


def test_the_answer_is_all_there_is_on_stdout_and_nothing_on_stderr(complete) -> None:
    outcome = complete("Once upon", *GREEDY)
    assert (outcome.code, outcome.err) == (0, "")
    assert len(outcome.text) > 8
    assert not outcome.text.startswith("Once upon")


def test_the_same_seed_gives_the_same_text_and_another_one_another(complete) -> None:
    texts = [complete("Once upon", "-n", "20", "--seed", seed).out for seed in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]


def test_every_format_has_the_same_text(complete) -> None:
    text = complete("Once upon", *GREEDY).text
    (whole,) = chunks(complete("Once upon", *GREEDY, "--format", "json"))
    pieces = chunks(complete("Once upon", *GREEDY, "--format", "jsonl"))
    assert whole["choices"][0]["text"] == text
    assert "".join(piece["choices"][0]["text"] for piece in pieces[:-1]) == text


def test_json_is_openais_text_completion(complete, tiny: Path) -> None:
    before = int(time.time())
    outcome = complete("Once upon", *GREEDY, "--format", "json", "--samples", "2")
    (whole,) = chunks(outcome)
    assert outcome.text.count("\n") == 1
    assert set(whole) == {"id", "object", "created", "model", "choices", "usage"}
    assert whole["id"].startswith("cmpl-")
    assert (whole["object"], whole["model"]) == ("text_completion", tiny.stem)
    assert before <= whole["created"] <= time.time()
    assert [choice["index"] for choice in whole["choices"]] == [0, 1]
    for choice in whole["choices"]:
        assert set(choice) == {"text", "index", "logprobs", "finish_reason"}
        assert choice["logprobs"] is None
        assert choice["finish_reason"] == "length"
    usage = whole["usage"]
    assert usage["completion_tokens"] == 16
    assert usage["prompt_tokens"] > 1
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_jsonl_is_openais_stream(complete) -> None:
    found = chunks(complete("Once upon", *GREEDY, "--format", "jsonl", "--samples", "2"))
    *rest, last = found
    assert {(piece["id"], piece["object"]) for piece in found} == {(found[0]["id"], "text_completion")}
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 16
    assert all(len(piece["choices"]) == 1 and "usage" not in piece for piece in rest)
    for index in (0, 1):
        reasons = [p["choices"][0]["finish_reason"] for p in rest if p["choices"][0]["index"] == index]
        assert reasons[-1] == "length"
        assert set(reasons[:-1]) == {None}


@pytest.mark.parametrize("seed", range(6))
def test_logprobs_lie_beside_the_text_they_are_of(complete, seed: int) -> None:
    """The tiny model's random bytes are cut in the middle of characters, are no UTF-8, and end unfinished."""
    wanted = ("x", "-n", "60", "--temp", "2", "--seed", seed, "--logprobs", "3")
    (whole,) = chunks(complete(*wanted, "--format", "json"))
    choice = whole["choices"][0]
    found = choice["logprobs"]
    assert "".join(found["tokens"]) == choice["text"]
    assert len(found["tokens"]) == whole["usage"]["completion_tokens"] == 60
    for token, offset in zip(found["tokens"], found["text_offset"], strict=True):
        assert choice["text"][offset : offset + len(token)] == token
    assert all(logprob < 0 for logprob in found["token_logprobs"])
    for top in found["top_logprobs"]:
        assert len(top) == 3
        assert list(top.values()) == sorted(top.values(), reverse=True)
    streamed = [p["choices"][0] for p in chunks(complete(*wanted, "--format", "jsonl"))[:-1]]
    for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
        assert [item for piece in streamed if piece["logprobs"] for item in piece["logprobs"][name]] == found[name]


def test_logprobs_end_with_the_text_before_a_stop_string(complete) -> None:
    text = complete("Once upon", "--temp", "0", "-n", "30").text
    # one that begins and ends inside a token
    stop = text[len(text) // 2 - 1 : len(text) // 2 + 4]
    arguments = ("Once upon", "--temp", "0", "-n", "30", "--stop", stop, "--logprobs", "0")
    (whole,) = chunks(complete(*arguments, "--format", "json"))
    choice = whole["choices"][0]
    assert choice["text"] == text[: text.index(stop)]
    assert choice["finish_reason"] == "stop"
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert set(map(len, choice["logprobs"]["top_logprobs"])) == {0}
    streamed = [p["choices"][0] for p in chunks(complete(*arguments, "--format", "jsonl"))[:-1]]
    tokens = [token for piece in streamed if piece["logprobs"] for token in piece["logprobs"]["tokens"]]
    assert tokens == choice["logprobs"]["tokens"]


def test_the_likeliest_token_is_what_greedy_takes(complete) -> None:
    (whole,) = chunks(complete("Once upon", *GREEDY, "--format", "json", "--logprobs", "1"))
    found = whole["choices"][0]["logprobs"]
    assert [next(iter(top.values())) for top in found["top_logprobs"]] == found["token_logprobs"]


@pytest.mark.parametrize("count", ["0", "1", "9"])
def test_an_echo_has_the_log_probabilities_of_the_prompt_too(complete, count: str) -> None:
    prompt = "Once upon a time é"
    arguments = (prompt, "-n", count, "--temp", "0", "--echo", "--logprobs", "1", "--ignore-eos")
    (whole,) = chunks(complete(*arguments, "--format", "json"))
    choice, found = whole["choices"][0], whole["choices"][0]["logprobs"]
    assert choice["text"].startswith(prompt)
    tokens, usage = found["tokens"], whole["usage"]
    assert len(tokens) == usage["prompt_tokens"] + usage["completion_tokens"] == usage["prompt_tokens"] + int(count)
    assert "".join(tokens) == choice["text"]
    assert found["text_offset"] == [len("".join(tokens[:index])) for index in range(len(tokens))]
    assert found["token_logprobs"][0] is found["top_logprobs"][0] is None
    assert all(logprob < 0 for logprob in found["token_logprobs"][1:])
    assert all(
        max(top.values()) >= own for own, top in zip(found["token_logprobs"], found["top_logprobs"], strict=True) if top
    )
    answer = slice(
        usage["prompt_tokens"], None
    )  # the likeliest tokens, equal as floats: that is how lm-eval knows them
    assert [max(top.values()) for top in found["top_logprobs"][answer]] == found["token_logprobs"][answer]
    streamed = [p["choices"][0] for p in chunks(complete(*arguments, "--format", "jsonl"))[:-1]]
    for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
        assert [item for piece in streamed if piece["logprobs"] for item in piece["logprobs"][name]] == found[name]


def test_samples_differ_and_are_separated_by_an_empty_line(complete) -> None:
    arguments = ("Once upon", "-n", "12", "--seed", "3", "--samples", "3")
    (whole,) = chunks(complete(*arguments, "--format", "json"))
    texts = [choice["text"] for choice in whole["choices"]]
    assert len(set(texts)) == 3
    plain = complete(*arguments)
    assert plain.out.decode("utf-8", "replace") == "\n\n".join(texts)
    one_by_one = [complete("Once upon", "-n", "12", "--seed", seed).text for seed in (3, 4, 5)]
    assert plain.text == "\n\n".join(one_by_one)


def test_echo_puts_the_prompts_own_bytes_before_each_text(complete) -> None:
    prompt = b"caf\xc3\xa9 \xff\n\n"
    text = complete(*GREEDY, stdin=prompt).out
    assert complete(*GREEDY, "--echo", stdin=prompt).out == prompt[:-1] + text
    twice = complete(*GREEDY, "--echo", "--samples", "2", stdin=prompt).out
    assert twice.count(prompt[:-1]) == 2
    (whole,) = chunks(complete(*GREEDY, "--echo", "--format", "json", stdin=prompt))
    lines = chunks(complete(*GREEDY, "--echo", "--format", "jsonl", stdin=prompt))
    assert whole["choices"][0]["text"] == (prompt[:-1] + text).decode("utf-8", "replace")
    assert "".join(line["choices"][0]["text"] for line in lines[:-1]) == whole["choices"][0]["text"]


def test_no_tokens_wanted_none_given(complete) -> None:
    assert complete("Once upon", "-n", "0").out == b""
    (whole,) = chunks(complete("Once upon", "-n", "0", "--format", "json", "--logprobs", "2"))
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["choices"][0]["logprobs"]["tokens"] == []
    assert whole["usage"]["completion_tokens"] == 0


def test_show_prompt_shows_the_exact_tokens_on_stderr(complete) -> None:
    outcome = complete("the king ÿ", *GREEDY, "--show-prompt")
    assert outcome.out == complete("the king ÿ", *GREEDY).out
    shown = [line.split(maxsplit=1) for line in outcome.err.splitlines()]
    values = [ast.literal_eval(text) for _, text in shown]
    data = b"".join(value if isinstance(value, bytes) else value.encode() for value in values)
    assert data.decode() == "the king ÿ"
    assert values[-2:] == [b"\xc3", b"\xbf"]
    (whole,) = chunks(complete("the king ÿ", *GREEDY, "--format", "json"))
    assert len(shown) == whole["usage"]["prompt_tokens"]
    assert all(number.isdigit() for number, _ in shown)


def test_stats_are_six_lines_on_stderr(complete) -> None:
    outcome = complete("Once upon", "-n", "5", "--seed", "42", "--samples", "2", "--stats")
    assert outcome.out == complete("Once upon", "-n", "5", "--seed", "42", "--samples", "2").out
    load, prompt, decode, threads, seed, finish = outcome.err.splitlines()
    assert re.fullmatch(r"load: +\d+\.\d{3} s on CPU", load)
    assert re.fullmatch(r"prompt: +\d+ tokens, 0 reused, [\d,.]+ tokens/s", prompt)
    assert re.fullmatch(r"decode: +10 tokens, [\d,.]+ tokens/s", decode)
    assert re.fullmatch(r"threads: \d+ of \d+, which waited \d+\.\d s for a core", threads)
    assert seed.split() == ["seed:", "42,", "43"]
    assert finish.split() == ["finish:", "length,", "length"]


def test_stats_say_a_random_seed_that_gives_the_text_again(complete) -> None:
    outcome = complete("Once upon", "-n", "10", "--stats")
    seed = re.search(r"seed: +(\d+)", outcome.err)[1]
    assert complete("Once upon", "-n", "10", "--seed", seed).out == outcome.out


def test_stats_name_the_stop_string(complete) -> None:
    text = complete("Once upon", *GREEDY).text
    outcome = complete("Once upon", *GREEDY, "--stop", text[3:5], "--stats")
    assert outcome.text == text[:3]
    assert outcome.err.splitlines()[-1].split(maxsplit=1) == ["finish:", f"stop ({text[3:5]!r})"]


def test_a_cut_is_said_on_a_terminal_only_and_not_with_quiet(complete) -> None:
    assert "Stopped after 8 tokens" in complete("Once upon", *GREEDY, tty="err").err
    assert complete("Once upon", *GREEDY, "-q", tty="err").err == ""
    assert complete("Once upon", *GREEDY).err == ""


@pytest.mark.parametrize("size", [16, 40])
def test_a_full_context_is_reported_with_its_size_but_not_with_quiet(complete, size: int) -> None:
    arguments = ("Once upon", "-n", "-1", "--ignore-eos", "--ctx-size", size)
    outcome = complete(*arguments, "--stats")
    assert outcome.code == 0
    assert outcome.err.startswith(f"Stopped: the context of {size} tokens is full (--ctx-size).\n")
    assert outcome.err.splitlines()[-1].split()[-1] == "context"
    assert complete(*arguments, "-q").err == ""


def test_verbose_lets_llama_cpp_speak_on_stderr(complete, capfd: pytest.CaptureFixture[str]) -> None:
    from gptcli.llama import library

    try:
        outcome = complete("Once upon", *GREEDY, "-v")
    finally:
        library._echo = False
    said = capfd.readouterr()
    assert said.out == ""
    assert "llama_context" in said.err
    assert outcome.out == complete("Once upon", *GREEDY).out
    assert capfd.readouterr().err == ""


def test_what_a_terminal_would_obey_is_harmless_there_and_exact_elsewhere(complete) -> None:
    arguments = ("x", "--grammar", ESCAPES)
    assert complete(*arguments).text == "\x1b[31mred\x9b\r\x07\t\n"
    assert complete(*arguments, tty="out").text == "␛[31mred\ufffd␇\t\n"
    (whole,) = chunks(complete(*arguments, "--format", "json"))
    assert whole["choices"][0]["text"] == "\x1b[31mred\x9b\r\x07\t\n"
    assert b"\x1b" not in complete(*arguments, "--format", "json").out


def test_a_terminal_gets_the_end_of_the_last_line_and_a_pipe_does_not(complete) -> None:
    plain = complete("Once upon", *GREEDY)
    assert complete("Once upon", *GREEDY, tty="out").text == plain.text.replace("\r", "") + "\n"


def test_defaults_of_the_models_own_stand_until_the_flag_is_given(tmp_path: Path) -> None:
    def own(writer: gguf.GGUFWriter) -> None:
        writer.add_float32("general.sampling.temp", 0.0)
        writer.add_int32("general.sampling.top_k", 5)

    model = write_tiny_gpt2(tmp_path / "own.gguf", more=own)
    plain = write_tiny_gpt2(tmp_path / "plain.gguf")

    def run(path: Path, *arguments: object) -> bytes:
        return call("complete", "-m", path, "Once upon", "-t", "1", "-n", "30", "--seed", "1", *arguments).out

    assert run(model) == run(plain, "--temp", "0") != run(plain)
    assert run(model, "--temp", "0.8") == run(plain, "--top-k", "5") != run(plain)
    assert run(model, "--temp", "0.8", "--top-k", "40") == run(plain)
