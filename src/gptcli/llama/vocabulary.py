"""A model's tokens and the bytes they stand for."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from gptcli.llama.library import C

_NULL = -1
_SPECIAL = 1 << 3 | 1 << 4
"""LLAMA_TOKEN_ATTR_CONTROL and LLAMA_TOKEN_ATTR_USER_DEFINED (include/llama.h)."""
_INVALID = re.compile("([\udc80-\udcff]+)")


class LlamaVocabulary:
    """Implements `Vocabulary` on a `llama_vocab`, which the model owns."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.size: int = C.llama_vocab_n_tokens(handle)
        bos, eos = int(C.llama_vocab_bos(handle)), int(C.llama_vocab_eos(handle))
        self.begin = next((token for token in (bos, eos) if token != _NULL), None)
        """BOS, otherwise the end-of-text token, which starts a text in GPT-2 and its relatives."""
        self.bos_text, self.eos_text = ("" if token == _NULL else self.name(token) for token in (bos, eos))

    @cached_property
    def ends(self) -> list[int]:
        """All tokens that end a generation."""
        return [token for token in range(self.size) if C.llama_vocab_is_eog(self.handle, token)]

    @property
    def suppressed(self) -> list[int]:
        """Tokens that the model file forbids to generate."""
        count = ctypes.c_int32()
        tokens = C.llama_vocab_get_suppress_tokens(self.handle, ctypes.byref(count))
        return list(tokens[: count.value]) if count.value else []

    def control_texts(self) -> Iterator[str]:
        """The texts that the tokenizer reads as control tokens, where it parses those."""
        for token in range(self.size):
            if C.llama_vocab_get_attr(self.handle, token) & _SPECIAL:
                yield self.name(token)

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids. Invalid UTF-8 becomes byte tokens; llama.cpp itself would replace it with U+FFFD."""
        first, *others = _INVALID.split(text.decode("utf-8", "surrogateescape"))
        tokens = self._tokenize(first.encode(), add_special, parse_special)
        for invalid, valid in zip(others[::2], others[1::2], strict=True):
            tokens += self._byte_tokens(invalid.encode("utf-8", "surrogateescape"))
            if valid:
                tokens += self._tokenize(valid.encode(), False, parse_special)
        return tokens

    def piece(self, token: int) -> bytes:
        return self._piece(token, False)

    def name(self, token: int) -> str:
        return self._piece(token, True).decode("utf-8", "surrogateescape")

    def is_end(self, token: int) -> bool:
        return bool(C.llama_vocab_is_eog(self.handle, token))

    def infill(self, prefix: bytes, suffix: bytes) -> list[int] | None:
        """Prefix, suffix, middle: the default order of llama.cpp's server (tools/server, format_infill)."""
        before, after, middle = (
            function(self.handle) for function in (C.llama_vocab_fim_pre, C.llama_vocab_fim_suf, C.llama_vocab_fim_mid)
        )
        if _NULL in (before, after, middle):
            return None
        bos = [C.llama_vocab_bos(self.handle)] if C.llama_vocab_get_add_bos(self.handle) else []
        first = self.tokenize(prefix, add_special=False, parse_special=False)
        second = self.tokenize(suffix, add_special=False, parse_special=False)
        return [*bos, before, *first, after, *second, middle]

    def _tokenize(self, text: bytes, add_special: bool, parse_special: bool) -> list[int]:
        count = -(len(text) + 8)
        while count < 0:  # the number of tokens that there was no room for
            tokens = (C.llama_token * -count)()
            count = C.llama_tokenize(self.handle, text, len(text), tokens, -count, add_special, parse_special)
        return list(tokens[:count])

    def _piece(self, token: int, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(256)  # not shared, for a server's threads come here at the same time
        size = C.llama_token_to_piece(self.handle, token, buffer, len(buffer), 0, special)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = C.llama_token_to_piece(self.handle, token, buffer, -size, 0, special)
        return ctypes.string_at(buffer, size)

    def _byte_tokens(self, data: bytes) -> list[int]:
        if not all(byte in self._token_of_byte for byte in data):
            return self._tokenize(data, False, False)
        return [self._token_of_byte[byte] for byte in data]

    @cached_property
    def _token_of_byte(self) -> dict[int, int]:
        """The token of each byte: the one whose piece is exactly that byte, in any kind of vocabulary."""
        found: dict[int, int] = {}
        for token in range(self.size):
            piece = self.piece(token)
            if len(piece) == 1:
                found.setdefault(piece[0], token)
        return found
