"""Turns the tokens of a sample into text, whole characters only and never a stop string, and the text into deltas."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from gptcli.prompt.encoding import Vocabulary
from gptcli.prompt.reasoning import ChannelSplitter
from gptcli.types import Channel, Delta, Request, TextPrompt, TokenInfo, TokenPrompt

_utf8 = codecs.getincrementaldecoder("utf-8")


class TextStream:
    """Decodes pieces incrementally and holds back what could still become a stop string.

    Invalid bytes become lone surrogates (`surrogateescape`), so that nothing is lost; an incomplete character waits for
    its last byte. No text is decoded twice."""

    __slots__ = ("_decoded", "_decoder", "_held", "_infos", "_released", "_stops", "stop")

    def __init__(self, stops: tuple[str, ...] = ()) -> None:
        self._decoder = _utf8("surrogateescape")
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self._decoded = 0
        self._released = 0
        self._infos: deque[tuple[int, int, TokenInfo]] = deque()  # offsets of each token's start and end in the text
        self.stop: str | None = None
        """The stop string that was found; no text follows it."""

    def skip(self, piece: bytes) -> str:
        """Decode a piece that was delivered before; its last character may end in the next one. Returns its text."""
        return self._decoder.decode(piece)

    def push(self, piece: bytes, info: TokenInfo | None = None) -> str:
        """Add a token's bytes; returns the text that is certain now. Sets `stop` when a stop string is complete."""
        if self.stop is not None:
            return ""
        text = self._decoder.decode(piece)
        if info is not None:
            end = self._decoded + len(text) + (1 if self.unfinished else 0)
            self._infos.append((self._decoded, end, info))
        self._decoded += len(text)
        if not self._stops:
            self._released += len(text)
            return text
        self._held += text
        found = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            # The one that is complete first, so that the result does not depend on how the text is cut into tokens.
            at, self.stop = min(found, key=lambda hit: (hit[0] + len(hit[1]), hit[0]))
            return self._release(at)
        return self._release(len(self._held) - self._possible_stop())

    def finish(self) -> str:
        """The text still held back, if the generation ended without a stop string."""
        return "" if self.stop is not None else self._release(len(self._held))

    @property
    def unfinished(self) -> int:
        """Bytes of an incomplete character at the end."""
        return len(self._decoder.getstate()[0])

    def tokens(self) -> list[TokenInfo]:
        """Tokens whose text was completed since the last call."""
        ready: list[TokenInfo] = []
        while self._infos and self._infos[0][1] <= self._released:
            ready.append(self._infos.popleft()[2])
        return ready

    def last_tokens(self) -> list[TokenInfo]:
        """The other tokens of a text that has ended: all, or those that start before the stop string."""
        limit = self._decoded + 1 if self.stop is None else self._released
        return [info for start, _, info in self._infos if start < limit]

    def _release(self, count: int) -> str:
        text, self._held = self._held[:count], self._held[count:]
        self._released += count
        return text

    def _possible_stop(self) -> int:
        """Number of characters at the end of the held text that may be the start of a stop string."""
        sizes = (size for stop in self._stops for size in range(1, len(stop)) if self._held.endswith(stop[:size]))
        return max(sizes, default=0)


def _texts_within(data: bytes, tokens: list[TokenInfo]) -> list[TokenInfo]:
    """The tokens with the texts that they have in `data`: none for what a tokenizer added, BOS or a first space."""
    found, at = [], 0
    for token in tokens:
        piece = token.text.encode("utf-8", "surrogateescape")
        if not data.startswith(piece, at):
            piece = piece.removeprefix(b" ") if data.startswith(piece.removeprefix(b" "), at) else b""
        at += len(piece)
        found.append(replace(token, text=piece.decode("utf-8", "surrogateescape")))
    return found


class OutputProcessor:
    """The text of one sample, delivered at once or, for a request that is not streamed, at its end."""

    __slots__ = ("_buffered", "_delivered", "_index", "_request", "_splitter", "_text")

    def __init__(self, request: Request, index: int, *, is_chat: bool, thinking: bool) -> None:
        self._request = request
        self._index = index
        self._text = TextStream(request.stop)
        self._splitter = ChannelSplitter(thinking=thinking) if is_chat else None
        self._buffered: list[str] = []
        self._delivered = ""

    def piece(self, token: int, vocabulary: Vocabulary) -> bytes:
        """The bytes of a token; the name of a control token, if channels are told apart by these."""
        piece = vocabulary.piece(token)
        if not piece and self._splitter is not None:
            return vocabulary.name(token).encode("utf-8", "surrogateescape")
        return piece

    @property
    def stop(self) -> str | None:
        """The stop string that ended the text."""
        return self._text.stop

    @property
    def dropped_bytes(self) -> int:
        """Bytes of an incomplete final character."""
        return self._text.unfinished if self._text.stop is None else 0

    def resume(self, pieces: Iterable[bytes]) -> None:
        """Continue after these pieces of the answer, which are not delivered again."""
        for piece in pieces:
            text = self._text.skip(piece)
            if self._splitter is not None:
                self._splitter.push(text)
        if self._splitter is not None:
            self._delivered = self._splitter.held  # it was delivered when the answer was interrupted

    def echo(self, tokens: list[TokenInfo], vocabulary: Vocabulary) -> list[Delta]:
        """The prompt itself, as the first delta; `tokens` are those of it that are scored."""
        prompt = self._request.prompt
        data = prompt.data if isinstance(prompt, TextPrompt) else b""
        if isinstance(prompt, TokenPrompt):
            data = b"".join(map(vocabulary.piece, prompt.tokens))
        text = data.decode("utf-8", "surrogateescape")
        return [Delta(self._request.id, self._index, text, _texts_within(data, tokens))] if text or tokens else []

    def push(self, piece: bytes, info: TokenInfo | None) -> list[Delta]:
        """Add a token's bytes; returns the deltas that are certain now."""
        text = self._text.push(piece, info)
        if not self._request.stream:
            self._buffered.append(text)
            return []
        if self._splitter is None and info is None:  # nearly always
            return [Delta(self._request.id, self._index, text, [])] if text else []
        tokens = self._text.tokens() if info is not None else []
        pieces = self._splitter.push(text) if self._splitter is not None else [(Channel.ANSWER, text)]
        return self._deltas(pieces, tokens)

    def finish(self) -> list[Delta]:
        """The deltas still held back when the sample has ended."""
        text = "".join([*self._buffered, self._text.finish()])
        tokens = []
        if self._request.logprobs is not None:
            tokens = [*self._text.tokens(), *self._text.last_tokens()]
        if self._splitter is None:
            return self._deltas([(Channel.ANSWER, text)], tokens)
        return self._deltas([*self._splitter.push(text), *self._splitter.finish()], tokens)

    def _deltas(self, pieces: list[tuple[Channel, str]], tokens: list[TokenInfo]) -> list[Delta]:
        """One delta for each run of a channel; the tokens, which have no channel, are in the first."""
        deltas: list[Delta] = []
        for channel, text in self._undelivered(pieces) if self._delivered else pieces:
            if deltas and deltas[-1].channel is channel:
                deltas[-1].text += text
            elif text:
                deltas.append(Delta(self._request.id, self._index, text, [], channel))
        if tokens and not deltas:
            deltas.append(Delta(self._request.id, self._index, "", []))
        if tokens:
            deltas[0].tokens = tokens
        return deltas

    def _undelivered(self, pieces: list[tuple[Channel, str]]) -> list[tuple[Channel, str]]:
        """The pieces without the text that was delivered before the answer was resumed."""
        if not pieces:
            return []
        (channel, text), *others = pieces
        delivered, self._delivered = self._delivered, ""
        return [(channel, text.removeprefix(delivered)), *others]
