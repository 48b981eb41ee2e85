"""The items of a JSON answer, one a line as soon as each is complete: for `| while read`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from gptcli.terminal import Terminal
from gptcli.types import Channel, Delta, Event

_OPENERS, _CLOSERS = "[{", "]}"


class ItemScanner:
    """Cuts JSON into the items of an array, and into the fields of an object with one item each of those that are
    arrays. The text comes in pieces; a value that is neither object nor array is one item."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._escaped = False
        self._top = ""
        self._key: str | None = None
        self._in_field_array = False
        self._value: list[str] = []

    def push(self, text: str) -> Iterator[object]:
        """The items that this text completes."""
        for character in text:
            if self._in_string:
                self._value.append(character)
                self._in_string = character != '"' or self._escaped
                self._escaped = character == "\\" and not self._escaped
            else:
                yield from self._structure(character)

    def finish(self) -> Iterator[object]:
        """What is complete only because the text ends: a value that is neither object nor array."""
        if not self._depth and not self._in_string:
            yield from self._take()

    @property
    def _item_depth(self) -> int:
        """How many brackets are open around an item."""
        return bool(self._top) + self._in_field_array

    def _structure(self, character: str) -> Iterator[object]:
        depth = self._item_depth
        if character in _CLOSERS:
            self._depth -= 1
            if self._depth < depth:
                yield from self._take()
                self._in_field_array = False
                return
        elif character in _OPENERS:
            self._depth += 1
            if self._depth == 1:
                self._top = character
                return
            if character == "[" and self._depth == 2 and self._key is not None and not "".join(self._value).strip():
                self._in_field_array = True
                return
        elif character == "," and self._depth == depth:
            yield from self._take()
            return
        elif character == ":" and self._depth == 1 and self._top == "{" and self._key is None:
            self._key = json.loads("".join(self._value))
            self._value = []
            return
        self._in_string = character == '"'
        self._value.append(character)

    def _take(self) -> Iterator[object]:
        text, self._value = "".join(self._value).strip(), []
        if text:
            value = json.loads(text)
            yield value if self._key is None else {self._key: value}
        if not self._in_field_array or self._depth < self._item_depth:
            self._key = None


class ItemLines:
    """Writes each item of an answer as a line of JSON."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal, self._scanner = terminal, ItemScanner()

    def show(self, event: Event) -> None:
        if isinstance(event, Delta) and event.channel is Channel.ANSWER:
            self._write(self._scanner.push(event.text))

    def close(self) -> None:
        self._write(self._scanner.finish())

    def _write(self, items: Iterator[object]) -> None:
        for item in items:
            self._terminal.write(json.dumps(item, ensure_ascii=False) + "\n")
