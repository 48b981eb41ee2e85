"""gptcli bench on a tiny model: what it measures, draws, prints for programs and recommends."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pexpect
import pytest
from shell import Shell, call

from gptcli import settings
from gptcli.errors import ExitCode
from gptcli.models.store.summary import Summary
from gptcli.render.benchmark import Section, draw
from gptcli.render.wrap import width
from gptcli.runtime.benchmark import Speed, recommend
from gptcli.terminal import Terminal

QUICK = ("--n-prompt", 8, "--n-gen", 4, "--repetitions", 2, "--threads", "1", "--parallel", "1,2")


def speed(rate: float, *, threads: int = 1, spread: float = 0.0) -> Speed:
    """A test of 100 tokens that reached `rate` tokens a second, give or take `spread`."""
    seconds = (100 / (rate - spread), 100 / (rate + spread))
    return Speed("m", Summary("llama", 1000, 2048, "Q4_0"), 1, "CPU", threads, 100, 0, 1, seconds)


def test_every_test_is_printed_for_programs_with_llama_benchs_names(tiny: Path) -> None:
    outcome = call("bench", tiny, *QUICK)
    assert outcome.code == 0
    rows = [line.split("\t") for line in outcome.text.splitlines()]
    assert [row[2:5] for row in rows] == [["1", "1", "pp8"], ["1", "1", "tg4"], ["1", "1", "tg4"], ["1", "2", "tg4"]]
    assert all(float(row[5]) > 0 and float(row[6]) >= 0 for row in rows)


def test_json_has_every_repetition_and_the_recommendation(tiny: Path) -> None:
    found = json.loads(call("bench", tiny, *QUICK, "--json").text)
    assert found["recommended"] == {"threads": 1, "threads_batch": 1}
    prompt, decode, _, two = found["results"]
    assert (prompt["n_prompt"], prompt["n_gen"], decode["n_prompt"], decode["n_gen"]) == (8, 0, 0, 4)
    for result, tokens in ((prompt, 8), (decode, 4), (two, 8)):
        assert len(result["samples_ns"]) == 2
        for rate, nanoseconds in zip(result["samples_ts"], result["samples_ns"], strict=True):
            assert rate == pytest.approx(tokens / nanoseconds * 1e9, rel=1e-3)
        assert result["avg_ts"] == pytest.approx(sum(result["samples_ts"]) / 2)


def test_formats_are_measured_on_copies_that_are_gone_afterwards(tiny: Path, home: Path) -> None:
    before = set(tiny.parent.iterdir())
    found = json.loads(call("bench", tiny, *QUICK, "--parallel", "1", "--formats", "f16,q8_0", "--json").text)
    kinds = [result["model_type"].split()[-1] for result in found["results"][-4:]]
    assert kinds == ["F16", "F16", "Q8_0", "Q8_0"]
    assert set(tiny.parent.iterdir()) == before


def test_a_terminal_gets_bars_within_its_width(tiny: Path) -> None:
    outcome = call("bench", tiny, *QUICK, tty="out err", environment={"TERM": "xterm"})
    assert outcome.code == 0
    lines = outcome.text.splitlines()
    assert lines[0].split() == ["threads", "prompt,", "tokens/s", "decode,", "tokens/s"]
    assert re.fullmatch(r"1 +█+ +[\d,.]+ ± [\d,.]+ +█+ +[\d,.]+ ± [\d,.]+", lines[1])
    assert all(width(line) <= 80 for line in lines)
    assert "The fastest here: --threads 1 --threads-batch 1." in outcome.err


def test_the_longest_bar_is_the_best_rate() -> None:
    out = io.BytesIO()
    rates = [speed(50), speed(100), speed(1)]
    draw(Terminal(io.BytesIO(), out, io.StringIO(), stdout_tty=True), Section("x", list("abc"), {"prompt": rates}))
    bars = [line.count("█") for line in out.getvalue().decode().splitlines()[1:]]
    assert bars == [12, 24, 0]
    assert "▎" in out.getvalue().decode().splitlines()[3]


@pytest.mark.parametrize(
    ("rates", "best"),
    [((100, 190, 191), 2), ((100, 99, 98), 1), ((100, 200, 100), 2), ((100, 150, 300), 4), ((100,), 1)],
)
def test_the_fewest_threads_that_are_nearly_the_fastest_are_recommended(rates: tuple[float, ...], best: int) -> None:
    assert recommend([speed(rate, threads=1 << index) for index, rate in enumerate(rates)]) == best


def test_a_rate_is_a_mean_with_its_deviation() -> None:
    measured = speed(100, spread=10)
    assert measured.rates == pytest.approx([90, 110])
    assert measured.rate == pytest.approx(100)
    assert measured.deviation == pytest.approx(200**0.5)


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--threads", "0"), ("--threads", "1,x"), ("--threads", "9999"), ("--parallel", ""), ("--formats", "Q9_X")],
)
def test_a_wrong_list_is_refused_before_anything_is_loaded(flag: str, value: str) -> None:
    outcome = call("bench", "no-such-model", flag, value)
    assert (outcome.code, outcome.out) == (ExitCode.USAGE, b"")
    assert (flag if flag != "--formats" else "not a quantization") in outcome.err


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_ctrl_c_ends_it_within_a_step(shell: Shell, tiny: Path) -> None:
    arguments = ["-m", "gptcli", "bench", str(tiny), "--repetitions", "100000", "--threads", "1"]
    terminal = pexpect.spawn(sys.executable, arguments, env=shell.environment, encoding="utf-8", timeout=60)
    terminal.expect("Measuring prompt, 1 threads")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == ExitCode.INTERRUPTED
    assert "Traceback" not in terminal.before


def test_save_writes_the_recommendation_to_the_settings_and_keeps_what_else_is_there(tiny: Path) -> None:
    file = settings.settings_file()
    file.parent.mkdir(parents=True)
    file.write_text("# mine\ntemperature = 0.3\n", encoding="utf-8")
    outcome = call("bench", tiny, *QUICK, "--save")
    assert outcome.code == 0
    assert f"Saved threads = 1 and threads_batch = 1 in {file}." in outcome.err
    assert file.read_text("utf-8") == "# mine\ntemperature = 0.3\nthreads = 1\nthreads_batch = 1\n"
