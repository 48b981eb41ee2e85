"""What llguidance is given for a constraint: each kind becomes one of its grammars, checked."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from gptcli.errors import RequestError
from gptcli.types import Constraint, ConstraintKind

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_SPACING: JsonCompileOptions = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""JSON as Python writes it, on one line. Small models fill flexible white space for ever."""
_MAX_SOURCE, _MAX_DEPTH, _MAX_COUNT, _MAX_SIZE = 512 * 1024, 200, 10_000, 1_000_000
"""Characters of a grammar, nested groups, repetitions of an item, and characters of all items written out as often as
they are repeated."""
_SPACE = r"(?:\s|#[^\r\n]*[\r\n])*"
_TOKEN = re.compile(
    rf"\{{{_SPACE}([0-9]+){_SPACE}(?:(,){_SPACE}(?:([0-9]+){_SPACE})?)?\}}"  # a repetition
    r'|"(?:\\.|[^"\\])*"?|\[(?:\\.|[^\]\\])*\]?|<[^>\n]*>|#[^\r\n]*|[()]|[^\s"\[<#(){*+?]+',
    re.DOTALL,
)
_CODE_POINT = re.compile(r"\\(?:\\|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))")
_ONE = re.compile(r"\\x[0-9A-Fa-f]{2}|\\.|.", re.DOTALL)
"""A character of a literal, as the converter leaves it."""
_NAMES = {
    ConstraintKind.JSON_SCHEMA: "JSON Schema",
    ConstraintKind.REGEX: "regular expression",
    ConstraintKind.CHOICE: "list of choices",
    ConstraintKind.GBNF: "grammar",
    ConstraintKind.LARK: "grammar",
}


def compile_grammar(constraint: Constraint) -> str:
    """llguidance's grammar. Raises RequestError for a text that is not of the constraint's kind."""
    from gptcli.constraints.library import LLMatcher

    text = constraint.text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise refusal(constraint, "it is not valid UTF-8") from None
    if constraint.kind is ConstraintKind.JSON_SCHEMA:
        try:
            return LLMatcher.grammar_from_json_schema(text, overrides=_SPACING)
        except ValueError as error:
            raise refusal(constraint, str(error)) from None
    if constraint.kind is ConstraintKind.REGEX:
        return LLMatcher.grammar_from_regex(text)
    if constraint.kind is ConstraintKind.CHOICE:
        return LLMatcher.grammar_from_lark(f"start: {' | '.join(map(json.dumps, json.loads(text)))}")
    if constraint.kind is ConstraintKind.GBNF:
        return LLMatcher.grammar_from_lark(_gbnf_to_lark(constraint))
    return LLMatcher.grammar_from_lark(text)


def refusal(constraint: Constraint, reason: str) -> RequestError:
    """The error for a constraint that cannot be kept."""
    hints = {
        ConstraintKind.GBNF: 'A grammar is a list of rules such as `root ::= "yes" | "no"`; one of them is named root.',
        ConstraintKind.LARK: 'A grammar is a list of rules such as `start: "yes" | "no"`; one of them is named start.',
        ConstraintKind.REGEX: "Look-around, back-references and lazy operators are not supported.",
    }
    name = _NAMES[constraint.kind]
    return RequestError(f"the {name} cannot be used: {reason.rstrip('.')}.", hints.get(constraint.kind, ""))


def _gbnf_to_lark(constraint: Constraint) -> str:
    """The same grammar as llguidance writes it. Raises RequestError."""
    if problem := _problem(constraint.text):
        raise refusal(constraint, problem)
    source = _CODE_POINT.sub(_character, constraint.text)
    if "::=" not in source:
        raise refusal(constraint, "it has no rule; in GBNF, rules are written name ::= items")
    try:
        lark = _characters(source)
    except RecursionError:
        raise refusal(constraint, "it is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - the converter's errors have no common class
        raise refusal(constraint, str(error)) from None
    if not re.search(r"^start:", lark, re.MULTILINE):
        raise refusal(constraint, "no rule is named root")
    return lark


def _characters(source: str) -> str:
    """The grammar with a lexeme for each character, as llama.cpp reads it. llguidance's converter makes longer ones,
    whose masks take 0.03 instead of 1 to 3 ms; but each takes all that it can, so that where line breaks may precede a
    line break that must come, none is left for it."""
    from llguidance import gbnf_to_lark as gbnf

    rules = gbnf.GrammarParser().parse(source)
    names = {name: "start" if name == "root" else f"rule_{number}" for number, name in enumerate(rules)}

    def written(node: gbnf.ASTNode) -> str:
        if isinstance(node, gbnf.LiteralNode):
            return "(" + (" ".join(f'"{one}"' for one in _ONE.findall(node.value)) or '""') + ")"
        if isinstance(node, gbnf.RegexNode):
            return "/(?s:.)/" if node.rx == "." else str(node)
        if isinstance(node, gbnf.RuleRefNode):
            return names[node.name]
        parts = [written(child) for child in node.children()]
        if isinstance(node, gbnf.RepetitionNode):
            most = "" if node.max_times is None else node.max_times
            return f"({parts[0]}){{{node.min_times},{most}}}"
        return "(" + ((" | " if isinstance(node, gbnf.AlternativeNode) else " ").join(parts) or '""') + ")"

    return "".join(f"{names[name]}: {written(rule.alternatives)}\n" for name, rule in rules.items())


def _character(escape: re.Match[str]) -> str:
    r"""The character of \xE4, \u0041 or \U0001F600, as llguidance's converter can read it."""
    digits = escape[1] or escape[2] or escape[3]
    if digits is None:
        return escape[0]
    code = int(digits, 16)
    if code < 0x80:
        return rf"\x{code:02x}"
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else escape[0]


def _problem(source: str) -> str:
    """What is not supported, or would take too long or too much memory, with its position; empty if nothing does."""
    if len(source) > _MAX_SOURCE:
        return f"it has {len(source):,} characters, and the limit is {_MAX_SOURCE:,}"
    depth = total = 0
    size = 1  # of the item before a repetition
    for token in _TOKEN.finditer(source):
        found, (least, comma, most) = "", token.groups()
        if least is None:
            depth += (token[0] == "(") - (token[0] == ")")
            size = len(token[0]) if token[0][0] in '"[' else 1
            if token[0][0] == "<":
                found = f"it names the token {token[0][:40]}, and a grammar here is of text"
            elif depth > _MAX_DEPTH:
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
