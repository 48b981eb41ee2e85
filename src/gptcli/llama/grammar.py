"""Grammars in GBNF (llama.cpp, grammars/README.md), as samplers that allow only what they describe."""

from __future__ import annotations

import os
import re
from typing import Any

from gptcli.errors import RequestError
from gptcli.llama.library import C, captured_stderr, clear_log, log_tail
from gptcli.llama.vocabulary import LlamaVocabulary

_MAX_SOURCE, _MAX_DEPTH, _MAX_COUNT, _MAX_SIZE = 512 * 1024, 200, 10_000, 1_000_000
"""Characters of a grammar, nested groups, repetitions of an item, and characters of all items written out as often as
they are repeated. llama.cpp recurses into rules and groups and copies what is repeated: its stack and memory end."""
_SPACE = r"(?:\s|#[^\r\n]*[\r\n])*"
_TOKEN = re.compile(
    rf"\{{{_SPACE}([0-9]+){_SPACE}(?:(,){_SPACE}(?:([0-9]+){_SPACE})?)?\}}"  # a repetition
    r'|"(?:\\.|[^"\\])*"?|\[(?:\\.|[^\]\\])*\]?|<[^>\n]*>|#[^\r\n]*|[()]|[^\s"\[<#(){*+?]+',
    re.DOTALL,
)


def make_grammar(source: str, vocabulary: LlamaVocabulary) -> Any:
    """A sampler that allows only what the grammar does. Raises RequestError for one that llama.cpp cannot use."""
    try:
        data = source.encode()
    except UnicodeEncodeError:
        raise RequestError("the grammar is not valid UTF-8.", "Write such bytes as \\x escapes.") from None
    if excess := _excess(source):
        raise RequestError(f"the grammar cannot be used: {excess}.", "Correct it, or make it smaller.")
    clear_log()
    grammar, printed = captured_stderr(lambda: C.llama_sampler_init_grammar(vocabulary.handle, data, b"root"))
    complaint, others = _parse_error(printed, data)
    if others:
        os.write(2, others)  # written by another thread meanwhile
    if not grammar:  # a null pointer of a pointer type, not None
        raise RequestError(
            f"the grammar is not valid GBNF: {complaint or log_tail(1)}.",
            'A grammar is a list of rules such as `root ::= "yes" | "no"`; one of them must be named root.',
        )
    return grammar


def _excess(source: str) -> str:
    """What would take the process down, with its position; empty if nothing does."""
    if len(source) > _MAX_SOURCE:
        return f"it has {len(source):,} characters, and the limit is {_MAX_SOURCE:,}"
    depth = total = 0
    size = 1  # of the item before a repetition
    for token in _TOKEN.finditer(source):
        found, (least, comma, most) = "", token.groups()
        if least is None:
            depth += (token[0] == "(") - (token[0] == ")")
            size = len(token[0]) if token[0][0] in '"[' else 1
            if depth > _MAX_DEPTH:
                found = f"groups are nested more than {_MAX_DEPTH} deep"
        else:
            low, high = _number(least), _number(most or ("" if comma else least))
            size *= max(low, high, 1)
            total += size
            if most and high < low:
                found = f"the repetition {{{low},{high}}} ends below its start"
            elif max(low, high) > _MAX_COUNT:
                found = f"a repetition goes above {_MAX_COUNT:,}"
            elif total > _MAX_SIZE:
                found = f"its repetitions have more than {_MAX_SIZE:,} characters"
        if found:
            return f"{found} {_position(source[: token.start()])}"
    return ""


def _number(digits: str) -> int:
    return int(digits.lstrip("0")[:9] or 0)


def _position(before: str) -> str:
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"(line {line}, column {column})"


def _parse_error(printed: bytes, source: bytes) -> tuple[str, bytes]:
    """llama.cpp's complaint with its position, and whatever else was printed.

    It prints `parse: error parsing grammar: MESSAGE at REST` and the source, where REST is all of the source from the
    error on (src/llama-grammar.cpp, llama_grammar_parser::parse)."""
    found = re.search(rb"\w+: error parsing grammar: (.*?)\n\n" + re.escape(source) + rb"\n", printed, re.DOTALL)
    if found is None:
        return "", printed
    others = printed[: found.start()] + printed[found.end() :]
    message, at, rest = found[1].partition(b" at ")
    complaint = message.decode(errors="replace")
    position = len(source) - len(rest)
    if undefined := re.fullmatch(rb"Undefined rule identifier '(.*)'", message):
        use = re.search(rb"(?<![\w-])" + re.escape(undefined[1]) + rb"(?![\w-])", source)
        position = use.start() if use else 0
    elif not at and message != b"unexpected end of input":
        return complaint, others
    return f"{complaint} {_position(source[:position].decode(errors='replace'))}", others
