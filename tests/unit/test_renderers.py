"""The renderer that each format and option gets."""

from __future__ import annotations

import io

import pytest

from gptcli.render.renderers import choose
from gptcli.terminal import Terminal
from gptcli.types import Delta, Finished, FinishReason, Prefill, Started


@pytest.mark.parametrize(
    ("format", "options", "name", "starts"),
    [
        ("text", {}, "PlainText", "hi"),
        ("json", {}, "JsonObject", '{"id": "cmpl-'),
        ("jsonl", {"logprobs": True}, "JsonLines", '{"id": "cmpl-'),
        ("text", {"chat": True}, "ChatText", "hi"),
        ("json", {"chat": True}, "JsonObject", '{"id": "chatcmpl-'),
        ("jsonl", {"chat": True, "logprobs": True}, "JsonLines", '{"id": "chatcmpl-'),
        ("text", {"chat": True, "extract": 0}, "CodeBlock", "hi"),
        ("text", {"chat": True, "extract": -1}, "CodeBlock", "hi"),
    ],
)
def test_each_format_has_its_renderer(format: str, options: dict[str, bool], name: str, starts: str) -> None:
    out = io.BytesIO()
    renderer = choose(Terminal(io.BytesIO(), out, io.StringIO()), format, "model", **options)
    renderer.show(Delta("0", 0, "hi", []))
    renderer.show(Finished("0", 0, FinishReason.STOP, 1, 0, 1, 7, 0.1, 0.1))
    renderer.close()
    assert type(renderer).__name__ == name
    assert out.getvalue().decode().startswith(starts)


@pytest.mark.parametrize(
    ("tty", "environment", "markdown", "styled"),
    [
        (True, {}, True, True),
        (True, {}, False, False),
        (False, {}, True, False),
        (True, {"NO_COLOR": "1"}, True, False),
        (True, {"TERM": "dumb"}, True, False),
    ],
)
def test_markdown_is_styled_on_a_capable_terminal_only(
    tty: bool, environment: dict[str, str], markdown: bool, styled: bool
) -> None:
    out = io.BytesIO()
    terminal = Terminal(io.BytesIO(), out, io.StringIO(), stdout_tty=tty, environment=environment)
    renderer = choose(terminal, "text", "model", chat=True, markdown=markdown)
    renderer.show(Delta("0", 0, "**bold**\n", []))
    renderer.close()
    assert (b"\x1b[1mbold" in out.getvalue()) == styled


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize(
    ("tty", "quiet", "seconds", "shown"),
    [
        (True, False, 1.0, "\rreading 512 of 10,024 tokens, 19 s left\x1b[K\r\x1b[K"),
        (True, False, 0.05, ""),  # all of it takes a second
        (True, True, 1.0, ""),
        (False, False, 1.0, ""),
    ],
)
def test_a_long_prompt_shows_its_progress(
    monkeypatch: pytest.MonkeyPatch, chat: bool, tty: bool, quiet: bool, seconds: float, shown: str
) -> None:
    clock = iter([100.0, 100.0 + seconds])
    monkeypatch.setattr("gptcli.render.progress.time.monotonic", lambda: next(clock))
    errors = io.StringIO()
    terminal = Terminal(io.BytesIO(), io.BytesIO(), errors, stderr_tty=tty, quiet=quiet)
    renderer = choose(terminal, "text", "model", chat=chat)
    renderer.show(Started("0", 10_024, 0))
    renderer.show(Prefill("0", 512, 10_024))
    renderer.show(Delta("0", 0, "hi", []))
    renderer.close()
    assert errors.getvalue() == shown
