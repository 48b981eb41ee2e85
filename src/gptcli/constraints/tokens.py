"""The tokens of a model as llguidance needs them: a tokenizer made in a thread, or the few that may come next."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gptcli.constraints.pieces import Pieces, PieceVocabulary
from gptcli.errors import EngineError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_SPECIAL = b"\xff"
"""llguidance's mark of a token that is no text; no constraint on text allows one."""
_MOST_TRIED = 6000
"""Tokens that are tried one by one, 2 µs each, rather than wait for the tokenizer."""


class Tokens:
    """llguidance's tokenizer of a model, made in a thread: 0.09 s for 49,000 tokens, in which it has the GIL.

    A constraint that allows few tokens, such as a choice among words, does not need it: see `are_few`."""

    def __init__(self, path: Path | None = None, vocabulary: PieceVocabulary | None = None) -> None:
        """`path`: where the pieces are kept for the next process. The vocabulary may follow later."""
        self._pieces: Pieces | None = None
        self._path = path
        self._vocabulary = vocabulary
        self._known = threading.Event()
        self._reading = threading.Lock()
        self._thread: threading.Thread | None = None
        self._tokenizer: LLTokenizer | None = None
        self._by_text: dict[bytes, int] = {}
        if vocabulary is not None:
            self._known.set()

    def know(self, vocabulary: PieceVocabulary) -> None:
        """Set the vocabulary, now that the model is there."""
        self._vocabulary = vocabulary
        self._known.set()

    def start(self) -> None:
        """Begin to make the tokenizer, unless that has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._make, daemon=True)
            self._thread.start()

    def result(self) -> LLTokenizer:
        """Wait for the tokenizer, and for the vocabulary if the file does not have the pieces."""
        self.start()
        assert self._thread is not None
        self._thread.join()
        assert self._tokenizer is not None, "the thread died"
        return self._tokenizer

    @property
    def is_made(self) -> bool:
        """Whether `result` need not wait."""
        return self._tokenizer is not None

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a generation. Waits for the pieces."""
        return frozenset(self._read().ends)

    def are_few(self, matcher: LLMatcher) -> bool:
        """Whether a matcher over bytes allows so few tokens, by their first bytes, that each can be tried."""
        return sum(map(len, self._candidates(matcher))) <= _MOST_TRIED

    def mask(self, matcher: LLMatcher) -> bytes:
        """A bit for each token, the lowest first: those that a matcher over bytes allows, and the ends if the text may
        end."""
        pieces = self._read()
        found = bytearray(-(-len(pieces) // 8))
        allowed = [*pieces.ends] if matcher.is_accepting() else []
        tried = chain.from_iterable(self._candidates(matcher))
        allowed += [token for token in tried if _allows(matcher, pieces[token])]
        for token in allowed:
            found[token >> 3] |= 1 << (token & 7)
        return bytes(found)

    def forced(self, matcher: LLMatcher) -> list[int]:
        """The tokens that a matcher over bytes forces, without a last one that could also be a longer one."""
        text = matcher.compute_ff_bytes()
        if not text:
            return []
        tokens = self.tokenize(text)
        last, state, pieces = self.piece(tokens[-1]), matcher.deep_copy(), self._read()
        state.consume_tokens(list(text[: -len(last)]))
        alike = (pieces[token] for token in pieces.starting(last[0]))
        longer = any(len(piece) > len(last) and piece.startswith(last) and _allows(state, piece) for piece in alike)
        return tokens[:-1] if longer else tokens

    def _candidates(self, matcher: LLMatcher) -> list[Sequence[int]]:
        """The tokens that begin with each byte that a matcher over bytes allows."""
        mask, pieces = matcher.compute_bitmask(), self._read()
        return [pieces.starting(byte) for byte in range(256) if mask[byte >> 3] >> (byte & 7) & 1]

    def piece(self, token: int) -> bytes:
        """The bytes of a token; empty if it is no text."""
        if self._pieces is None and self._vocabulary is not None:
            return self._vocabulary.piece(token)
        return self._read()[token]

    def tokenize(self, text: bytes | str) -> list[int]:
        """Tokens whose bytes are exactly `text`, in the middle of a text. Raises EngineError if there are none."""
        assert self._vocabulary is not None, "a text is tokenized once the model is there"
        data = text.encode() if isinstance(text, str) else text
        tokens = self._vocabulary.tokenize(data, add_special=False, parse_special=False)
        if self._text(tokens) == data:
            return tokens
        # SentencePiece begins a text with a space. After a line break it does not, and the break is cut off again.
        tokens = self._vocabulary.tokenize(b"\n" + data, add_special=False, parse_special=False)
        for count in range(1, len(tokens)):
            if self._text(tokens[count:]) == data:
                return tokens[count:]
        return self._longest(data)

    def _text(self, tokens: list[int]) -> bytes:
        return b"".join(map(self.piece, tokens))

    def _longest(self, data: bytes) -> list[int]:
        """The longest token at each place."""
        if not self._by_text:
            self._by_text = {text: token for token, text in enumerate(self._read()) if text}
        found, start, longest = [], 0, max(map(len, self._by_text))
        while start < len(data):
            ends = range(min(len(data), start + longest), start, -1)
            end = next((end for end in ends if data[start:end] in self._by_text), None)
            if end is None:
                raise EngineError("the model has no tokens for the text that its constraint demands.")
            found.append(self._by_text[data[start:end]])
            start = end
        return found

    def _read(self) -> Pieces:
        """The pieces, from the file or else from the vocabulary, which this waits for."""
        with self._reading:
            if self._pieces is not None:
                return self._pieces
            pieces = Pieces.load(self._path) if self._path is not None else None
            if pieces is None:
                self._known.wait()
                assert self._vocabulary is not None
                pieces = Pieces.of_vocabulary(self._vocabulary)
                if self._path is not None:
                    with contextlib.suppress(OSError):  # a full disk is no reason to fail
                        pieces.save(self._path)
            self._pieces = pieces
            return pieces

    def _make(self) -> None:
        self._tokenizer = _make_tokenizer(self._read(), self.tokenize)


def _allows(matcher: LLMatcher, text: bytes) -> bool:
    """Whether a matcher over bytes allows all bytes of a token."""
    return matcher.validate_tokens(list(text)) == len(text)


def bytes_tokenizer() -> LLTokenizer:
    """A tokenizer whose tokens are the 256 bytes and an end, for texts whose tokens do not matter."""
    texts = [bytes((byte,)) for byte in range(256)]
    return _make_tokenizer(
        Pieces.of([*texts, b""], [256]), lambda text: list(text.encode() if isinstance(text, str) else text)
    )


def _make_tokenizer(pieces: Pieces, tokenize: Callable[[bytes | str], list[int]]) -> LLTokenizer:
    from gptcli.constraints.library import LLTokenizer

    return LLTokenizer(cast(Any, _Tokenizer(pieces, tokenize)), eos_token=pieces.ends, slices=[])


class _Tokenizer:
    """What llguidance asks for, as its `TokenizerWrapper` has it."""

    is_tokenizer_wrapper = True

    def __init__(self, pieces: Pieces, tokenize: Callable[[bytes | str], list[int]]) -> None:
        self.eos_token_id = pieces.ends[0]
        self.bos_token_id = None
        self.special_token_ids: list[int] = []
        self.tokens = [text or _SPECIAL + str(token).encode() for token, text in enumerate(pieces)]
        self._tokenize = tokenize

    def __call__(self, text: str) -> list[int]:
        return self._tokenize(text)
