"""What a download shows: a bar on a terminal, plain lines elsewhere, nothing when quiet, and no escape sequence of
the label."""

from __future__ import annotations

import io

import pytest

from gptcli.render.progress import DownloadBar, bytes_text
from gptcli.terminal import Terminal


def terminal(**more: object) -> Terminal:
    return Terminal(io.BytesIO(), io.BytesIO(), io.StringIO(), environment={"TERM": "xterm"}, **more)  # type: ignore[arg-type]


def shown(screen: Terminal, label: str = "model.gguf") -> str:
    bar = DownloadBar(screen)
    bar.note("98.4 MB, licence Apache-2.0")
    bar.start(label, 1_000_000)
    for _ in range(100):
        bar.advance(10_000)
    bar.finish()
    bar.finish()
    return screen.stderr.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_plain_lines_without_a_terminal() -> None:
    lines = shown(terminal()).splitlines()
    assert lines[0] == "98.4 MB, licence Apache-2.0"
    assert lines[1] == "model.gguf (1 MB)"
    assert lines[2] == "model.gguf: 100 kB of 1 MB (10 %)"
    assert lines[-1].startswith("model.gguf: 1 MB of 1 MB (100 %) in ")
    assert len(lines) == 12
    assert "\x1b" not in "".join(lines)


def test_a_bar_on_a_terminal() -> None:
    text = shown(terminal(stderr_tty=True))
    assert "model.gguf" in text
    assert "1.0/1.0 MB" in text


def test_silent_when_quiet() -> None:
    assert shown(terminal(quiet=True)) == ""
    assert shown(terminal(quiet=True, stderr_tty=True)) == ""


@pytest.mark.parametrize("tty", [True, False])
def test_a_name_cannot_control_the_terminal(tty: bool) -> None:
    assert "\x1b]0;" not in shown(terminal(stderr_tty=tty), "evil\x1b]0;owned\x07[red].gguf")


def test_nothing_goes_to_stdout() -> None:
    screen = terminal(stderr_tty=True)
    shown(screen)
    assert screen.stdout.getvalue() == b""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (98_362_432, "98.4 MB"), (106_554_880, "107 MB"), (12e9, "12 GB")],
)
def test_sizes_for_people(count: float, text: str) -> None:
    assert bytes_text(count) == text
