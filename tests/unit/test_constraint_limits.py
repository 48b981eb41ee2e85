"""Patterns and grammars that are made to hang or swell what compiles them, or that ask for what is not supported."""

from __future__ import annotations

import contextlib
import os

import pytest
from fake_backend import ByteVocabulary

from gptcli.constraints.compilation import excess
from gptcli.constraints.matcher import Compiler
from gptcli.constraints.tokens import Tokens
from gptcli.errors import RequestError
from gptcli.types import Constraint, ConstraintKind

REGEX, LARK, GBNF = ConstraintKind.REGEX, ConstraintKind.LARK, ConstraintKind.GBNF
BOMBS = [
    Constraint(REGEX, "(((a{1,100}){1,100}){1,100}){1,100}"),
    Constraint(LARK, "start: A\nA: /(.*a.{13})/ & ~/(.*b.{14})/ & ~/(.*c.{15})/"),
    Constraint(LARK, 'start: %json {"type": "integer", "multipleOf": 1000003}'),
    Constraint(LARK, 'start: x{1000}\nx: y{1000}\ny: "a"{1000}'),
]
PLAIN = [
    Constraint(REGEX, r"\d{4}-\d{2}-\d{2}"),
    Constraint(REGEX, r"[a-z ]{1,300}"),
    Constraint(LARK, 'start: "a" b*\nb: /[0-9]{1,3}/'),
    Constraint(GBNF, 'root ::= [0-9]{1,3} ("a" | "b")+'),
    Constraint(ConstraintKind.CHOICE, '["yes", "no"]'),
]


def compiler() -> Compiler:
    return Compiler(Tokens(vocabulary=ByteVocabulary()))


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.text[:20])
def test_a_bomb_is_refused_or_kept_in_bounded_time(bomb: Constraint) -> None:
    before = os.times()
    with contextlib.suppress(RequestError):
        compiler().matcher(bomb)
    after = os.times()
    used = sum(after[index] - before[index] for index in range(4))  # of this process and of those it waited for
    assert used < 2


def test_what_takes_too_long_says_so() -> None:
    assert excess(BOMBS[2]).startswith("it takes more than")


@pytest.mark.parametrize("plain", PLAIN, ids=lambda plain: plain.text[:20])
def test_what_is_ordinary_is_compiled(plain: Constraint) -> None:
    assert not excess(plain)
    assert compiler().matcher(plain)


@pytest.mark.parametrize("name", ["<|im_end|>", "<[123]>"])
def test_tokens_in_gbnf_are_refused_with_their_place(name: str) -> None:
    with pytest.raises(RequestError, match=r"names the token .*line 2, column 7"):
        compiler().matcher(Constraint(GBNF, f'root ::= a\na ::= {name} "b"'))
    assert compiler().matcher(Constraint(GBNF, f'root ::= "{name}" [<>]'))
