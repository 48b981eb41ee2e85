"""How surprising each token of a text was to the model, in pieces that can be shown: whole characters only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gptcli.types import TokenInfo


@dataclass(frozen=True, slots=True)
class Piece:
    """A token, or the tokens that share a character."""

    text: str
    bits: float | None
    """Surprise: the negative binary logarithm of its probability; None for a token that nothing came before."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """What else could have come, with probabilities, the likeliest first."""


def pieces(tokens: Iterable[TokenInfo]) -> Iterator[Piece]:
    """The pieces of scored tokens. Of tokens that share a character, the surprise is added up and the alternatives are
    those of the first."""
    waiting: list[TokenInfo] = []
    for token in tokens:
        waiting.append(token)
        data = "".join(one.text for one in waiting).encode("utf-8", "surrogateescape")
        if _is_whole(data) or len(waiting) == 4:  # no character has more bytes
            yield _piece(waiting, data)
            waiting = []
    if waiting:
        yield _piece(waiting, "".join(one.text for one in waiting).encode("utf-8", "surrogateescape"))


def _piece(tokens: list[TokenInfo], data: bytes) -> Piece:
    logprobs = [token.logprob for token in tokens if not math.isnan(token.logprob)]
    bits = -math.fsum(logprobs) / math.log(2) if logprobs else None
    others = (other for other in tokens[0].top if other.token != tokens[0].token)
    return Piece(
        data.decode("utf-8", "replace"),
        bits,
        tuple((_readable(other.text), math.exp(other.logprob)) for other in others),
    )


def _is_whole(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
