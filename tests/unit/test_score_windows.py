"""Windows of a text: which tokens are computed, and that each is scored once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.errors import RequestError
from gptcli.scoring.windows import LlamaWindows, SlidingWindows, Window


@given(st.integers(0, 300), st.integers(1, 20), st.integers(2, 60), st.data())
def test_sliding_windows_score_every_token_once(count: int, first: int, size: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, size - 1))
    windows = list(SlidingWindows(size, stride).cut(count, first))
    scored = [position for window in windows for position in range(window.scored, window.end)]
    assert scored == list(range(first, count))
    for window in windows:
        assert 0 <= window.begin < window.scored < window.end <= count
        assert window.end - window.begin <= size
        assert window.begin == 0 or window.scored - window.begin >= size - stride  # as much context as was promised


@given(st.integers(0, 300), st.integers(2, 60))
def test_llama_windows_score_the_second_half_of_whole_chunks(count: int, size: int) -> None:
    if count < 2 * size:
        with pytest.raises(RequestError, match=f"at least {2 * size}"):
            list(LlamaWindows(size).cut(count, 1))
        return
    windows = list(LlamaWindows(size).cut(count, 1))
    assert len(windows) == count // size
    for number, window in enumerate(windows):
        begin = number * size
        assert window == Window(begin, begin + size // 2 + 1, begin + size)
