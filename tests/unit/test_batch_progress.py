"""Progress of a batch, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest

from gptcli.render.batch import BatchStatus, batch_progress, duration
from gptcli.terminal import Terminal


def output(*statuses: BatchStatus, tty: bool = False, quiet: bool = False) -> str:
    err = io.StringIO()
    progress = batch_progress(Terminal(io.BytesIO(), io.BytesIO(), err, stderr_tty=tty, quiet=quiet))
    for status in statuses:
        progress.update(status)
    progress.finish(statuses[-1])
    return err.getvalue()


def half() -> BatchStatus:
    return BatchStatus(total=40, done=10, resumed=10, failed_ever=2, active=8, tokens=500, seconds=5.0, share=0.5)


def test_without_a_terminal_one_plain_line_at_the_end() -> None:
    assert output(half(), half()) == "20 of 40 rows, 2 failed, 100 tokens/s, in 5.0 s\n"
    assert output(BatchStatus(done=3, seconds=2.0)) == "3 rows, 0 tokens/s, in 2.0 s\n"


def test_on_a_terminal_a_bar() -> None:
    shown = output(half(), tty=True)
    assert "20 of 40 rows" in shown
    assert "\x1b[" in shown


def test_quiet_is_quiet() -> None:
    assert output(half(), quiet=True) == ""


def test_rows_of_earlier_runs_do_not_speed_up_the_estimate() -> None:
    assert half().seconds_left == 10.0
    assert BatchStatus(share=0.5, resumed=10).seconds_left is None


@pytest.mark.parametrize(("seconds", "text"), [(0.44, "0.4 s"), (12.3, "12 s"), (185, "3:05 min"), (7805, "2:10 h")])
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
