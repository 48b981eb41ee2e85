"""For which command lines a model begins to load before typer is imported."""

from __future__ import annotations

import pytest

from gptcli.__main__ import guess


@pytest.mark.parametrize(
    "line",
    [
        "complete Hello",
        "complete --stop a --stop b Hello",
        "complete --json-schema name -n 40 Hello",
        "chat --json Hello",
        "complete --regex=[a-z]+ Hello",
        "chat --role translate -p language=German Hello",
    ],
)
def test_a_plain_command_line_starts_the_default_model(line: str) -> None:
    assert guess(line.split()) == (True, None)


@pytest.mark.parametrize(
    "line",
    [
        "complete --json --json-schema name Hello",
        "complete --json-schema name --stop a Hello",
        "complete --no-such-flag Hello",
        "complete --no-stdin -f -",
        "models list",
    ],
)
def test_a_command_line_that_is_refused_or_needs_no_model_starts_none(line: str) -> None:
    assert guess(line.split()) == (False, None)
