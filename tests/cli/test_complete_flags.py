"""Every flag of `gptcli complete`: into which field its value goes, and that it does something or is refused."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from shell import Outcome, call

from gptcli.cli.main import load_command
from gptcli.cli.options import SamplingFlags, takes
from gptcli.params import Sampling

pytestmark = pytest.mark.usefixtures("home")

SAMPLING: list[tuple[tuple[str, ...], str, Any]] = [
    # flags, the field of `Sampling` and its value
    (("--temperature", "0.5"), "temperature", 0.5),
    (("--temp", "0.5"), "temperature", 0.5),
    (("--top-k", "7"), "top_k", 7),
    (("--top-p", "0.5"), "top_p", 0.5),
    (("--min-p", "0.5"), "min_p", 0.5),
    (("--typical-p", "0.5"), "typical_p", 0.5),
    (("--typical", "0.5"), "typical_p", 0.5),
    (("--top-n-sigma", "1.5"), "top_n_sigma", 1.5),
    (("--top-nsigma", "1.5"), "top_n_sigma", 1.5),
    (("--xtc-probability", "0.5"), "xtc_probability", 0.5),
    (("--xtc-threshold", "0.3"), "xtc_threshold", 0.3),
    (("--dynatemp-range", "0.4"), "dynatemp_range", 0.4),
    (("--dynatemp-exp", "2"), "dynatemp_exponent", 2.0),
    (("--repeat-last-n", "5"), "repeat_last_n", 5),
    (("--repeat-penalty", "1.5"), "repeat_penalty", 1.5),
    (("--presence-penalty", "-0.5"), "presence_penalty", -0.5),
    (("--frequency-penalty", "0.5"), "frequency_penalty", 0.5),
    (("--dry-multiplier", "0.8"), "dry_multiplier", 0.8),
    (("--dry-base", "2"), "dry_base", 2.0),
    (("--dry-allowed-length", "3"), "dry_allowed_length", 3),
    (("--dry-penalty-last-n", "9"), "dry_penalty_last_n", 9),
    (("--dry-sequence-breaker", ".", "--dry-sequence-breaker", ","), "dry_sequence_breakers", (".", ",")),
    (("--mirostat", "2"), "mirostat", 2),
    (("--mirostat-tau", "4"), "mirostat_tau", 4.0),
    (("--mirostat-ent", "4"), "mirostat_tau", 4.0),
    (("--mirostat-eta", "0.2"), "mirostat_eta", 0.2),
    (("--mirostat-lr", "0.2"), "mirostat_eta", 0.2),
    (("--adaptive-target", "0.6", "--samplers", "adaptive_p"), "adaptive_target", 0.6),
    (("--adaptive-decay", "0.7"), "adaptive_decay", 0.7),
    (("--min-keep", "2"), "min_keep", 2),
    (("--samplers", "top-k; temp;typical"), "samplers", ("top_k", "temperature", "typ_p")),
    (("--logit-bias", " the=-2", "-l", "15=inf"), "logit_bias", ((" the", -2.0), (15, float("inf")))),
    (("-l", '"42"=-inf', "-l", "15+1.5", "-l", "a=b=1"), "logit_bias", (("42", -float("inf")), (15, 1.5), ("a=b", 1))),
    (("--seed", "4294967295"), "seed", 4294967295),
]
EFFECTS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    # flags, and those without which they have nothing to work on
    (("--temperature", "3"), ()),
    (("--top-k", "1"), ()),
    (("--top-p", "0.1"), ()),
    (("--min-p", "0.9"), ()),
    (("--typical-p", "0.1"), ()),
    (("--top-n-sigma", "0.5"), ()),
    (("--xtc-probability", "1"), ()),
    (("--xtc-threshold", "0.3"), ("--xtc-probability", "1")),
    (("--dynatemp-range", "2"), ()),
    (("--dynatemp-exp", "9"), ("--dynatemp-range", "2")),
    (("--repeat-penalty", "9"), ()),
    (("--repeat-last-n", "1"), ("--repeat-penalty", "9")),
    (("--presence-penalty", "9"), ()),
    (("--frequency-penalty", "9"), ()),
    (("--dry-multiplier", "9"), ("--top-k", "2")),
    (("--dry-base", "100"), ("--top-k", "3", "--dry-multiplier", "0.3")),
    (("--dry-allowed-length", "0"), ("--top-k", "2", "--dry-multiplier", "2")),
    (("--dry-penalty-last-n", "2"), ("--top-k", "2", "--dry-multiplier", "9")),
    (("--dry-sequence-breaker", " f"), ("--top-k", "2", "--dry-multiplier", "9")),
    (("--mirostat", "1"), ()),
    (("--mirostat", "2"), ()),
    (("--mirostat-tau", "1"), ("--mirostat", "2")),
    (("--mirostat-eta", "0.9"), ("--mirostat", "2")),
    (("--adaptive-target", "0.9"), ("--samplers", "top_k;adaptive_p")),
    (("--adaptive-decay", "0"), ("--samplers", "top_k;adaptive_p", "--adaptive-target", "0.5")),
    (("--min-keep", "3"), ("--top-p", "0.01")),
    (("--samplers", "top_k"), ()),
    (("--logit-bias", " =-inf"), ("--top-k", "0")),
    (("--grammar", 'root ::= "a"'), ()),
    (("--json",), ()),
    (("--json-schema", "name"), ()),
    (("--regex", "[ab]+"), ()),
    (("--choices", "yes,no"), ()),
    (("--seed", "2"), ()),
    (("--max-tokens", "3"), ()),
    (("-n", "3"), ()),
    (("--n-predict", "3"), ()),
    (("--stop", " "), ()),
    (("--echo",), ()),
    (("--samples", "2"), ()),
    (("--format", "jsonl"), ()),
    (("--logprobs", "1"), ("--format", "jsonl")),
    (("--show-prompt",), ()),
    (("--stats",), ()),
    (("--ctx-size", "8"), ()),
]
ELSEWHERE = {
    # flags that are tested by themselves: in the named test here, or in another file of this folder
    "--help", "--help-all", "--model", "--file", "--no-stdin", "--suffix", "--verbose", "--quiet", "--grammar-file",
    "--lenient", "--on-interrupt", "--stream-items",
    "--ignore-eos", "--cache-prompt", "--device", "--gpu-layers", "--lora", "--offline", "--force", "--threads",
    "--role", "--param",
    "--threads-batch", "--no-server", "--cache-type-k", "--cache-type-v",
    "--draft", "--speculation",
}  # fmt: skip


def complete_flags() -> dict[str, str]:
    """Every spelling of every flag, and the first one."""
    parameters = load_command("complete").params
    return {name: p.opts[0] for p in parameters if p.param_type_name == "option" for name in p.opts}


def sampling(*arguments: str) -> Sampling:
    """What the sampling flags come to."""
    app, seen = typer.Typer(), []

    @app.command()
    @takes(flags=SamplingFlags)
    def probe(flags: SamplingFlags) -> None:
        flags.check()
        seen.append(flags.sampling())

    app(list(arguments), standalone_mode=False)
    return seen[0]


def text(tiny: Path, *arguments: object) -> Outcome:
    outcome = call("complete", "-m", tiny, "--threads", "1", "Once upon", *arguments)
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.mark.parametrize(("flags", "field", "value"), SAMPLING, ids=lambda item: item[0] if type(item) is tuple else "")
def test_a_sampling_flag_is_a_field(flags: tuple[str, ...], field: str, value: Any) -> None:
    found = sampling(*flags)
    assert getattr(found, field) == value
    assert type(getattr(found, field)) is type(value)
    said = {field, "samplers"} if field == "adaptive_target" else {field}
    assert found.chosen == said
    for other in {item.name for item in fields(Sampling)} - said - {"chosen"}:
        assert getattr(found, other) == getattr(Sampling(), other)


def test_nothing_said_nothing_chosen() -> None:
    assert sampling() == Sampling()


def test_every_sampling_field_has_a_flag_and_every_flag_a_test() -> None:
    assert {field for _, field, _ in SAMPLING} == {item.name for item in fields(Sampling)} - {"chosen"}
    first = complete_flags()
    tested = {first[name] for flags, _ in EFFECTS for name in flags if name in first}
    assert set(first.values()) - tested == ELSEWHERE - {"--help"}


@pytest.mark.parametrize("command", ["complete", "chat", "batch"])
def test_help_shows_the_common_sampling_flags_and_help_all_every_flag(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    helps = []
    for flag in ("--help", "--help-all"):
        assert call(command, flag).code == 0
        helps.append(capsys.readouterr().out)
    short, whole = helps
    assert len(short.splitlines()) < len(whole.splitlines()) - 50
    for flag in ("--temperature", "--seed", "--model", "--help-all"):
        assert f" {flag}" in short
        assert f" {flag}" in whole
    for flag in ("--mirostat ", "--dry-base", "--samplers", "More sampling"):
        assert flag not in short
        assert flag in whole


@pytest.mark.parametrize(("flags", "base"), EFFECTS, ids=lambda item: " ".join(item))
def test_a_flag_changes_what_comes_out(tiny: Path, flags: tuple[str, ...], base: tuple[str, ...]) -> None:
    rest = ("-n", "40") if not {"-n", "--max-tokens", "--n-predict"} & {*flags} else ("--top-k", "40")
    rest += () if "--seed" in flags else ("--seed", "1")
    without, with_it = text(tiny, *base, "--seed", "1", "-n", "40"), text(tiny, *base, *flags, *rest)
    assert (without.out, without.err) != (with_it.out, with_it.err)


@pytest.mark.parametrize("flag", ["--threads", "-t", "--threads-batch"])
def test_threads_change_nothing_but_time(tiny: Path, flag: str) -> None:
    assert text(tiny, "--temp", "0", flag, "1").out == text(tiny, "--temp", "0").out


def test_ignore_eos_goes_on_where_the_model_would_end(tiny: Path) -> None:
    end = ("-l", "512=100", "-n", "4", "--stats", "--temp", "0")  # the tiny model's end of text
    assert text(tiny, *end).err.endswith("stop\n")
    # llama.cpp's --ignore-eos is a bias too, and stronger than any other
    assert text(tiny, *end, "--ignore-eos").err.endswith("length\n")


def test_device_and_layers_that_are_there_are_honoured(tiny: Path) -> None:
    same = text(tiny, "--temp", "0").out
    assert text(tiny, "--temp", "0", "--device", "cpu").out == same
    assert text(tiny, "--temp", "0", "--device", "CPU", "--gpu-layers", "0").out == same


def test_offline_and_force_are_taken(tiny: Path) -> None:
    assert text(tiny, "--offline", "--force", "--temp", "0").out == text(tiny, "--temp", "0").out != b""


def test_bytes_that_are_no_utf8_may_stand_in_flags(tiny: Path) -> None:
    bad = os.fsdecode(b"\xff")
    text(tiny, "--stop", bad, "-n", "2")
    text(tiny, "--dry-multiplier", "1", "--dry-sequence-breaker", bad, "-n", "2")
    assert text(tiny, "--logit-bias", f"{bad}=inf", "-n", "2").out == b"\xff\xff"


def test_no_letter_has_two_meanings() -> None:
    """-c and -s belong to chat (continue, system) in every command that has them."""
    assert not {"-c", "-s"} & set(complete_flags())
