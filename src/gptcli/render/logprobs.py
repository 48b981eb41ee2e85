"""Token probabilities in OpenAI's two shapes: four lists beside a text, and a list of objects for a chat.

It knows these shapes (platform.openai.com, "The completion object" and "The chat completion object") and nothing of
where they are written.
"""

from __future__ import annotations

import codecs
import math
from typing import Any

from gptcli.types import Alternative, TokenInfo

UNLIKELY = -9999.0
"""OpenAI's value for a probability too small to be told (its reference, `logprob`); JSON has no infinity."""


class Alignment:
    """The `logprobs` objects of one text: its tokens joined are that text.

    A character that several tokens make counts for the last of them, and a token that a stop string begins in ends
    where the text does."""

    def __init__(self, start: int = 0) -> None:
        """`start`: characters before the text, from which offsets count."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._start = self._offset = start

    def logprobs(self, tokens: list[TokenInfo], end: int) -> dict[str, Any]:
        """The next tokens; `end`: characters of the text that are out by now."""
        texts, offsets = [], []
        for token in tokens:
            text = self._decoder.decode(_bytes(token))[: self._start + end - self._offset]
            texts.append(text)
            offsets.append(self._offset)
            self._offset += len(text)
        return {
            "tokens": texts,
            "token_logprobs": [_finite(token.logprob) for token in tokens],
            "top_logprobs": [{_name(other): _finite(other.logprob) for other in token.top} for token in tokens],
            "text_offset": offsets,
        }


def chat_logprobs(tokens: list[TokenInfo]) -> dict[str, Any]:
    """The `logprobs` object of a chat completion."""
    content = [{**_likelihood(token), "top_logprobs": [_likelihood(other) for other in token.top]} for token in tokens]
    return {"content": content, "refusal": None}


def _likelihood(token: TokenInfo | Alternative) -> dict[str, Any]:
    data = _bytes(token)
    return {"token": data.decode("utf-8", "replace"), "logprob": _finite(token.logprob), "bytes": list(data)}


def _name(token: Alternative) -> str:
    """Its text, or where it is no text by itself its bytes as that API spells them: `bytes:\\xf0\\x9f`."""
    data = _bytes(token)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _bytes(token: TokenInfo | Alternative) -> bytes:
    return token.text.encode("utf-8", "surrogateescape")


def _finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else UNLIKELY
