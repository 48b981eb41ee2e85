"""Token ids of any kind of prompt.

Special tokens may come from text that the user wants continued, as in llama.cpp's own programs, and from a chat
template, but never from a message of a chat."""

from __future__ import annotations

from typing import Protocol

from gptcli.errors import RequestError
from gptcli.prompt.reasoning import opens_reasoning
from gptcli.prompt.template import ChatTemplate
from gptcli.types import ChatPrompt, Prompt, TextPrompt, TokenPrompt


class Vocabulary(Protocol):
    size: int
    """How many tokens there are; their ids are smaller."""
    bos_text: str
    eos_text: str
    """The tokens that begin and end a text, as a chat template writes them; empty if there are none."""
    begin: int | None
    """The token that begins a text, if there is one."""

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of `text`; `add_special` adds BOS (and EOS) where the model expects them."""

    def piece(self, token: int) -> bytes:
        """The bytes that `token` adds to a text; empty for control tokens."""

    def name(self, token: int) -> str:
        """`token` as it is shown to a reader, control tokens included."""

    def is_end(self, token: int) -> bool:
        """Whether `token` ends a generation."""

    def infill(self, prefix: bytes, suffix: bytes) -> list[int] | None:
        """The prompt for text between the two; None where the model was not trained for that."""


def encode(prompt: Prompt, vocabulary: Vocabulary, template: ChatTemplate | None) -> TokenPrompt:
    """The prompt's tokens, at least one; a `TokenPrompt` is given back as it is.

    Raises RequestError where the model cannot do what the prompt asks, LoadError for a bad template."""
    if isinstance(prompt, TokenPrompt) and prompt.tokens:
        if (largest := max(prompt.tokens)) >= vocabulary.size:  # it would fail the whole step, other requests too
            raise RequestError(f"there is no token {largest}: this model has {vocabulary.size:,}.", "Check the ids.")
        return prompt
    if isinstance(prompt, ChatPrompt):
        return _encode_chat(prompt, vocabulary, template)
    tokens = _encode_text(prompt, vocabulary) if isinstance(prompt, TextPrompt) else []
    if not tokens and vocabulary.begin is not None:
        tokens = [vocabulary.begin]
    if not tokens:
        raise RequestError("the prompt is empty, and this model has no token to begin a text with.", "Give some text.")
    return TokenPrompt(tuple(tokens))


def tokenize(text: bytes, vocabulary: Vocabulary, *, begins: bool) -> tuple[int, ...]:
    """The tokens of text that is only data: nothing in it is a special token. `begins`: it is the beginning of a text.

    A SentencePiece tokenizer puts a space before all that it is given; behind a newline, which is then dropped again,
    the text has none."""
    tokens = vocabulary.tokenize(text, add_special=begins, parse_special=False)
    if not begins and b"".join(map(vocabulary.piece, tokens)) != text:
        newline = vocabulary.tokenize(b"\n", add_special=False, parse_special=False)
        after = vocabulary.tokenize(b"\n" + text, add_special=False, parse_special=False)
        if after[: len(newline)] == newline:
            tokens = after[len(newline) :]
    return tuple(tokens)


def _encode_text(prompt: TextPrompt, vocabulary: Vocabulary) -> list[int]:
    if prompt.suffix is None:
        return vocabulary.tokenize(prompt.data, add_special=True, parse_special=True)
    tokens = vocabulary.infill(prompt.data, prompt.suffix)
    if tokens is None:
        raise RequestError(
            "this model cannot fill in the middle: it has no tokens for a prefix and a suffix.",
            "Omit --suffix, or use a model trained for it, such as a code model.",
        )
    return tokens


def _encode_chat(prompt: ChatPrompt, vocabulary: Vocabulary, template: ChatTemplate | None) -> TokenPrompt:
    if template is None:
        raise RequestError("this engine was made without a chat template.", "Use `gptcli complete`.")
    options = dict(prompt.template_options)
    segments = template.render(prompt.messages, continue_final=prompt.continue_final, options=options)
    text = "".join(segment.text for segment in segments)
    # A template that writes BOS itself must not get a second one from the tokenizer.
    add_special = not template.begins_itself(text)
    tokens: list[int] = []
    for segment in segments:
        data = segment.text.encode("utf-8", "surrogateescape")
        tokens += vocabulary.tokenize(data, add_special=add_special, parse_special=segment.special)
        add_special = False
    if not tokens:
        raise RequestError("the model's chat template made nothing of this conversation.", "Use `gptcli complete`.")
    thinking = not prompt.continue_final and opens_reasoning(text)
    answer = prompt.answer_tokens
    return TokenPrompt((*tokens, *answer), is_chat=True, thinking=thinking, answer_length=len(answer))
