"""How many texts a backend should write at once, and in how many lanes: measured where it can be, for it depends on
the model, the machine and the threads.

It knows step times and widths, and nothing of requests; whether there is memory is asked when the KV cache is made.
"""

from __future__ import annotations

from gptcli.engine.backend import Backend
from gptcli.errors import LoadError

GROUP = 16
"""Texts at once go in multiples of this: llama.cpp's products of quantized matrices take so many columns at a time on a
processor, and ten texts at once are slower than eight (Q4_0, AVX-512: 16 at once 895 tokens/s, 12 at once 590)."""
WIDTHS = (GROUP, 2 * GROUP, 4 * GROUP, 8 * GROUP)
_MOST_LANES = 8
"""Each lane computes a shared prefix for itself and has buffers of its own."""
_GAIN = 1.03
"""A wider step must bring so much more tokens a second: a narrow one answers its rows sooner and needs less memory."""
_HOPE = 1.1
"""Twice the width must bring so much more for the next to be tried at all."""
_PATIENCE_SECONDS = 0.5
"""What one trial may take for another to be made; where that is long, arithmetic is what takes it, at any width."""


def lanes_for(parallel: int | None, threads: int) -> int:
    """How many KV caches to compute with at the same time on a processor, each with a share of the threads.

    Threads that compute a step together wait for each other some 500 times in it; apart they do not, and one lane's
    sampling and Python go on while others compute (2 threads: 1.11 to 1.22 times as fast). `parallel`: the texts at
    once that somebody asked for; a lane of fewer than 16 does not pay."""
    return max(1, min(threads, _MOST_LANES, _MOST_LANES if parallel is None else parallel // GROUP))


def best_width(backend: Backend) -> int:
    """The number of texts at once that gives the most tokens a second, within three percent."""
    best, best_rate, last_rate = min(GROUP, backend.most_sequences), 0.0, 0.0
    for width in WIDTHS:
        if width > backend.most_sequences:
            break
        try:
            seconds, spent = backend.step_seconds(width)
        except LoadError:  # no memory for so many
            break
        rate = width / seconds
        if rate > best_rate * _GAIN:
            best, best_rate = width, rate
        if rate < last_rate * _HOPE or spent > _PATIENCE_SECONDS:
            break
        last_rate = rate
    return best
