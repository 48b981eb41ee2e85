"""Whether llguidance can compile a schema, in bounded time and memory."""

from __future__ import annotations

import json
from typing import Any


def refusal(text: str) -> str:
    """Why llguidance does not keep a translated schema; empty where it does."""
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._tokenizer import TokenizerWrapper

    tokenizer = LLTokenizer(TokenizerWrapper(_Bytes()))
    grammar = LLMatcher.grammar_from_json_schema(
        json.dumps({**json.loads(text), "x-guidance": {"whitespace_flexible": False}})
    )
    matcher = LLMatcher(tokenizer, grammar, log_level=0)
    return matcher.get_error()


class _Bytes:
    """A vocabulary of bytes, on which a grammar can be tried without a model."""

    eos_token_id = 256
    bos_token_id = None
    tokens = (*(bytes([byte]) for byte in range(256)), b"<eos>")
    special_token_ids = (256,)

    def __call__(self, text: Any) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)
