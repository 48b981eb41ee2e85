"""Searches the shortest text that ends what a constraint has seen so far: level by level, on bytes.

llguidance says which bytes may come next and which must, but not how far the end is. The search is a heuristic: what it
finds is legal, and nearly always the shortest; what it does not find counts as no ending. Of an ending of thousands of
bytes little changes with a token, so that it is kept as far as it still ends the text."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLMatcher

_SECONDS = (0.02, 0.04)
"""When the quick and the thorough search end, at the latest: computing time, or a busy machine would find no ending."""
_JOINING = 0.03
"""When the search for an ending that joins the last one ends."""
_IMPROVING = 0.004
"""How long a shorter ending than the first is searched."""
_PATIENT = 15
"""How much longer the first search of a constraint may take; what it does not find is refused."""
_REPEATS = 6
"""How often the best byte is taken in states that look alike, before the others have their turn."""
_WIDTH = 24
"""States of a level that are followed, at most."""
_WIDE = 64
"""Where more bytes are allowed, the text is in a string, or in something like it."""
_DIGITS = 12
_FEW = 32
"""Where no more are allowed, each is tried."""
_STARTS = frozenset(b'"{[-0123456789tfn')
"""What JSON values begin with."""
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_USEFUL = b'"}],\n:0a@.1T/ZA-tfn[{ '
"""What is tried first: the ends of values, the beginnings of short ones, what formats such as dates need."""
_FILLERS = b"a0A "
_MARKS = b"@:./-"
"""What formats such as e-mail need in their middle; a string that only lacks length does not care."""
_LONGEST_RUN = 1 << 12
_SKIP = 16
"""So many bytes of the last ending may be left out, to see whether the rest of it still ends the text."""
_NEAR = 400
"""How far into the last ending a new one may join it: at its beginning, or after a value."""
_AFTER_VALUES = frozenset(b",}]")
_HEAD = 8
"""So many bytes are tried before the whole rest of an ending."""
_END = 256
"""The end in the vocabulary of bytes."""
_BITS = [(byte >> 3, 1 << (byte & 7)) for byte in range(256)]


def shortest_ending(matcher: LLMatcher, most: int, *, patient: bool = False) -> bytes | None:
    """A text of at most `most` bytes after which the matcher accepts; None if none is found. The matcher is over bytes
    and is not changed. `patient`: search longer."""
    if matcher.is_accepting():
        return b""
    began, times = time.thread_time(), _PATIENT if patient else 1
    quick, thorough = (began + times * seconds for seconds in _SECONDS)
    found = _descend(matcher, most, quick)
    if found is not None:
        shorter = _search(matcher, len(found) - 1, time.thread_time() + times * _IMPROVING, thorough=False)
        return found if shorter is None else shorter
    found = _search(matcher, most, time.thread_time() + times * _SECONDS[0], thorough=False)
    return found if found is not None else _search(matcher, most, thorough + times * _SECONDS[0], thorough=True)


def rest_of_ending(matcher: LLMatcher, last: bytes, added: bytes) -> bytes | None:
    """What is left of the last ending now that the text has `added` as well, if it still ends the text; most tokens
    change nothing about the end."""
    if matcher.is_accepting():
        return b""
    starts = [len(added)] if last.startswith(added) else []
    return _first_end(matcher, last, [*starts, *range(min(_SKIP, len(last)))])


def joined_ending(matcher: LLMatcher, last: bytes, most: int) -> bytes | None:
    """An ending that goes on as the last one did, after what the text has begun since; None if none is found."""
    return _descend(matcher, most, time.thread_time() + _JOINING, last)


def _first_end(matcher: LLMatcher, last: bytes, starts: Iterable[int]) -> bytes | None:
    """What the last ending has from the first of these places on that ends the text; None if no part of it does."""
    return next((last[start:] for start in starts if _ends(matcher, last[start:])), None)


def _ends(matcher: LLMatcher, text: bytes) -> bool:
    head = text[:_HEAD]
    if not text or matcher.validate_tokens(list(head)) < len(head):
        return False
    return matcher.validate_tokens([*text, _END]) > len(text)


def _descend(matcher: LLMatcher, most: int, deadline: float, last: bytes = b"") -> bytes | None:
    """The first ending on the way of the best byte in each state: for patterns whose parts look alike, as of a version
    number, where the search by levels takes one part for another. It goes over to the last ending where it can."""
    state, text = matcher.deep_copy(), b""
    times: dict[bytes, int] = {}
    while len(text) < most and time.thread_time() < deadline:
        if state.is_accepting():
            return text
        more, repeat = state.compute_ff_bytes(), 0
        if more:
            allowed = {more[0]}
        else:
            mask = state.compute_bitmask()
            allowed = {byte for byte, (index, bit) in enumerate(_BITS) if mask[index] & bit}
            if state.is_error() or not allowed:
                return None
        if rest := _rest_from(state, allowed, last):
            return text + rest
        if not more:
            times[mask] = repeat = times.get(mask, 0) + 1
            more = _sure_step(state, mask, allowed)
            if not more or repeat > _REPEATS:
                ways = [byte for byte in _MARKS if byte in allowed]
                ways += [byte for byte in _candidates(allowed, True) if byte not in ways]
                more = bytes((ways[max(0, repeat - _REPEATS) % len(ways)],))
        if not state.consume_tokens(list(more)):
            return None
        text += more
        if _QUOTE in more and repeat <= _REPEATS:  # in the next string, what looks alike is something else
            times.clear()
    return None


def _rest_from(state: LLMatcher, allowed: set[int], last: bytes) -> bytes | None:
    """The end of the last ending that ends this text, where that can go over to it; not within a string."""
    if len(allowed) > _WIDE:
        return None
    near = (at for at, byte in enumerate(last[:_NEAR]) if byte in allowed and (at == 0 or byte in _AFTER_VALUES))
    return _first_end(state, last, near)


def _search(matcher: LLMatcher, most: int, deadline: float, *, thorough: bool) -> bytes | None:
    levels: dict[int, list[tuple[bytes, LLMatcher]]] = {0: [(b"", matcher.deep_copy())]}
    while levels:
        length = min(levels)
        seen: set[object] = set()
        for text, state in levels.pop(length):
            if time.thread_time() > deadline:
                return None
            steps = _steps(text, state, seen, thorough)
            for more in steps:
                further = state.deep_copy() if len(steps) > 1 else state
                if not further.consume_tokens(list(more)):
                    continue
                if further.is_accepting():
                    return text + more
                if length + len(more) < most:
                    levels.setdefault(length + len(more), []).append((text + more, further))
            if len(seen) >= _WIDTH:
                break
    return None


def _steps(text: bytes, state: LLMatcher, seen: set[object], thorough: bool) -> list[bytes]:
    """What can follow: the bytes that must, else those worth trying; nothing after a state like one in `seen`.

    States with equal masks differ where there are counts to reach. The thorough search tells them apart by how much
    structure is behind them."""
    if forced := state.compute_ff_bytes():
        return [forced]
    mask = state.compute_bitmask()
    key = (mask, sum(map(text.count, (b'"', b"}", b"]", b",")))) if thorough else mask
    if state.is_error() or key in seen:
        return []
    seen.add(key)
    allowed = {byte for byte, (index, bit) in enumerate(_BITS) if mask[index] & bit}
    if not thorough and (sure := _sure_step(state, mask, allowed)):
        return [sure]
    return [bytes((byte,)) for byte in _candidates(allowed, thorough)]


def _sure_step(state: LLMatcher, mask: bytes, allowed: set[int]) -> bytes:
    """The bytes that end the value or the string as soon as possible, if that is plain to see."""
    wide = len(allowed) > _WIDE
    for byte in b"" if wide else b"}]":
        if byte in allowed:
            return bytes((byte,))
    if wide and _QUOTE in allowed and _mask_after(state, _QUOTE) == mask:  # it ends nothing: this is no JSON
        return b""
    if _QUOTE in allowed and not allowed <= _STARTS:
        return b'"'
    if not wide and ord(",") in allowed:
        return b","
    return _run(state, mask, allowed) if wide else b""


def _run(state: LLMatcher, mask: bytes, allowed: set[int]) -> bytes:
    """The shortest run of a letter after which a string may end, where only its length is missing."""
    filler = next((byte for byte in _FILLERS if byte in allowed), None)
    if filler is None or any(_mask_after(state, byte) != mask for byte in (filler, *allowed.intersection(_MARKS))):
        return b""
    low, high = 1, 2
    while (valid := state.validate_tokens([filler] * high + [_QUOTE])) == high:
        low, high = high, 2 * high
        if high > _LONGEST_RUN:
            return b""
    if valid < high:
        return b""
    while low < high:
        middle = (low + high) // 2
        if state.validate_tokens([filler] * middle + [_QUOTE]) > middle:
            high = middle
        else:
            low = middle + 1
    return bytes((filler,)) * low


def _mask_after(state: LLMatcher, byte: int) -> bytes:
    further = state.deep_copy()
    return further.compute_bitmask() if further.consume_token(byte) else b""


def _candidates(allowed: set[int], thorough: bool) -> list[int]:
    """The bytes worth trying, best first; of neighbours, such as the digits, the quick search tries only the first."""
    if len(allowed) > _WIDE:  # brackets in a string would be taken for structure
        allowed = allowed.difference(b"{}[],")
    best = [byte for byte in _USEFUL if byte in allowed]
    others = sorted(allowed.difference(best))
    if not thorough and len(allowed) > _DIGITS:
        best = [byte for byte in best if not {byte - 1, byte - 2} <= allowed]
        others = [byte for byte in others if not {byte - 1, byte - 2} <= allowed]
    if len(others) > 1 and _BACKSLASH in others:
        others.remove(_BACKSLASH)
    return best + others[: _FEW if len(allowed) <= _FEW else 2]
