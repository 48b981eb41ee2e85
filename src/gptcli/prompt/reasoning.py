"""Splits streamed text into answer and reasoning.

Two families of markers are known: `<think>…</think>` before the answer, and OpenAI's harmony format
(https://cookbook.openai.com/articles/openai-harmony), where each message names its channel. The markers of the latter
are control tokens, so their text must be decoded too."""

from __future__ import annotations

from enum import Enum

from gptcli.types import Channel


class _State(Enum):
    START = 0  # nothing but white space yet
    THINKING = 1
    ANSWERING = 2  # until the end
    HEADER = 3  # harmony: role and channel of a message, up to <|message|>
    MESSAGE = 4  # harmony: the text of a message


_THINK, _UNTHINK, _MESSAGE = "<think>", "</think>", "<|message|>"
_HEADERS = ("<|channel|>", "<|start|>")
_MARKERS: dict[_State, tuple[str, ...]] = {
    _State.THINKING: (_UNTHINK,),
    _State.ANSWERING: (),
    _State.MESSAGE: ("<|end|>", "<|return|>", "<|call|>", *_HEADERS),
}


OPENERS = (_THINK, *_HEADERS)
"""What reasoning at the start of an answer begins with."""


def closes_reasoning(prompt: str) -> bool:
    """Whether a prompt ends after reasoning: some templates write that of models that should not think."""
    return prompt.rstrip().endswith(_UNTHINK)


def opens_reasoning(prompt: str) -> bool:
    """Whether a prompt ends inside reasoning: some templates write `<think>` for the model."""
    return prompt.rstrip().endswith(_THINK)


class ChannelSplitter:
    """Splits text into channels, wherever it is cut; what could still become a marker is held back.

    `thinking`: the prompt ends inside reasoning (`opens_reasoning`). Markers and the white space after them are
    dropped. Reasoning is recognized at the start only: an answer may mention `<think>`."""

    __slots__ = ("_channel", "_fresh", "_held", "_state")

    def __init__(self, *, thinking: bool = False) -> None:
        self._held, self._fresh = "", thinking
        self._state = _State.THINKING if thinking else _State.START
        self._channel = Channel.REASONING if thinking else Channel.ANSWER

    @property
    def answering(self) -> bool:
        """Whether what comes next is the answer, or may still become it."""
        if self._state is _State.MESSAGE:
            return self._channel is Channel.ANSWER
        return self._state in (_State.START, _State.ANSWERING)

    @property
    def exit(self) -> str:
        """The markers that lead from reasoning to the answer."""
        return _UNTHINK if self._state is _State.THINKING else "<|end|><|start|>assistant<|channel|>final<|message|>"

    @property
    def held(self) -> str:
        """The text that `finish` would give."""
        return "" if self._state is _State.HEADER else self._held

    def push(self, text: str) -> list[tuple[Channel, str]]:
        """The text that is certain now, in order, with its channels."""
        self._held += text
        pieces: list[tuple[Channel, str]] = []
        while self._advance(pieces):
            pass
        return pieces

    def finish(self) -> list[tuple[Channel, str]]:
        """The text that was still held when the stream ended."""
        held, self._held = self.held, ""
        return self._piece(held)

    def _advance(self, pieces: list[tuple[Channel, str]]) -> bool:
        """Take one marker, or all the text before a possible one; false when there is nothing more to do."""
        if self._state is _State.START:
            return self._start()
        if self._state is _State.HEADER:
            header, found, rest = self._held.partition(_MESSAGE)
            if found:
                self._enter(_State.MESSAGE, _channel_of(header), rest)
            return bool(found)
        at, marker = _first(self._held, _MARKERS[self._state])
        before, self._held = self._held[:at], self._held[at:]
        pieces += self._piece(before)
        if marker == _UNTHINK:
            self._enter(_State.ANSWERING, Channel.ANSWER, self._held[len(marker) :])
        elif marker:
            self._enter(_State.HEADER, self._channel, self._held[0 if marker in _HEADERS else len(marker) :])
        return bool(marker)

    def _start(self) -> bool:
        text = self._held.lstrip()
        if text.startswith(_THINK):
            self._enter(_State.THINKING, Channel.REASONING, text[len(_THINK) :])
        elif text.startswith(_HEADERS):
            self._enter(_State.HEADER, self._channel, text)
        elif any(marker.startswith(text) for marker in (_THINK, *_HEADERS)):  # or there is no text yet
            return False
        else:
            self._state = _State.ANSWERING
        return True

    def _enter(self, state: _State, channel: Channel, held: str) -> None:
        self._state, self._channel, self._held, self._fresh = state, channel, held, True

    def _piece(self, text: str) -> list[tuple[Channel, str]]:
        text = text.lstrip() if self._fresh else text
        self._fresh = self._fresh and not text
        return [(self._channel, text)] if text else []


def _channel_of(header: str) -> Channel:
    """`final` is for the user; `analysis` is not, nor `commentary`, which is for tools. No channel: an answer."""
    _, named, rest = header.rpartition("<|channel|>")
    return Channel.REASONING if named and rest.split()[:1] != ["final"] else Channel.ANSWER


def _first(text: str, markers: tuple[str, ...]) -> tuple[int, str]:
    """Where the first marker is, and which; or else where the text may end in a part of one, and an empty text."""
    found = [(at, marker) for marker in markers if (at := text.find(marker)) >= 0]
    longest = max(map(len, markers), default=1) - 1
    ends = range(max(0, len(text) - longest), len(text))
    possible = (at for at in ends if any(marker.startswith(text[at:]) for marker in markers))
    return min(found) if found else (next(possible, len(text)), "")
