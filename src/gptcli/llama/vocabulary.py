"""Tokens of a model and the bytes they stand for.

It knows a vocabulary, and neither weights nor contexts.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from gptcli.llama.library import C

_NULL = -1
_READ_WHOLE = 1 << 3 | 1 << 4
"""LLAMA_TOKEN_ATTR_CONTROL and LLAMA_TOKEN_ATTR_USER_DEFINED (include/llama.h)."""
_NOT_UTF8 = re.compile("[\udc80-\udcff]+")


class LlamaVocabulary:
    """Implements `prompt.encoding.Vocabulary` on a `llama_vocab`, which the model owns."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.size: int = C.llama_vocab_n_tokens(handle)
        self._buffer = ctypes.create_string_buffer(256)
        self._bytes: dict[int, int] | None = None

    @property
    def begin(self) -> int | None:
        """BOS, else the end-of-text token, which GPT-2 and its kin begin with as well."""
        for token in (C.llama_vocab_bos(self._handle), C.llama_vocab_eos(self._handle)):
            if token != _NULL:
                return int(token)
        return None

    @cached_property
    def ends(self) -> list[int]:
        """All tokens that end a generation."""
        return [token for token in range(self.size) if C.llama_vocab_is_eog(self._handle, token)]

    @property
    def suppressed(self) -> list[int]:
        """Tokens that the model's file forbids to generate."""
        count = ctypes.c_int32()
        tokens = C.llama_vocab_get_suppress_tokens(self._handle, ctypes.byref(count))
        return list(tokens[: count.value]) if count.value else []

    @property
    def bos_text(self) -> str:
        """The text of the token that begins a text; empty where there is none."""
        return self._text_of(C.llama_vocab_bos(self._handle))

    @property
    def eos_text(self) -> str:
        """The text of the token that ends one."""
        return self._text_of(C.llama_vocab_eos(self._handle))

    def control_texts(self) -> Iterator[str]:
        """The texts that the tokenizer reads as control tokens, where it may."""
        for token in range(self.size):
            if C.llama_vocab_get_attr(self._handle, token) & _READ_WHOLE:
                yield self.name(token)

    def _text_of(self, token: int) -> str:
        return "" if token == _NULL else self.name(int(token))

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids. Bytes that are no UTF-8 become those bytes' tokens; llama.cpp alone would make them U+FFFD."""
        decoded = text.decode("utf-8", "surrogateescape")
        if not _NOT_UTF8.search(decoded):
            return self._tokenize(text, add_special, parse_special)
        tokens: list[int] = []
        end = 0
        for bad in _NOT_UTF8.finditer(decoded):
            part = decoded[end : bad.start()].encode()
            if part or end == 0:
                tokens += self._tokenize(part, add_special and end == 0, parse_special)
            tokens += self._byte_tokens(bad.group().encode("utf-8", "surrogateescape"))
            end = bad.end()
        if end < len(decoded):
            tokens += self._tokenize(decoded[end:].encode(), False, parse_special)
        return tokens

    def piece(self, token: int) -> bytes:
        return self._piece(token, special=False)

    def name(self, token: int) -> str:
        return self._piece(token, special=True).decode("utf-8", "surrogateescape")

    def is_end(self, token: int) -> bool:
        return bool(C.llama_vocab_is_eog(self._handle, token))

    def infill(self, prefix: bytes, suffix: bytes) -> list[int] | None:
        """Prefix, suffix, middle, the order that llama.cpp's server uses by default (tools/server, format_infill)."""
        before, after, middle = (
            function(self._handle) for function in (C.llama_vocab_fim_pre, C.llama_vocab_fim_suf, C.llama_vocab_fim_mid)
        )
        if _NULL in (before, after, middle):
            return None
        bos = [C.llama_vocab_bos(self._handle)] if C.llama_vocab_get_add_bos(self._handle) else []
        first = self.tokenize(prefix, add_special=False, parse_special=False)
        second = self.tokenize(suffix, add_special=False, parse_special=False)
        return [*bos, before, *first, after, *second, middle]

    def _tokenize(self, text: bytes, add_special: bool, parse_special: bool) -> list[int]:
        capacity = len(text) + 8
        tokens = (C.llama_token * capacity)()
        count = C.llama_tokenize(self._handle, text, len(text), tokens, capacity, add_special, parse_special)
        if count < 0:
            tokens = (C.llama_token * -count)()
            count = C.llama_tokenize(self._handle, text, len(text), tokens, -count, add_special, parse_special)
        return list(tokens[:count])

    def _piece(self, token: int, *, special: bool) -> bytes:
        size = C.llama_token_to_piece(self._handle, token, self._buffer, len(self._buffer), 0, special)
        if size < 0:
            self._buffer = ctypes.create_string_buffer(-size)
            size = C.llama_token_to_piece(self._handle, token, self._buffer, -size, 0, special)
        return ctypes.string_at(self._buffer, size)

    def _byte_tokens(self, data: bytes) -> list[int]:
        if self._bytes is None:
            self._bytes = self._find_byte_tokens()
        known = self._bytes
        if not all(byte in known for byte in data):
            return self._tokenize(data, False, False)
        return [known[byte] for byte in data]

    def _find_byte_tokens(self) -> dict[int, int]:
        """The token of each single byte: what prints as exactly that byte, whatever kind of vocabulary it is."""
        found: dict[int, int] = {}
        for token in range(self.size):
            piece = self.piece(token)
            if len(piece) == 1:
                found.setdefault(piece[0], token)
        return found
