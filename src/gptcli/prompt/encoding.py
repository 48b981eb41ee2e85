"""Token ids of a prompt, whatever its kind.

It knows what may become a special token: what the user wrote to be continued (as llama.cpp's own programs have it) and
what a chat template wrote, but never what somebody typed into a chat.
"""

from __future__ import annotations

from gptcli.engine.backend import Vocabulary
from gptcli.errors import RequestError
from gptcli.prompt.reasoning import opens_reasoning
from gptcli.prompt.template import ChatTemplate
from gptcli.types import ChatPrompt, Prompt, TextPrompt, TokenPrompt


def encode(prompt: Prompt, vocabulary: Vocabulary, template: ChatTemplate | None) -> TokenPrompt:
    """The prompt's tokens, at least one. Raises RequestError where the model cannot do what the prompt asks, LoadError
    for a bad template."""
    if isinstance(prompt, TokenPrompt) and prompt.tokens:
        return prompt
    if isinstance(prompt, ChatPrompt):
        return _encode_chat(prompt, vocabulary, template)
    tokens = _encode_text(prompt, vocabulary) if isinstance(prompt, TextPrompt) else []
    if not tokens and vocabulary.begin is not None:
        tokens = [vocabulary.begin]
    if not tokens:
        raise RequestError("the prompt is empty, and this model has no token to begin a text with.", "Give some text.")
    return TokenPrompt(tuple(tokens))


def _encode_text(prompt: TextPrompt, vocabulary: Vocabulary) -> list[int]:
    if prompt.suffix is None:
        return vocabulary.tokenize(prompt.data, add_special=True, parse_special=True)
    tokens = vocabulary.infill(prompt.data, prompt.suffix)
    if tokens is None:
        raise RequestError(
            "this model cannot fill in the middle: it has no tokens for a prefix and a suffix.",
            "Leave --suffix away, or use a model trained for it, such as a code model.",
        )
    return tokens


def _encode_chat(prompt: ChatPrompt, vocabulary: Vocabulary, template: ChatTemplate | None) -> TokenPrompt:
    if template is None:
        raise RequestError("this engine was made without a chat template.", "Use `gptcli complete`.")
    segments = template.render(
        prompt.messages,
        add_generation_prompt=not prompt.continue_final,
        continue_final=prompt.continue_final,
        options=dict(prompt.template_options),
    )
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
    return TokenPrompt(
        (*tokens, *prompt.begun),
        is_chat=True,
        thinking=not prompt.continue_final and opens_reasoning(text),
        begun=len(prompt.begun),
    )
