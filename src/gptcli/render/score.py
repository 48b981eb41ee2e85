"""Writes scores: columns for people, JSON, JSON lines, and tab-separated values for the shell's own tools."""

from __future__ import annotations

import json
import math
from typing import Protocol

from gptcli.errors import GptcliError
from gptcli.openai.response import readable
from gptcli.scoring.inputs import Input
from gptcli.scoring.texts import ScoredTokens, TextScore
from gptcli.terminal import Terminal
from gptcli.types import TokenInfo

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class ScoreWriter(Protocol):
    """Writes the results of texts, one text after the other."""

    def tokens(self, source: Input, scored: ScoredTokens) -> None:
        """More tokens of a text."""

    def score(self, source: Input, score: TextScore) -> None:
        """The sums of a text that has ended."""

    def error(self, source: Input, error: GptcliError) -> None:
        """Why a text has none."""

    def close(self) -> None:
        """All texts have ended."""


def score_writer(terminal: Terminal, format: str, *, tokens: bool, lines: bool) -> ScoreWriter:
    """The writer for a format (text, json, jsonl, tsv). `tokens`: list each of them; `lines`: the texts are lines."""
    if format == "text":
        return ScoreTable(terminal, tokens=tokens, lines=lines)
    if format == "tsv":
        return ScoreTSV(terminal, tokens=tokens, lines=lines)
    return ScoreJSON(terminal, tokens=tokens, lines=lines, is_array=format == "json")


def bits(token: TokenInfo) -> float:
    """How surprising a token is: its negative log-probability to base 2."""
    return -token.logprob / math.log(2) + 0.0  # no -0.0


class _Writer:
    """What the writers share."""

    def __init__(self, terminal: Terminal, *, tokens: bool, lines: bool) -> None:
        self._terminal, self._lists_tokens, self._lines = terminal, tokens, lines

    def tokens(self, source: Input, scored: ScoredTokens) -> None:
        pass

    def error(self, source: Input, error: GptcliError) -> None:
        self._terminal.report(f"gptcli: {source.label}: {error.message} {error.hint}".rstrip())

    def close(self) -> None:
        pass

    def _name(self, source: Input) -> str:
        """The line's text, or the file's name."""
        return source.data.decode("utf-8", "surrogateescape") if self._lines else source.file


class ScoreTable(_Writer):
    """Aligned columns under a header."""

    def __init__(self, terminal: Terminal, *, tokens: bool, lines: bool) -> None:
        super().__init__(terminal, tokens=tokens, lines=lines)
        self._has_header = False

    def tokens(self, source: Input, scored: ScoredTokens) -> None:
        if self._lists_tokens:
            rows = [f"{bits(token):8.2f} bits  {_shown(token.text)}\n" for token in scored.tokens]
            self._terminal.write("".join(rows))

    def score(self, source: Input, score: TextScore) -> None:
        if not self._has_header or self._lists_tokens:
            self._has_header = True
            what = "line" if self._lines else "file"
            self._terminal.write(f"{'tokens':>9}  {'nats':>12}  {'bits/byte':>9}  {'perplexity':>10}  {what}\n")
        columns = f"{score.tokens:>9,}  {score.logprob:>12,.2f}  {_number(score.bits_per_byte, 9, 4)}"
        self._terminal.write(f"{columns}  {_number(score.perplexity, 10, 3)}  {self._name(source)}\n")


class ScoreTSV(_Writer):
    """A line for each text: log-likelihood in nats, tokens, bits per byte, perplexity, name. With `tokens` a line for
    each token: its log-probability, its position, its text, and the name.

    There is no header, so that `sort -g` and `cut` can be used at once. Tabs, line ends and backslashes are escaped."""

    def tokens(self, source: Input, scored: ScoredTokens) -> None:
        if self._lists_tokens:
            name = self._name(source) if not self._lines else source.label
            rows = [
                _tsv(f"{token.logprob:.6f}", position, token.text, name)
                for position, token in enumerate(scored.tokens, scored.position)
            ]
            self._terminal.write("".join(rows))

    def score(self, source: Input, score: TextScore) -> None:
        if not self._lists_tokens:
            each = [score.bits_per_byte, score.perplexity]
            columns = ["" if value is None else f"{value:.6f}" for value in each]
            self._terminal.write(_tsv(f"{score.logprob:.6f}", score.tokens, *columns, self._name(source)))

    def error(self, source: Input, error: GptcliError) -> None:
        super().error(source, error)
        if not self._lists_tokens:
            self._terminal.write(_tsv("", "", "", "", self._name(source)))


class ScoreJSON(_Writer):
    """An object for each text, one a line or in an array. Log-probabilities are in nats."""

    def __init__(self, terminal: Terminal, *, tokens: bool, lines: bool, is_array: bool) -> None:
        super().__init__(terminal, tokens=tokens, lines=lines)
        self._is_array = is_array
        self._tokens: list[dict[str, object]] = []
        self._count = 0

    def tokens(self, source: Input, scored: ScoredTokens) -> None:
        if self._lists_tokens:
            for token in scored.tokens:
                data = token.text.encode("utf-8", "surrogateescape")
                entry: dict[str, object] = {
                    "token": readable(token.text),
                    "logprob": _finite(token.logprob),
                    "bytes": list(data),
                }
                self._tokens.append(entry)

    def score(self, source: Input, score: TextScore) -> None:
        value: dict[str, object] = {
            "tokens": score.tokens,
            "bytes": score.bytes,
            "logprob": _finite(score.logprob),
            "bits_per_byte": _finite(score.bits_per_byte),
            "perplexity": _finite(score.perplexity),
        }
        if self._lists_tokens:
            value["token_logprobs"] = self._tokens
            self._tokens = []
        self._write(source, value)

    def error(self, source: Input, error: GptcliError) -> None:
        self._tokens = []
        self._write(source, {"error": {"message": f"{error.message} {error.hint}".strip()}})

    def close(self) -> None:
        if self._is_array:
            self._terminal.write("\n]\n" if self._count else "[]\n")

    def _write(self, source: Input, value: dict[str, object]) -> None:
        where = {"file": readable(source.file)}
        line = {"line": source.line, "text": readable(self._name(source))} if self._lines else {}
        text = json.dumps(where | line | value, ensure_ascii=False)
        before = (",\n" if self._count else "[\n") if self._is_array else ""
        self._terminal.write(before + text + ("" if self._is_array else "\n"))
        self._count += 1


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-' if value is None else f'{value:,.{digits}f}':>{width}}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _shown(text: str) -> str:
    """A token in quotes; in bytes where it is not whole characters."""
    data = text.encode("utf-8", "surrogateescape")
    return repr(text if data.decode("utf-8", "ignore") == text else data)


def _tsv(*cells: object) -> str:
    return "\t".join(str(cell).translate(_ESCAPES) for cell in cells) + "\n"
