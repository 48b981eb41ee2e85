"""Answers with a constraint: legal whatever the model wants, at every limit and when they are cancelled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from answers import Answer, collect
from fake_backend import END, ByteVocabulary, FakeBackend, alphabet
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gptcli.constraints.matcher import Compiler
from gptcli.constraints.tokens import Tokens
from gptcli.engine.engine import LocalEngine
from gptcli.errors import EngineError, GptcliError, RequestError
from gptcli.params import Sampling
from gptcli.prompt.template import ChatTemplate
from gptcli.types import (
    JSON_OBJECT,
    ChatPrompt,
    Constraint,
    ConstraintKind,
    Delta,
    Finished,
    FinishReason,
    Message,
    Prompt,
    Request,
    TextPrompt,
    TokenPrompt,
)

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "kind": {"enum": ["alpha", "beta"]}},
    "required": ["name", "age", "kind"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"type": "number"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["v", "children"],
            "additionalProperties": False,
        }
    },
}
LONG_ITEMS = {"type": "array", "items": {"type": "string", "minLength": 12}, "minItems": 2}
OPTIONAL = {
    "type": "object",
    "properties": {"a": {"type": "boolean"}, "big": {"type": "array", "items": PERSON, "minItems": 3}},
    "additionalProperties": False,
}
SCHEMAS = [PERSON, TREE, LONG_ITEMS, OPTIONAL]
THINK, UNTHINK = 300, 301
"""Tokens of a model that reasons."""


def schema(value: object) -> Constraint:
    return Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(value))


_LETTERS = b'{}[]",:0123456789.eE+-abcdefgtrufalsn \\u'


def scribble(tokens: list[int], seed: int) -> int:
    """A model that writes JSON's characters at random, and never ends on its own."""
    state = seed
    for token in tokens:
        state = (state * 1103515245 + token + 12345) % 2147483647
    return _LETTERS[state % len(_LETTERS)]


def answer(
    constraint: Constraint,
    *,
    model: Callable[[list[int], int], int] = scribble,
    prompt: Prompt | None = None,
    backend: FakeBackend | None = None,
    **more: object,
) -> Answer:
    fields: dict[str, object] = {"sampling": Sampling(seed=1), "constraint": constraint, **more}
    request = Request("r", prompt or TextPrompt(b"x"), **fields)  # type: ignore[arg-type]
    found = collect(LocalEngine(backend or FakeBackend(model=model)).stream([request]))
    for failed in found.failed.values():
        raise failed.error
    return found.samples["r", 0]


def finished(answer: Answer) -> Finished:
    assert answer.finished is not None
    return answer.finished


def least(value: object) -> int:
    """The number of tokens that a schema needs, as the refusal says."""
    with pytest.raises(RequestError) as caught:
        answer(schema(value), max_tokens=1)
    found = re.search(r"at least (\d+) tokens", caught.value.message)
    assert found, caught.value.message
    return int(found[1])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SCHEMAS), st.integers(0, 1000), st.integers(0, 60))
def test_json_satisfies_its_schema_at_every_limit(value: dict[str, object], seed: int, more: int) -> None:
    limit = {id(PERSON): 39, id(TREE): 24, id(LONG_ITEMS): 32, id(OPTIONAL): 2}[id(value)] + more
    found = answer(schema(value), sampling=Sampling(seed=seed), max_tokens=limit)
    Draft202012Validator(value).validate(json.loads(found.text))
    end = finished(found)
    assert end.completion_tokens == len(end.tokens) <= limit
    assert end.closed is (end.reason is FinishReason.LENGTH)


@pytest.mark.parametrize(("value", "tokens"), [*zip(SCHEMAS, (39, 24, 32, 2), strict=True)])
def test_a_limit_that_is_too_low_is_refused_with_the_number_that_is_not(value: dict[str, object], tokens: int) -> None:
    if tokens > 2:
        assert least(value) == tokens
    whole = answer(schema(value), max_tokens=tokens)
    assert len(whole.text) == tokens
    Draft202012Validator(value).validate(json.loads(whole.text))


def test_a_context_that_is_too_small_is_refused_with_the_number() -> None:
    with pytest.raises(RequestError, match="at least 39 tokens; the context has room for 30 after the prompt"):
        answer(schema(PERSON), backend=FakeBackend(trained_context=30), prompt=TextPrompt(b"x"))


@pytest.mark.parametrize("context", range(50, 70))
def test_an_answer_is_closed_where_the_context_ends(context: int) -> None:
    found = answer(schema(PERSON), backend=FakeBackend(model=lambda *_: ord("a"), trained_context=context))
    Draft202012Validator(PERSON).validate(json.loads(found.text))
    assert finished(found).reason is FinishReason.CONTEXT
    assert finished(found).closed
    assert len(found.text) == context  # the last token needs no cell


def test_forced_tokens_are_not_sampled_and_are_computed_together() -> None:
    backend = FakeBackend(model=lambda tokens, seed: ord("1") if tokens[-1] == ord(" ") else ord('"'))
    found = answer(schema(PERSON), backend=backend)
    assert found.text == '{"name": "", "age": 1, "kind": "alpha"}'
    # The prompt, what is forced, its last byte that waits for the tokenizer, `"` and more, `1`, `,` and more; no end
    assert backend.decodes == 6
    assert finished(found).reason is FinishReason.STOP
    assert bytes(backend.samplers[0].accepted) == found.text.encode()


def test_logprobs_say_which_tokens_were_forced() -> None:
    found = answer(Constraint(ConstraintKind.REGEX, "[ab]--[cd]"), logprobs=1)
    assert [info.forced for info in found.tokens] == [False, True, True, False]
    assert "".join(info.text for info in found.tokens) == found.text


@pytest.mark.parametrize("after", range(1, 40, 3))
@pytest.mark.parametrize("close", [True, False])
def test_a_cancelled_answer_is_closed_if_that_is_wanted(after: int, close: bool) -> None:
    engine = LocalEngine(FakeBackend(model=scribble))
    request = Request("r", TextPrompt(b"x"), Sampling(seed=1), constraint=schema(PERSON), close=close)
    text, end = "", None
    for event in engine.stream([request]):
        if isinstance(event, Delta):
            text += event.text
            if len(text) >= after:
                engine.cancel("r")
        elif isinstance(event, Finished):
            end = event
    assert end is not None
    assert (end.reason, end.closed) == (FinishReason.CANCELLED, close)
    if close:
        Draft202012Validator(PERSON).validate(json.loads(text))
    else:
        with pytest.raises(ValueError, match="line 1"):
            json.loads(text)


def test_samples_of_a_request_have_a_matcher_each() -> None:
    request = Request("r", TextPrompt(b"x"), Sampling(seed=1), max_tokens=60, n=8, constraint=schema(TREE))
    found = collect(LocalEngine(FakeBackend(model=scribble, step_tokens=16)).stream([request]))
    texts = [found.samples["r", index].text for index in range(8)]
    assert len(set(texts)) > 2
    for text in texts:
        Draft202012Validator(TREE).validate(json.loads(text))


def test_constrained_answers_run_beside_free_ones_and_are_preempted() -> None:
    requests = [
        Request(str(n), TextPrompt(b"%d" % n), Sampling(seed=n), max_tokens=90, ignore_eos=True,
                constraint=schema(SCHEMAS[n % 4]) if n % 2 else None)
        for n in range(12)
    ]  # fmt: skip
    found = collect(LocalEngine(FakeBackend(model=scribble, capacity=512, step_tokens=48), parallel=6).stream(requests))
    assert not found.failed
    for n in range(1, 12, 2):
        Draft202012Validator(SCHEMAS[n % 4]).validate(json.loads(found.samples[str(n), 0].text))
    assert all(len(found.samples[str(n), 0].text) == 90 for n in range(0, 12, 2))


@pytest.mark.parametrize("ignore_eos", [True, False])
def test_a_text_that_nothing_may_follow_ends(ignore_eos: bool) -> None:
    found = answer(Constraint(ConstraintKind.CHOICE, '["yes", "no"]'), ignore_eos=ignore_eos)
    assert (found.text in ("yes", "no"), finished(found).reason) == (True, FinishReason.STOP)


def test_a_text_that_may_go_on_ends_where_the_model_ends_it() -> None:
    constraint = Constraint(ConstraintKind.REGEX, "[a-z]+")
    ends = answer(constraint, model=alphabet, max_tokens=500)
    assert finished(ends).reason is FinishReason.STOP
    goes_on = answer(constraint, model=alphabet, max_tokens=500, ignore_eos=True)
    assert goes_on.text.startswith(ends.text)
    assert (len(goes_on.text), finished(goes_on).reason) == (500, FinishReason.LENGTH)


@pytest.mark.parametrize(
    ("constraint", "complaint"),
    [
        (Constraint(ConstraintKind.REGEX, "("), "the regular expression cannot be used"),
        (Constraint(ConstraintKind.REGEX, "(?=a)b"), "the regular expression cannot be used"),
        (schema({"type": "integer", "minimum": 3, "maximum": 2}), "the JSON Schema cannot be used"),
        (Constraint(ConstraintKind.GBNF, "root ::= ("), "the grammar cannot be used"),
        (Constraint(ConstraintKind.LARK, "start: nothing"), "the grammar cannot be used"),
    ],
)
def test_what_cannot_be_kept_is_refused(constraint: Constraint, complaint: str) -> None:
    backend = FakeBackend()
    with pytest.raises(RequestError, match=complaint):
        answer(constraint, backend=backend)
    assert all(sampler.closed for sampler in backend.samplers)


# Reasoning


@dataclass
class ReasoningVocabulary(ByteVocabulary):
    """Bytes, an end, and a token for each marker of reasoning."""

    size: int = 302
    names: dict[int, str] = field(default_factory=lambda: {END: "<end>", THINK: "<think>", UNTHINK: "</think>"})

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        if not parse_special:
            return list(text)
        parts = re.split(rb"(<think>|</think>)", text)
        by_name = {name.encode(): token for token, name in self.names.items()}
        return [token for part in parts for token in ([by_name[part]] if part in by_name else list(part))]

    def piece(self, token: int) -> bytes:
        return bytes([token]) if token < END else b""

    def name(self, token: int) -> str:
        return self.names[token] if token >= END else chr(token)


def reasoner(thought: bytes, then: Callable[[list[int], int], int] = scribble) -> Callable[[list[int], int], int]:
    """A model that thinks this and then answers as another one does."""

    def model(tokens: list[int], seed: int) -> int:
        if THINK not in tokens:
            return THINK
        if UNTHINK in tokens:
            return then(tokens, seed)
        done = len(tokens) - tokens.index(THINK) - 1
        return [*thought, UNTHINK][done] if done <= len(thought) else END

    return model


def think(model: Callable[[list[int], int], int], *, opened: bool = False, **more: object) -> tuple[str, Finished]:
    """The answer without its reasoning."""
    backend = FakeBackend(model=model, vocabulary=ReasoningVocabulary())
    template = ChatTemplate("{{ messages[0].content }}" + ("<think>" if opened else ""), bos="", eos="", specials=())
    prompt = ChatPrompt((Message("user", "x"),))
    request = Request("r", prompt, Sampling(seed=1), constraint=schema(PERSON), **more)  # type: ignore[arg-type]
    text, end = "", None
    for event in LocalEngine(backend, template=template).stream([request]):
        if isinstance(event, Delta) and event.channel.value == "answer":
            text += event.text
        elif isinstance(event, Finished):
            end = event
        elif isinstance(event, GptcliError):
            raise event
    assert end is not None
    return text, end


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_the_constraint_begins_when_the_answer_does(opened: bool, stream: bool) -> None:
    text, end = think(reasoner(b"Hm, {let} me see."), opened=opened, stream=stream, max_tokens=150)
    Draft202012Validator(PERSON).validate(json.loads(text))
    assert b"Hm, {let} me see." in bytes(token for token in end.tokens if token < END)


@pytest.mark.parametrize("limit", range(75, 95))
def test_reasoning_leaves_room_for_the_answer(limit: int) -> None:
    text, end = think(reasoner(b"endless " * 50), max_tokens=limit)
    Draft202012Validator(PERSON).validate(json.loads(text))
    assert UNTHINK in end.tokens
    assert end.closed
    assert end.completion_tokens <= limit


def test_a_model_that_ends_while_it_reasons_answers_all_the_same() -> None:
    def ends(tokens: list[int], seed: int) -> int:
        return THINK if THINK not in tokens else scribble(tokens, seed) if UNTHINK in tokens else END

    text, _ = think(ends, max_tokens=200)
    Draft202012Validator(PERSON).validate(json.loads(text))


def test_an_answer_that_is_continued_goes_on_within_its_constraint() -> None:
    begun = b'{"name": "Bo'
    prompt = TokenPrompt((*b"x", *begun), is_chat=True, answer_length=len(begun))
    found = answer(schema(PERSON), prompt=prompt, max_tokens=60)
    Draft202012Validator(PERSON).validate(json.loads(begun.decode() + found.text))
    with pytest.raises((EngineError, RequestError), match="constraint"):
        answer(schema(PERSON), prompt=TokenPrompt(tuple(b"xno"), is_chat=True, answer_length=2))


def test_an_object_is_the_least_that_json_mode_gives() -> None:
    assert answer(JSON_OBJECT, max_tokens=2).text == "{}"


def test_the_first_forced_tokens_do_not_wait_for_the_tokenizer() -> None:
    tokens = Tokens(vocabulary=FakeBackend().vocabulary)
    matcher = Compiler(tokens).matcher(schema(PERSON))
    assert tokens._pieces is None
    assert bytes(matcher.forced()) == b'{"name": '
    assert not matcher.complete
    matcher.accept_forced(matcher.forced())
    assert bytes(matcher.forced()) == b'"'  # of the tokenizer, which is there now
