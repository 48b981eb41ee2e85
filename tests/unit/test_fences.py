"""Fenced code blocks, as CommonMark has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.render.fences import code_blocks

CASES = {
    "none": ("No code, only `a` word and ``` in the middle.\n", []),
    "one": ("Look:\n```python\nprint(1)\n```\nThat is it.", ["print(1)\n"]),
    "two": ("```\na\n```\n\n~~~c++\nb\n~~~\n", ["a\n", "b\n"]),
    "empty": ("```\n```\n", [""]),
    "unclosed": ("```sh\nls", ["ls"]),
    "longer than what is in it": ("````md\n```\nx\n```\n````\n", ["```\nx\n```\n"]),
    "tildes in backticks": ("```\n~~~\n```\n", ["~~~\n"]),
    "an info string does not close": ("```\na\n``` b\n```\n", ["a\n``` b\n"]),
    "backticks after the first are no fence": ("``` a`b\nx\n", []),
    "in a list": ("  ```\n    a\n  b\n c\n  ```\n", ["  a\nb\nc\n"]),
    "four blanks are no fence": ("    ```\n    a\n", []),
    "of windows": ("```\r\na\r\n```\r\n", ["a\r\n"]),
}


@pytest.mark.parametrize("name", CASES)
def test_code_blocks(name: str) -> None:
    text, expected = CASES[name]
    assert code_blocks(text) == expected


@given(st.text("ab`~ \n", max_size=40).filter(lambda text: "````" not in text))
def test_code_inside_a_longer_fence_comes_back_unchanged(text: str) -> None:
    code = text + "\n"
    assert code_blocks(f"Here:\n\n````\n{code}````\nand so on") == [code]
