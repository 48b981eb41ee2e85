"""Token probabilities in OpenAI's two shapes: four lists beside a text, and a list of objects for a chat.

https://platform.openai.com/docs/api-reference, "The completion object" and "The chat completion object"."""

from __future__ import annotations

import codecs
import math

from gptcli.types import Alternative, TokenInfo

UNLIKELY = -9999.0
"""OpenAI's value for a very small probability (its reference, `logprob`); JSON has no infinity."""


class Alignment:
    """Makes the `logprobs` objects of one text, whose tokens joined are that text.

    A character made of several tokens belongs to the last of them. A token in which a stop string begins ends where
    the text does."""

    def __init__(self, start: int = 0) -> None:
        """`start`: the offset of the first character."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._start = self._offset = start

    def logprobs(self, tokens: list[TokenInfo], end: int) -> dict[str, object]:
        """The object for the next tokens. `end`: length of the text with these tokens, in characters.

        The first token of a prompt has null for its log-probability and its alternatives."""
        texts, offsets = [], []
        for token in tokens:
            text = self._decoder.decode(_bytes(token))[: self._start + end - self._offset]
            texts.append(text)
            offsets.append(self._offset)
            self._offset += len(text)
        return {
            "tokens": texts,
            "token_logprobs": [None if math.isnan(token.logprob) else _finite(token.logprob) for token in tokens],
            "top_logprobs": [None if math.isnan(token.logprob) else _top(token) for token in tokens],
            "text_offset": offsets,
        } | ({"forced": [token.forced for token in tokens]} if any(token.forced for token in tokens) else {})


def chat_logprobs(tokens: list[TokenInfo]) -> dict[str, object]:
    """The `logprobs` object of a chat completion."""
    content = [
        {**_entry(token), "top_logprobs": [_entry(other) for other in token.top]}
        | ({"forced": True} if token.forced else {})
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _top(token: TokenInfo) -> dict[str, float]:
    """The alternatives by name; of those with the same name it is the likelier one, so that the maximum is true."""
    found: dict[str, float] = {}
    for other in token.top:
        found.setdefault(_name(other), _finite(other.logprob))
    return found


def _entry(token: TokenInfo | Alternative) -> dict[str, object]:
    data = _bytes(token)
    return {"token": data.decode("utf-8", "replace"), "logprob": _finite(token.logprob), "bytes": list(data)}


def _name(token: Alternative) -> str:
    """The token's text, or, if that is not valid UTF-8, its bytes as the API writes them: `bytes:\\xf0\\x9f`."""
    data = _bytes(token)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _bytes(token: TokenInfo | Alternative) -> bytes:
    return token.text.encode("utf-8", "surrogateescape")


def _finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else UNLIKELY
