"""The items of a JSON answer, wherever its text is cut."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gptcli.render.items import ItemScanner

_scalars = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


def expected(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [{key: item} for key, held in value.items() for item in (held if isinstance(held, list) else [held])]
    return [value]


@given(_values, st.integers(1, 7), st.booleans())
def test_items_are_found_wherever_the_text_is_cut(value: object, size: int, ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii)
    scanner = ItemScanner()
    found = [item for start in range(0, len(text), size) for item in scanner.push(text[start : start + size])]
    assert [*found, *scanner.finish()] == expected(value)


def test_an_item_comes_as_soon_as_it_is_complete() -> None:
    scanner = ItemScanner()
    assert list(scanner.push('{"names": ["Al')) == []
    assert list(scanner.push('ice", "B')) == [{"names": "Alice"}]
    assert list(scanner.push('ob"], "at": {"x": [1, 2]')) == [{"names": "Bob"}]
    assert list(scanner.push("}")) == []
    assert list(scanner.push("}")) == [{"at": {"x": [1, 2]}}]


def test_an_answer_that_was_cut_gives_its_complete_items() -> None:
    scanner = ItemScanner()
    assert list(scanner.push('[{"a": 1}, {"a": 2}, {"a":')) == [{"a": 1}, {"a": 2}]
    assert list(scanner.finish()) == []
