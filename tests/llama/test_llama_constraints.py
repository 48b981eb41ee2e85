"""Constraints on a real vocabulary: grammars, regular expressions, choices and JSON, sampled in every way."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from answers import Answer, collect

from gptcli.constraints.matcher import Compiler
from gptcli.constraints.tokens import Tokens
from gptcli.engine.backend import CacheConfig
from gptcli.engine.engine import LocalEngine
from gptcli.errors import EngineError, RequestError
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.sampler import GreedySampler, LlamaSampler
from gptcli.params import Sampling
from gptcli.types import JSON_OBJECT, Constraint, ConstraintKind, FinishReason, Request, TextPrompt

Open = Callable[..., LlamaBackend]
PLAIN = Sampling(seed=1, temperature=1, top_k=0, top_p=1, min_p=0)
"""The model's own distribution."""
STORY = b"Once upon a time there was a king who had three daughters"


def gbnf(text: str) -> Constraint:
    return Constraint(ConstraintKind.GBNF, text)


def answers(backend: LlamaBackend, constraint: Constraint | None, sampling: Sampling, **more: object) -> list[Answer]:
    fields: dict[str, object] = {"max_tokens": 12, **more}
    request = Request("r", TextPrompt(STORY), sampling, constraint=constraint, **fields)  # type: ignore[arg-type]
    found = collect(LocalEngine(backend).stream([request]))
    for failed in found.failed.values():
        raise failed.error
    return [found.samples["r", index] for index in range(request.n)]


def text(backend: LlamaBackend, constraint: Constraint | None, sampling: Sampling = PLAIN, **more: object) -> str:
    return answers(backend, constraint, sampling, **more)[0].text


def reason(answer: Answer) -> FinishReason:
    assert answer.finished is not None
    return answer.finished.reason


def test_a_grammar_is_followed(backend: LlamaBackend) -> None:
    grammar = gbnf('root ::= ("yes" | "no" | "日本") " " [0-9] [0-9]? "."')
    for answer in answers(backend, grammar, PLAIN, max_tokens=None, n=5):
        assert reason(answer) is FinishReason.STOP
        word, number = answer.text.removesuffix(".").split(" ")
        assert word in ("yes", "no", "日本")
        assert 0 <= int(number) <= 99


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0),
        replace(PLAIN, mirostat=1),
        replace(PLAIN, mirostat=2),
        replace(PLAIN, top_k=1),
        replace(PLAIN, top_n_sigma=0.5),
        replace(PLAIN, repeat_penalty=3, presence_penalty=2),
        replace(PLAIN, dry_multiplier=3),
        replace(PLAIN, samplers=("infill",)),
        replace(PLAIN, samplers=("adaptive_p",), adaptive_target=0.5),
    ],
)
@pytest.mark.parametrize("fast_greedy", [False, True])
def test_samplers_work_within_a_constraint(open_backend: Open, sampling: Sampling, fast_greedy: bool) -> None:
    backend = open_backend(fast_greedy=fast_greedy)
    assert set(text(backend, gbnf("root ::= [ab]+"), sampling)) <= {"a", "b"}
    assert re.fullmatch("(na|ha)+!", text(backend, Constraint(ConstraintKind.REGEX, "(na|ha)+!"), sampling))


def test_text_with_a_constraint_is_utf_8_whatever_the_model_wants(backend: LlamaBackend) -> None:
    anything = Constraint(ConstraintKind.REGEX, "(?s:.*)")
    for answer in answers(backend, anything, replace(PLAIN, temperature=3), n=5):
        answer.text.encode()  # without surrogates
    assert "\udcd8" in text(backend, None, Sampling(temperature=0))


def test_escapes_of_a_grammar_are_characters(backend: LlamaBackend) -> None:
    assert (
        text(backend, gbnf(r'root ::= "\x1b[31m\x9b\u0041\u00e4\U0001F600\n" [\u00e4]'), max_tokens=40)
        == "\x1b[31m\x9bAä😀\nä"
    )


@pytest.mark.parametrize(
    ("grammar", "complaint"),
    [
        ('root ::= "a" | nothing', "nothing"),
        ('root ::= "ä" | word\nword = "at"\n', "::="),
        ('root ::= "ä" ("b"', "line 1"),
        ('root ::= "a"\n\nb ::= [x', "Unexpected end of input"),
        ('root ::= "a" @ at', "line 1"),
        ('start ::= "a"', "no rule is named root"),
        ("hello", "rule"),
        ('root ::= "\udcff"', "not valid UTF-8"),
    ],
)
def test_a_bad_grammar_is_refused_with_the_complaint(
    backend: LlamaBackend, capfd: pytest.CaptureFixture[str], grammar: str, complaint: str
) -> None:
    with pytest.raises(RequestError) as caught:
        text(backend, gbnf(grammar))
    assert caught.value.message.startswith("the grammar cannot be used: ")
    assert complaint in caught.value.message
    assert "root" in caught.value.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("grammar", "complaint"),
    [
        ('root ::= "a"{3,1}', "the repetition {3,1} ends below its start (line 1, column 13)"),
        (
            'root ::= "\\"{" # {1,2}\nx ::= [\\]{]{ 9 , # or\n 3 }',
            "the repetition {9,3} ends below its start (line 2, column 12)",
        ),
        ('root ::= "a"{0010,00}', "the repetition {10,0} ends below its start (line 1, column 13)"),
        ('root ::= "a"{10001}', "a repetition goes above 10,000 (line 1, column 13)"),
        (f'root ::= "a"{{1,{10**40}}}', "a repetition goes above 10,000 (line 1, column 13)"),
        (
            f'root ::= "{"a" * 999}"{{2000}}',
            "its repetitions have more than 1,000,000 characters (line 1, column 1011)",
        ),
        ('root ::= "a"{1200}{1200}', "its repetitions have more than 1,000,000 characters (line 1, column 19)"),
        (
            "root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000,
            "groups are nested more than 200 deep (line 1, column 210)",
        ),
        ('root ::= "a"\n' * 50_000, "it has 650,000 characters, and the limit is 524,288"),
    ],
    ids=range(9),
)
def test_a_grammar_that_would_take_long_is_refused(backend: LlamaBackend, grammar: str, complaint: str) -> None:
    with pytest.raises(RequestError) as caught:
        text(backend, gbnf(grammar))
    assert caught.value.message == f"the grammar cannot be used: {complaint}."


def test_repetitions_of_a_usual_size_are_followed(backend: LlamaBackend) -> None:
    grammar = 'root ::= ("{3,1}"{ 2 , # at least\n}) ("x"{0,3} "y"{3}){1,40}'
    assert text(backend, gbnf(grammar), max_tokens=40).startswith("{3,1}" * 2)


def test_a_part_leaves_to_the_next_what_that_needs(backend: LlamaBackend) -> None:
    grammar = gbnf('root ::= (num "=" num "\\n")+\nnum ::= [0-9]+ ws\nws ::= [ \\n]*\n')
    assert re.fullmatch(r"([0-9]+[ \n]*=[0-9]+[ \n]*\n)+", text(backend, grammar, max_tokens=20))


def test_a_repeated_rule_may_begin_again_after_line_breaks(backend: LlamaBackend) -> None:
    """llama.cpp's arithmetic.gbnf: the white space of a term may not take the line break that a line ends with."""
    lines = 'root ::= (term "=" ws term "\\n")+\nterm ::= [a-z] ws | [0-9]+ ws\nws ::= [ \\t\\n]*'
    matcher = backend.matcher(gbnf(lines))
    matcher.accept_forced(backend.vocabulary.tokenize(b"1 = 2\n", add_special=False, parse_special=False))
    (token,) = backend.vocabulary.tokenize(b"\n", add_special=False, parse_special=False)
    assert matcher.accept(token, 10)
    (letter,) = backend.vocabulary.tokenize(b"x", add_special=False, parse_special=False)
    assert matcher.mask()[letter >> 3] >> (letter & 7) & 1
    assert matcher.accept(letter, 4)


def test_a_text_may_be_full_of_quotes(backend: LlamaBackend) -> None:
    assert re.fullmatch(r"(- [^\n]+\n)+", text(backend, gbnf('root ::= ("- " [^\\n]+ "\\n")+'), max_tokens=30))


def test_left_recursion_is_no_problem(backend: LlamaBackend) -> None:
    assert re.fullmatch("ba*", text(backend, gbnf('root ::= root "a" | "b"')))


def test_a_grammar_that_ends_ends_the_text_even_if_ends_are_ignored(backend: LlamaBackend) -> None:
    answer = answers(backend, gbnf('root ::= "ab"'), PLAIN, ignore_eos=True)[0]
    assert (answer.text, reason(answer)) == ("ab", FinishReason.STOP)


def test_a_bias_that_forbids_what_the_constraint_requires_is_an_error(backend: LlamaBackend) -> None:
    forbidden = Sampling(temperature=0, logit_bias=tuple((letter, -math.inf) for letter in "ab"))
    with pytest.raises(EngineError, match="allows none"):
        text(backend, gbnf("root ::= [ab]+"), forbidden)


def test_a_lark_grammar_is_followed(backend: LlamaBackend) -> None:
    constraint = Constraint(ConstraintKind.LARK, 'start: ("red" | "blue") /[0-9]{2}/')
    assert re.fullmatch("(red|blue)[0-9]{2}", text(backend, constraint))
    with pytest.raises(RequestError, match="grammar cannot be used"):
        text(backend, Constraint(ConstraintKind.LARK, "start: ("))


def test_a_grammar_with_special_tokens_does_not_claim_to_be_closed(backend: LlamaBackend) -> None:
    constraint = Constraint(ConstraintKind.LARK, f"start: /[a-z]{{9}}/ <[{backend.vocabulary.ends[0]}]> /x/")
    answer = answers(backend, constraint, PLAIN, max_tokens=3)[0]
    assert answer.finished is not None
    assert (reason(answer), answer.finished.closed) == (FinishReason.LENGTH, False)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(temperature=1.5, seed=3)])
@pytest.mark.parametrize("limit", [2, 3, 5, 20, 80])
def test_json_is_whole_at_every_limit(backend: LlamaBackend, sampling: Sampling, limit: int) -> None:
    for answer in answers(backend, JSON_OBJECT, sampling, max_tokens=limit, n=3):
        assert isinstance(json.loads(answer.text.encode("utf-8", "surrogateescape")), dict)
        assert answer.finished is not None
        assert answer.finished.completion_tokens <= limit
        assert answer.finished.closed is (reason(answer) is FinishReason.LENGTH)


def test_choices_are_chosen_by_their_probability(backend: LlamaBackend) -> None:
    """Each choice is as likely as the model has it among them."""
    constraint = Constraint(ConstraintKind.CHOICE, '["a", "b", "c"]')
    chosen = {answer.text for answer in answers(backend, constraint, replace(PLAIN, temperature=3), n=30)}
    assert chosen == {"a", "b", "c"}


def test_logprobs_say_which_tokens_were_forced(backend: LlamaBackend) -> None:
    constraint = Constraint(ConstraintKind.REGEX, "[xy]--->[01]")
    free, plain = (answers(backend, constraint, PLAIN, logprobs=more)[0] for more in (1, None))
    assert [info.forced for info in free.tokens] == [False, *[True] * (len(free.tokens) - 2), False]
    assert all(info.logprob < 0 for info in free.tokens)
    assert free.text == plain.text


def test_the_likeliest_tokens_are_found_without_looking_at_all(open_backend: Open) -> None:
    """What the sampler leaves out cannot be among the tokens that its chain keeps."""
    rng = np.random.default_rng(7)
    size = 5_000
    for keeps in (1, 3, 8):
        sampler = GreedySampler(size, frozenset(range(keeps - 1)), lambda: None)
        for share in (0.1, 0.3, 0.9, 1.0):
            logits = rng.normal(size=size).astype(np.float32)
            allowed = rng.random(size) < share
            found = sampler._best(logits, allowed)
            wanted = np.argsort(np.where(allowed, logits, -np.inf))[-keeps:]
            assert set(wanted) <= set(found) <= set(np.flatnonzero(allowed))
            assert share < 0.5 or len(found) < size / 4


@pytest.mark.parametrize(
    "sampling",
    [
        PLAIN,
        Sampling(temperature=0),
        replace(PLAIN, temperature=2, top_k=5, min_p=0.01),
        replace(PLAIN, mirostat=2),
        replace(PLAIN, logit_bias=((72, -3.0),)),
    ],
)
def test_of_few_tokens_the_same_is_chosen_without_numpy(backend: LlamaBackend, sampling: Sampling) -> None:
    tokens = LocalEngine(backend).encode(TextPrompt(STORY)).tokens
    backend.reserve(CacheConfig(256, 1))
    row = [backend.add(token, place, 0, logits=place == len(tokens) - 1) for place, token in enumerate(tokens)][-1]
    backend.decode()
    few = bytearray(backend.vocabulary.size // 8)
    few[9] = few[40] = 0xFF
    for seed in range(20):
        one, other = (backend.sampler(sampling, seed, [], ignore_end=False) for _ in range(2))
        assert isinstance(one, LlamaSampler)
        assert isinstance(other, LlamaSampler)
        assert one._choose_few(row, few) == other._choose_many(row, few)
        assert one._choose_few(row, bytearray(b"\xff" * 200)) is None
        one.close()
        other.close()


@pytest.mark.parametrize(
    "pattern", ["positive|negative|not sure", r"\d{4}-\d\d?", "(yes|no)( maybe)?", "(x|é)+y", "[A-F]x*"]
)
def test_few_tokens_are_allowed_and_forced_as_the_tokenizer_has_it(backend: LlamaBackend, pattern: str) -> None:
    """Where a constraint allows few tokens, the masks come from its bytes: they are those of llguidance."""
    constraint = Constraint(ConstraintKind.REGEX, pattern)
    slow_tokens = Tokens(vocabulary=backend.vocabulary)
    slow_tokens.result()
    fast_tokens = Tokens(vocabulary=backend.vocabulary)
    fast, slow = (Compiler(tokens).matcher(constraint) for tokens in (fast_tokens, slow_tokens))
    for _ in range(6):
        if slow.complete:
            break
        mask = slow.mask()
        assert fast.mask() == mask[: len(fast.mask())]
        assert not any(mask[len(fast.mask()) :])
        allowed = [n for n in range(backend.vocabulary.size) if mask[n >> 3] >> (n & 7) & 1 and n not in slow.ends]
        for matcher in (fast, slow):
            assert matcher.accept(allowed[len(allowed) // 2], 20)
        assert (fast.complete, fast.accepting) == (slow.complete, slow.accepting)
    assert not fast_tokens.is_made
