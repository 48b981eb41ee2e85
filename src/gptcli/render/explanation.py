"""Explanations for people: a coloured text with what it means below, as JSON, or as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gptcli.render.heat import Heat, html_page, styled
from gptcli.terminal import Terminal
from gptcli.types import TokenInfo

HOT_BITS = 12.0
"""Surprise that has the hottest colour: a token of one in 4,096."""
_LISTED = 5


def bits_heat(bits: float | None) -> float:
    """The heat of a token's surprise, from 0 to 1."""
    return 0.0 if bits is None else min(1.0, bits / HOT_BITS)


def support_heat(support: Sequence[float]) -> list[float]:
    """The heat of each part, from -1 to 1; the one with the most effect has the hottest colour."""
    most = max(map(abs, support), default=0.0) or 1.0
    return [one / most for one in support]


def alternatives_text(alternatives: Sequence[tuple[str, float]]) -> str:
    """`"dog" 31 %, "cat" 12 %`."""
    return ", ".join(f"{text!r} {percent(share)}" for text, share in alternatives)


def percent(share: float) -> str:
    """A probability for people: `31 %`, `0.4 %`, `<0.1 %`."""
    if share >= 0.995:
        return f"{share:.1%}".replace("%", " %") if share < 0.9995 else "100 %"
    if share < 0.001:
        return "<0.1 %"
    return f"{share * 100:.0f} %" if share >= 0.0995 else f"{share * 100:.1f} %"


def write_surprise(terminal: Terminal, pieces: Sequence[tuple[str, float | None, Sequence[tuple[str, float]]]]) -> None:
    """The text in colours, its mean surprise, and its most surprising tokens with what was likelier.

    `pieces`: text, bits, alternatives. Without colours: a line for each piece, its bits, text and alternatives."""
    if not terminal.stdout_color:
        for text, bits, others in pieces:
            shown = "" if bits is None else f"{bits:.2f}"
            terminal.write(f"{shown}\t{text!r}\t{alternatives_text(others)}\n")
        return
    terminal.write_styled(styled([Heat(text, bits_heat(bits)) for text, bits, _ in pieces]) + "\n\n")
    known = [bits for _, bits, _ in pieces if bits is not None]
    if known:
        mean = math.fsum(known) / len(known)
        terminal.write(f"{len(known):,} tokens, {mean:.2f} bits each (perplexity {2**mean:,.1f})\n")
    for text, bits, others in sorted(pieces, key=lambda piece: -(piece[1] or 0.0))[:_LISTED]:
        if bits and others:
            terminal.write(f"{bits:6.1f} bits  {text!r}: likelier were {alternatives_text(others)}\n")


def surprise_page(title: str, pieces: Sequence[tuple[str, float | None, Sequence[tuple[str, float]]]]) -> str:
    """The same as an HTML page."""
    heats = []
    for text, bits, others in pieces:
        note = "" if bits is None else f"{bits:.2f} bits, {percent(2**-bits)}"
        note += "".join(f"\n{other!r} {percent(share)}" for other, share in others)
        heats.append(Heat(text, bits_heat(bits), note))
    return html_page(title, "The hotter a token's colour, the more it surprised the model.", heats)


def write_support(terminal: Terminal, title: str, parts: Sequence[tuple[str, float]]) -> None:
    """The prompt with each part coloured by its support, in nats, then the parts by rank.

    Without colours: a line for each part in the order of the prompt, its support and its text."""
    if not terminal.stdout_color:
        for text, support in parts:
            terminal.write(f"{support:+.3f}\t{' '.join(text.split())}\n")
        return
    heats = support_heat([support for _, support in parts])
    shown = [Heat(text, heat) for (text, _), heat in zip(parts, heats, strict=True)]
    terminal.write_styled(styled(shown) + "\n\n")
    terminal.write(f"{title}\n")
    for text, support in sorted(parts, key=lambda part: -part[1])[:_LISTED]:
        terminal.write(f"{support:+7.2f} nats  {_short(text, terminal.width - 16)}\n")


def support_page(title: str, subtitle: str, parts: Sequence[tuple[str, float]]) -> str:
    """The same as an HTML page."""
    heats = support_heat([support for _, support in parts])
    pieces = [Heat(text, heat, f"{support:+.3f} nats") for (text, support), heat in zip(parts, heats, strict=True)]
    ranked = sorted(parts, key=lambda part: -part[1])
    return html_page(title, subtitle, pieces, [(f"{support:+.3f}", " ".join(text.split())) for text, support in ranked])


def choice_lines(common: Sequence[TokenInfo], ours: TokenInfo | None, theirs: TokenInfo | None) -> list[str]:
    """Where two answers part: what both begin with, and the two tokens with their probabilities there."""
    start = _readable("".join(token.text for token in common))
    where = f"Both answers begin {start!r}." if start else "The answers part at their first token."
    return [where, *(_token_line(name, token) for name, token in (("answer", ours), ("other", theirs)))]


def _token_line(name: str, token: TokenInfo | None) -> str:
    if token is None:
        return f"  {name}: ends there"
    others = alternatives_text([(_readable(other.text), math.exp(other.logprob)) for other in token.top[:3]])
    likely = f"; likeliest there: {others}" if others else ""
    return f"  {name}: {_readable(token.text)!r} {percent(math.exp(token.logprob))}{likely}"


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _short(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: max(0, width - 1)]}…"
