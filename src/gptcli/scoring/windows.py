"""How a text of any length is cut into windows of the context: which tokens are computed and which of them scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gptcli.errors import RequestError


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens [begin, end) of a text are computed; those from `scored` on count."""

    begin: int
    scored: int
    end: int


@dataclass(frozen=True, slots=True)
class SlidingWindows:
    """Scores every token once: the first window whole, then `stride` more tokens in each.

    A token is so given at least `size - stride` tokens before it, where the text has them."""

    size: int
    stride: int

    def cut(self, count: int, first: int) -> Iterator[Window]:
        """The windows of a text of `count` tokens that is scored from position `first` on."""
        scored, end = first, min(self.size, count)
        while scored < count:
            begin = max(0, end - self.size)
            if end > scored:
                yield Window(begin, max(scored, begin + 1), end)
                scored = end
            end = min(end + self.stride, count)


@dataclass(frozen=True, slots=True)
class LlamaWindows:
    """llama-perplexity's: chunks of `size` tokens without overlap, of each of which the second half is scored.

    A rest that fills no chunk is left out (tools/perplexity/perplexity.cpp, `perplexity`)."""

    size: int

    def cut(self, count: int, first: int) -> Iterator[Window]:
        """The windows of a text of `count` tokens. Raises RequestError for less than two chunks."""
        if count < 2 * self.size:
            raise RequestError(
                f"the text has {count:,} tokens; llama-perplexity's protocol needs at least {2 * self.size:,}.",
                "Use a smaller --ctx-size, or leave out --windows llama.",
            )
        for begin in range(0, count - self.size + 1, self.size):
            yield Window(begin, begin + self.size // 2 + 1, begin + self.size)


Windows = SlidingWindows | LlamaWindows
