"""Turns the tokens of a sample into deltas: text, split into channels if it is a chat's, and token probabilities."""

from __future__ import annotations

from collections.abc import Iterable

from gptcli.engine.text_stream import TextStream
from gptcli.prompt.encoding import Vocabulary
from gptcli.prompt.reasoning import ChannelSplitter
from gptcli.types import Channel, Delta, Request, TokenInfo


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
