"""What `gptcli complete` refuses, with which exit code, saying in one sentence what and in another what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from shell import Outcome, Shell, call
from tiny_gpt2 import CONTEXT, write_tiny_gpt2

from gptcli.errors import ExitCode

pytestmark = pytest.mark.usefixtures("home")

CONTRADICTIONS = [
    ("--verbose", "--quiet"),
    ("--suffix", "b", "--echo"),
    ("--echo", "--logprobs", "1"),
    ("--no-stdin", "-f", "-"),
    ("--logprobs", "1"),
    ("--device", "cpu", "--gpu-layers", "3"),
    ("--grammar", 'root ::= "a"', "--grammar-file", __file__),
    ("--json", "--regex", "a+"),
    ("--json-schema", "name", "--choices", "a,b"),
    ("--json", "--stop", "}"),
    ("--json", "--lenient"),
    ("--on-interrupt", "cut"),
    ("--stream-items", "--json"),
    ("--stream-items", "--format", "jsonl"),
    ("--stream-items", "--format", "jsonl", "--json", "--samples", "2"),
    ("--stream-items", "--format", "jsonl", "--json", "--logprobs", "1"),
    ("--mirostat", "2", "--top-k", "3"),
    ("--mirostat", "1", "--samplers", "top_p"),
    ("--adaptive-target", "0.5"),
]
IMPOSSIBLE = [
    ("--frobnicate",),
    ("-n", "many"),
    ("-n", "-2"),
    ("--samples", "0"),
    ("--ctx-size", "0"),
    ("--threads", "0"),
    ("--threads", "513"),
    ("--threads-batch", "100000"),
    ("--ctx-size", str(2**31)),
    ("--top-k", str(2**31)),
    ("--repeat-last-n", str(2**32)),
    ("--dry-penalty-last-n", str(2**31)),
    ("--dry-allowed-length", str(2**31)),
    ("--min-keep", str(2**31)),
    ("--gpu-layers", str(2**31)),
    ("--top-p", "1.5"),
    ("--temperature", "nan"),
    ("--dry-base", "inf"),
    ("--seed", "-2"),
    ("--seed", str(2**64)),
    ("--samplers", "top_k;top_q"),
    ("--mirostat", "3"),
    ("--format", "yaml"),
    ("--logit-bias", "the"),
    ("--logit-bias", "=1"),
    ("--logit-bias", "a=nan"),
    ("--logit-bias", '"\\x"=1'),
    ("--lora", "nowhere.gguf"),
    ("--grammar-file", "nowhere.gbnf"),
    ("--choices", "a,,b"),
    ("--choices", '["a"'),
    ("--json-schema", '{"type": "objet"}'),
    ("--json-schema", '{"propertys": {}}'),
    ("--json-schema", "nowhere.json"),
    ("--on-interrupt", "save"),
]


def complete(model: object, *arguments: object, **more: object) -> Outcome:
    return call("complete", "-m", model, "-t", "1", "-n", "2", *arguments, **more)


def refused(outcome: Outcome, code: ExitCode, *words: str) -> None:
    """The exit code, and an error of two parts with these words in it."""
    assert outcome.code == code, outcome.err
    assert outcome.out == b""
    what, advice, *_ = outcome.err.splitlines()
    assert what.startswith("gptcli: error: ")
    assert what.endswith(".")
    assert advice
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in what + "\n" + advice


@pytest.mark.parametrize("flags", CONTRADICTIONS + IMPOSSIBLE, ids=" ".join)
def test_a_contradiction_is_refused_before_the_model_is_looked_for(flags: tuple[str, ...]) -> None:
    outcome = complete("/nowhere/model.gguf", "x", *flags)
    assert outcome.code == ExitCode.USAGE
    assert outcome.err.startswith("gptcli: error: ")
    assert len(outcome.err.splitlines()) == 2


@pytest.mark.parametrize("seed", [-1, 0, 2**32 - 1, 2**32, 2**64 - 1])
def test_any_seed_of_64_bits_is_accepted_and_minus_one_is_random(seed: int) -> None:
    assert complete("/nowhere/model.gguf", "x", "--seed", seed).code == ExitCode.MODEL_NOT_FOUND


@pytest.mark.parametrize("flags", [(), *CONTRADICTIONS[:4]], ids=" ".join)
def test_a_contradiction_loads_nothing_not_even_a_model_that_is_stored_and_known(
    tiny: Path, shell: Shell, flags: tuple[str, ...]
) -> None:
    """A known model begins to load before the command line is read in full."""
    assert shell.run("complete", "-m", tiny, "-n", "1", "x").code == 0
    traced = ("-X", "importtime", "-m", "gptcli")
    outcome = shell.run("complete", "-m", tiny, "-n", "1", "x", *flags, program=traced)
    assert outcome.code == (ExitCode.USAGE if flags else ExitCode.OK)
    assert ("llama_cpp" in outcome.err) == (not flags)


def test_an_unknown_model_is_refused_with_the_nearest_names() -> None:
    refused(complete("smolm2", "x"), ExitCode.MODEL_NOT_FOUND, "'smolm2'", "Did you mean smollm2")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    refused(complete(tmp_path / "no.gguf", "x"), ExitCode.MODEL_NOT_FOUND, f"There is no file {tmp_path / 'no.gguf'}")
    refused(complete(f"{tmp_path}/", "x"), ExitCode.MODEL_NOT_FOUND, "is a folder")


def test_an_empty_name_is_not_the_default_model() -> None:
    refused(complete("", "x"), ExitCode.MODEL_NOT_FOUND, "is not a model reference")


def test_what_is_not_stored_is_not_fetched_offline() -> None:
    refused(complete("smollm2", "x", "--offline"), ExitCode.MODEL_NOT_FOUND, "smollm2 is not stored here")
    refused(complete("user/repo", "x", "--offline"), ExitCode.MODEL_NOT_FOUND, "user/repo is not stored here")


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"GGUF\3\0\0\0", b"PK\3\4" + bytes(99), b"<!doctype html>", bytes(99)]
)
def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    refused(complete(tmp_path / "m.gguf", "x"), ExitCode.LOAD, "m.gguf")


@pytest.mark.parametrize("share", [0.005, 0.01, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_refused_with_both_sizes(tiny: Path, tmp_path: Path, share: float) -> None:
    size = tiny.stat().st_size
    (tmp_path / "cut.gguf").write_bytes(tiny.read_bytes()[: int(size * share)])
    refused(complete(tmp_path / "cut.gguf", "x"), ExitCode.LOAD, "truncated", str(int(size * share)))


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.gguf").symlink_to("loop.gguf")
    refused(complete(tmp_path / "loop.gguf", "x"), ExitCode.MODEL_NOT_FOUND, "loop.gguf")


def test_an_unknown_architecture_is_refused_with_its_name(tmp_path: Path) -> None:
    model = write_tiny_gpt2(tmp_path / "new.gguf", architecture="gpt99")
    refused(complete(model, "x"), ExitCode.LOAD, "gpt99")


def test_a_file_that_was_damaged_since_it_was_checked_is_refused(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(tiny.read_bytes())
    assert complete(path, "x", "-n", 1).code == ExitCode.OK
    status = path.stat()
    path.write_bytes(tiny.read_bytes()[:500_000] + bytes(status.st_size - 500_000))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    refused(complete(path, "x"), ExitCode.LOAD, "other content than when it was checked", "pull it again")


def test_too_little_memory_for_the_context_is_refused_with_the_number(tmp_path: Path) -> None:
    model = write_tiny_gpt2(tmp_path / "long.gguf", context=2**31 - 1)
    outcome = complete(model, "x", "--ctx-size", 2**31 - 1)
    refused(outcome, ExitCode.MEMORY, "context of 2,147,483,647 tokens needs", "MiB are free", "--ctx-size", "--force")
    assert "needs" not in complete(model, "x", "--ctx-size", 2**31 - 1, "--force").err


def test_a_device_that_is_not_there_is_refused_with_the_command_that_installs_it(tiny: Path) -> None:
    refused(complete(tiny, "x", "--device", "metal"), ExitCode.LOAD, "--device metal", "CMAKE_ARGS=")
    refused(complete(tiny, "x", "--device", "tpu"), ExitCode.USAGE, "--device tpu")


def test_a_file_that_is_no_adapter_is_refused(tiny: Path) -> None:
    refused(complete(tiny, "x", "--lora", tiny), ExitCode.LOAD, "is not a LoRA adapter for this model")
    refused(complete(tiny, "x", "--lora", __file__), ExitCode.LOAD, "is not a LoRA adapter for this model")


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers_and_the_flag(tiny: Path) -> None:
    refused(complete(tiny, "!" * 700), ExitCode.ENGINE, "700 tokens", f"holds {CONTEXT}", "--ctx-size")
    refused(complete(tiny, "!" * 70, "--ctx-size", "50"), ExitCode.ENGINE, "70 tokens", "holds 50", "--ctx-size")
    refused(complete(tiny, "!" * 70, "--ctx-size", "50", "--echo"), ExitCode.ENGINE)
    assert complete(tiny, "!" * 49, "--ctx-size", "50").code == 0


def test_a_context_beyond_the_model_is_refused_with_both_numbers(tiny: Path) -> None:
    refused(complete(tiny, "x", "--ctx-size", CONTEXT + 1), ExitCode.ENGINE, f"{CONTEXT + 1}", f"{CONTEXT}")


def test_a_bad_grammar_is_refused_with_one_complaint(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = complete(tiny, "x", "--grammar", 'root ::= "')
    refused(outcome, ExitCode.ENGINE, "Unexpected end of input", "line 1")
    assert outcome.err.count("Unexpected end") == 1
    refused(complete(tiny, "x", "--grammar", 'leaf ::= "a"'), ExitCode.ENGINE, "root")
    refused(complete(tiny, "x", "--grammar", 'root ::= "\udcff"'), ExitCode.ENGINE, "not valid UTF-8")
    assert capfd.readouterr() == ("", "")


def test_samplers_and_tokens_that_do_not_exist_are_refused(tiny: Path) -> None:
    refused(complete(tiny, "x", "--samplers", "top_q"), ExitCode.USAGE, "top_q", "top_k")
    refused(complete(tiny, "x", "--logit-bias", "100000=1"), ExitCode.ENGINE, "100000", "512")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_said(tiny: Path, shell: Shell) -> None:
    with open("/dev/full", "wb") as full:
        outcome = shell.run("complete", "-m", tiny, "-n", "2", "x", stdout=full)
    refused(outcome, ExitCode.ERROR, "cannot be written")
