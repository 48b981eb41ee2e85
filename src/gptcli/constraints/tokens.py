"""The tokens of a model as llguidance needs them: bytes that are kept on disk, made into a tokenizer in a thread."""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from gptcli.errors import EngineError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_MAGIC = b"gptclipc"
_SPECIAL = b"\xff"
"""llguidance's mark of a token that is no text; no constraint on text allows one."""
_MOST_TRIED = 6000
"""Tokens that are tried one by one, 2 µs each, rather than wait for the tokenizer."""


class PieceVocabulary(Protocol):
    """What is asked of a vocabulary here."""

    size: int

    @property
    def ends(self) -> Sequence[int]:
        """All tokens that end a generation."""

    def piece(self, token: int) -> bytes:
        """The bytes that `token` adds to a text; empty for control tokens."""

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]: ...


@dataclass(slots=True)
class Pieces:
    """The bytes of each token, empty for those that are no text, and the tokens that end a generation."""

    texts: list[bytes]
    ends: list[int]

    @classmethod
    def of(cls, vocabulary: PieceVocabulary) -> Pieces:
        """Ask for every token: 0.2 s for 49,000. A vocabulary without an end gets one more token, for llguidance."""
        texts = [vocabulary.piece(token) for token in range(vocabulary.size)]
        if not vocabulary.ends:
            return cls([*texts, b""], [vocabulary.size])
        for end in vocabulary.ends:
            texts[end] = b""
        return cls(texts, list(vocabulary.ends))

    def save(self, path: Path) -> None:
        """Write the file, complete or not at all. Raises OSError."""
        lengths = array("I", [len(self.texts), len(self.ends), *self.ends, *map(len, self.texts)])
        data = lengths.tobytes() + b"".join(self.texts)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}.tmp")
        try:
            temporary.write_bytes(_MAGIC + zlib.crc32(data).to_bytes(4, "little") + data)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> Pieces | None:
        """Those of the file; None if it is missing or damaged."""
        try:
            content = path.read_bytes()
        except OSError:
            return None
        data = content[12:]
        if content[:8] != _MAGIC or zlib.crc32(data) != int.from_bytes(content[8:12], "little"):
            return None
        count, ends = array("I", data[:8])
        start = 4 * (2 + ends + count)
        numbers = array("I", data[8:start])
        offsets = accumulate(numbers[ends:], initial=start)
        return cls([data[begin:end] for begin, end in pairwise(offsets)], numbers[:ends].tolist())


class Tokens:
    """llguidance's tokenizer of a model, made in a thread: 0.09 s for 49,000 tokens, in which it has the GIL.

    A constraint that allows few tokens, such as a choice among words, does not need it: see `are_few`."""

    def __init__(self, path: Path | None = None, vocabulary: PieceVocabulary | None = None) -> None:
        """`path`: where the pieces are kept for the next process. The vocabulary may follow later."""
        self.pieces: Pieces = Pieces([], [])
        """Those of the model, once they are read."""
        self._path = path
        self._vocabulary = vocabulary
        self._known = threading.Event()
        self._reading = threading.Lock()
        self._thread: threading.Thread | None = None
        self._tokenizer: LLTokenizer | None = None
        self._by_text: dict[bytes, int] = {}
        self._by_first: list[list[int]] = []
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
        found = bytearray(-(-len(pieces.texts) // 8))
        allowed = [*pieces.ends] if matcher.is_accepting() else []
        tried = chain.from_iterable(self._candidates(matcher))
        allowed += [token for token in tried if _allows(matcher, pieces.texts[token])]
        for token in allowed:
            found[token >> 3] |= 1 << (token & 7)
        return bytes(found)

    def forced(self, matcher: LLMatcher) -> list[int]:
        """The tokens that a matcher over bytes forces, without a last one that could also be a longer one."""
        text = matcher.compute_ff_bytes()
        if not text:
            return []
        tokens = self.tokenize(text)
        last, state, texts = self.piece(tokens[-1]), matcher.deep_copy(), self._read().texts
        state.consume_tokens(list(text[: -len(last)]))
        alike = (texts[token] for token in self._starting[last[0]])
        longer = any(len(piece) > len(last) and piece.startswith(last) and _allows(state, piece) for piece in alike)
        return tokens[:-1] if longer else tokens

    def _candidates(self, matcher: LLMatcher) -> list[list[int]]:
        """The tokens that begin with each byte that a matcher over bytes allows."""
        mask = matcher.compute_bitmask()
        return [tokens for byte, tokens in enumerate(self._starting) if mask[byte >> 3] >> (byte & 7) & 1]

    @property
    def _starting(self) -> list[list[int]]:
        """The tokens that begin with each byte."""
        if not self._by_first:
            self._by_first = [[] for _ in range(256)]
            for token, text in enumerate(self._read().texts):
                if text:
                    self._by_first[text[0]].append(token)
        return self._by_first

    def piece(self, token: int) -> bytes:
        """The bytes of a token; empty if it is no text."""
        if not self.pieces.texts and self._vocabulary is not None:
            return self._vocabulary.piece(token)
        return self.pieces.texts[token]

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
            self._by_text = {text: token for token, text in enumerate(self._read().texts) if text}
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
            if self.pieces.texts:
                return self.pieces
            pieces = Pieces.load(self._path) if self._path is not None else None
            if pieces is None:
                self._known.wait()
                assert self._vocabulary is not None
                pieces = Pieces.of(self._vocabulary)
                if self._path is not None:
                    with contextlib.suppress(OSError):  # a full disk is no reason to fail
                        pieces.save(self._path)
            self.pieces = pieces
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
        Pieces([*texts, b""], [256]), lambda text: list(text.encode() if isinstance(text, str) else text)
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
        self.tokens = [text or _SPECIAL + str(token).encode() for token, text in enumerate(pieces.texts)]
        self._tokenize = tokenize

    def __call__(self, text: str) -> list[int]:
        return self._tokenize(text)
