"""The renderer that each format and option gets."""

from __future__ import annotations

import io

import pytest

from gptcli.render.renderers import choose
from gptcli.terminal import Terminal
from gptcli.types import Delta


@pytest.mark.parametrize(
    ("format", "options", "name"),
    [
        ("text", {}, "PlainText"),
        ("json", {}, "JsonObject"),
        ("jsonl", {"logprobs": True}, "JsonLines"),
        ("text", {"chat": True}, "ChatText"),
        ("json", {"chat": True}, "JsonObject"),
        ("jsonl", {"chat": True, "logprobs": True}, "JsonLines"),
        ("text", {"chat": True, "extract": 0}, "CodeBlock"),
        ("text", {"chat": True, "extract": -1}, "CodeBlock"),
    ],
)
def test_each_format_has_its_renderer(format: str, options: dict[str, bool], name: str) -> None:
    terminal = Terminal(io.BytesIO(), io.BytesIO(), io.StringIO())
    assert type(choose(terminal, format, "model", **options)).__name__ == name


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
