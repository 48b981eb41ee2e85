"""Grammars in GBNF (llama.cpp, grammars/README.md), as samplers that allow only what they describe."""

from __future__ import annotations

import os
import re
from typing import Any

from gptcli.errors import RequestError
from gptcli.llama.library import C, captured_stderr, clear_log, log_tail
from gptcli.llama.vocabulary import LlamaVocabulary


def make_grammar(source: str, vocabulary: LlamaVocabulary) -> Any:
    """A sampler that allows only what the grammar does. Raises RequestError for one that llama.cpp cannot use."""
    try:
        data = source.encode()
    except UnicodeEncodeError:
        raise RequestError("the grammar is not valid UTF-8.", "Write such bytes as \\x escapes.") from None
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
    before = source[:position].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"{complaint} (line {line}, column {column})", others
