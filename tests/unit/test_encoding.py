"""A prompt is encoded once: its tokens can be sent in its place."""

import pytest
from fake_backend import ByteVocabulary

from gptcli.errors import RequestError
from gptcli.prompt.encoding import encode
from gptcli.prompt.template import ChatTemplate
from gptcli.types import ChatPrompt, Message, TextPrompt, TokenPrompt

VOCABULARY = ByteVocabulary()
TEMPLATE = ChatTemplate("{{ messages[0].content }}<think>")
CHAT = ChatPrompt((Message("user", "Hi"),), answer_tokens=(65, 66))


def test_the_beginning_of_an_answer_ends_the_tokens() -> None:
    encoded = encode(CHAT, VOCABULARY, TEMPLATE)
    assert encoded == TokenPrompt((*b"Hi<think>", 65, 66), is_chat=True, thinking=True, answer_length=2)


@pytest.mark.parametrize("prompt", [CHAT, TextPrompt(b"Once"), TokenPrompt((1, 2, 3))])
def test_an_encoded_prompt_is_given_back(prompt: ChatPrompt | TextPrompt | TokenPrompt) -> None:
    encoded = encode(prompt, VOCABULARY, TEMPLATE)
    assert encode(encoded, VOCABULARY, None) is encoded


@pytest.mark.parametrize("prompt", [TextPrompt(b""), TokenPrompt(())])
def test_an_empty_prompt_begins_with_the_token_that_begins_a_text(prompt: TextPrompt | TokenPrompt) -> None:
    class Beginning(ByteVocabulary):
        begin = 7

    class Silent(ByteVocabulary):
        begin = None

    assert encode(prompt, Beginning(), None).tokens == (7,)
    with pytest.raises(RequestError, match="the prompt is empty"):
        encode(prompt, Silent(), None)


def test_a_chat_needs_a_template() -> None:
    with pytest.raises(RequestError, match="without a chat template"):
        encode(CHAT, VOCABULARY, None)
