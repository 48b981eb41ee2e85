"""What a model says aloud and what it says to itself: streamed text split into channels as it comes.

It knows two families of markers, and no event, model or terminal: `<think>…</think>` before the answer, and OpenAI's
harmony format (https://cookbook.openai.com/articles/openai-harmony), where each message names its channel. The markers
of the latter are control tokens, so whoever decodes the tokens has to let their text through.
"""

from __future__ import annotations

from enum import Enum

from gptcli.types import Channel


class _State(Enum):
    START = 0  # nothing but white space yet
    THINKING = 1
    ANSWERING = 2  # until the end, whatever comes
    HEADER = 3  # harmony: whose message and which channel, up to <|message|>
    MESSAGE = 4  # harmony: what it says


_THINK, _UNTHINK, _MESSAGE = "<think>", "</think>", "<|message|>"
_HEADERS = ("<|channel|>", "<|start|>")
_ENDS = ("<|end|>", "<|return|>", "<|call|>", *_HEADERS)
_MARKERS: dict[_State, tuple[str, ...]] = {
    _State.THINKING: (_UNTHINK,),
    _State.ANSWERING: (),
    _State.MESSAGE: _ENDS,
}


def opens_reasoning(prompt: str) -> bool:
    """Whether a prompt ends inside reasoning, as those of models do whose template writes `<think>` for them."""
    return prompt.rstrip().endswith(_THINK)


class ChannelSplitter:
    """Splits text into channels, however it is cut; what could still become a marker is held back.

    `thinking`: the prompt has opened the reasoning (`opens_reasoning`). Markers and the white space after them are
    dropped. Reasoning is recognized at the beginning only: an answer may talk of `<think>`.
    """

    __slots__ = ("_channel", "_fresh", "_held", "_state")

    def __init__(self, *, thinking: bool = False) -> None:
        self._state = _State.THINKING if thinking else _State.START
        self._channel = Channel.REASONING if thinking else Channel.ANSWER
        self._fresh = thinking
        self._held = ""

    @property
    def held(self) -> str:
        """What `finish` would say."""
        return "" if self._state is _State.HEADER else self._held

    def push(self, text: str) -> list[tuple[Channel, str]]:
        """The text that is certain now, in order, with its channels."""
        self._held += text
        pieces: list[tuple[Channel, str]] = []
        while self._advance(pieces):
            pass
        return pieces

    def finish(self) -> list[tuple[Channel, str]]:
        """What was still held when the text ended."""
        held, self._held = self._held, ""
        pieces: list[tuple[Channel, str]] = []
        if self._state is not _State.HEADER:
            self._say(held, pieces)
        return pieces

    def _advance(self, pieces: list[tuple[Channel, str]]) -> bool:
        """Take one marker, or all the text before a possible one; false when there is nothing more to do."""
        if self._state is _State.START:
            return self._begin()
        if self._state is _State.HEADER:
            header, found, rest = self._held.partition(_MESSAGE)
            if found:
                self._enter(_State.MESSAGE, _channel_of(header), rest)
            return bool(found)
        at, marker = _first(self._held, _MARKERS[self._state])
        before, after = self._held[:at], self._held[at + len(marker) :]
        self._held = after if marker else self._held[at:]
        self._say(before, pieces)
        if marker == _UNTHINK:
            self._enter(_State.ANSWERING, Channel.ANSWER, after)
        elif marker:
            self._enter(_State.HEADER, self._channel, (marker if marker in _HEADERS else "") + after)
        return bool(marker)

    def _begin(self) -> bool:
        said = self._held.lstrip()
        if said.startswith(_THINK):
            self._enter(_State.THINKING, Channel.REASONING, said[len(_THINK) :])
        elif said.startswith(_HEADERS):
            self._enter(_State.HEADER, self._channel, said)
        elif any(marker.startswith(said) for marker in (_THINK, *_HEADERS)):  # also where nothing is said yet
            return False
        else:
            self._state = _State.ANSWERING
        return True

    def _enter(self, state: _State, channel: Channel, held: str) -> None:
        self._state, self._channel, self._held = state, channel, held
        self._fresh = True

    def _say(self, text: str, pieces: list[tuple[Channel, str]]) -> None:
        if self._fresh:
            text = text.lstrip()
        if text:
            self._fresh = False
            pieces.append((self._channel, text))


def _channel_of(header: str) -> Channel:
    """`final` is for the user; `analysis` is not, nor is `commentary`, which is for tools. None named: an answer."""
    _, named, rest = header.rpartition("<|channel|>")
    return Channel.REASONING if named and rest.split()[:1] != ["final"] else Channel.ANSWER


def _first(text: str, markers: tuple[str, ...]) -> tuple[int, str]:
    """Where the first marker is, and which; or where one could have begun, or the end, and an empty text."""
    found = [(at, marker) for marker in markers if (at := text.find(marker)) >= 0]
    if found:
        return min(found)
    longest = max(map(len, markers), default=1) - 1
    for at in range(max(0, len(text) - longest), len(text)):
        if any(marker.startswith(text[at:]) for marker in markers):
            return at, ""
    return len(text), ""
