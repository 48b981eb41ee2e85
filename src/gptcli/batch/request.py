"""A row becomes a request: an OpenAI Batch line, an object with a prompt or messages, or fields under a template.

It knows the shapes of rows and what the command line said for all of them; the engine it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gptcli.batch.row import Code, Refusal, Row
from gptcli.batch.row_params import from_cell, is_wish, request, whole_text
from gptcli.batch.template import Template
from gptcli.types import ChatPrompt, Message, Prompt, Request, TextPrompt, TokenPrompt

CHAT_URL = "/v1/chat/completions"
TEXT_URL = "/v1/completions"
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass(slots=True)
class RequestBuilder:
    """What the command line said for every row."""

    base: Request
    """Sampling, limits, stops and samples for rows that do not say otherwise."""
    system: str | None = None
    """A system prompt for conversations that begin without one."""
    chat: bool = False
    """A plain prompt is what a user says in a chat, not text to continue."""
    template: Template | None = None
    columns: frozenset[str] = frozenset()
    """Of templates and tables: the columns that say how to answer; an object with a prompt says it itself."""

    def request(self, row: Row) -> Request:
        """What `row` asks, its number being the id. Raises Refusal where it cannot be asked."""
        name, fields = str(row.number), row.fields
        if self.template is not None:
            prompt = self._prompt(self.template.render(fields))
            return request(name, prompt, self._column_wishes(row), self.base)
        if "body" in fields and ("url" in fields or "method" in fields or "custom_id" in fields):
            return self._openai(name, fields)
        wished = self._column_wishes(row) if row.cells is not None else _wishes(fields)
        return request(name, self._plain_prompt(fields), wished, self.base)

    def _plain_prompt(self, fields: dict[str, object]) -> Prompt:
        if (messages := fields.get("messages")) is not None:
            return self._conversation(messages)
        for key in ("prompt", "text"):
            if (text := fields.get(key)) is not None:
                if not isinstance(text, str):
                    raise Refusal(Code.INVALID_REQUEST, f"{key} must be a text.")
                return self._prompt(text)
        raise Refusal(
            Code.MISSING_FIELD, "The row has no prompt, messages or text; --template says what to make of it."
        )

    def _prompt(self, text: str) -> Prompt:
        whole_text("The prompt", text)
        if self.chat:
            return ChatPrompt((*self._system(), Message("user", text)))
        return TextPrompt(text.encode())

    def _system(self) -> tuple[Message, ...]:
        return (Message("system", self.system),) if self.system is not None else ()

    def _conversation(self, value: object) -> ChatPrompt:
        if not isinstance(value, list) or not value:
            raise Refusal(Code.INVALID_REQUEST, "messages must be a list of at least one message.")
        messages = tuple(_message(number, message) for number, message in enumerate(value))
        if messages[0].role != "system":
            messages = (*self._system(), *messages)
        return ChatPrompt(messages)

    def _openai(self, name: str, fields: dict[str, object]) -> Request:
        """A line of the OpenAI Batch format. `model` names the model there; here it is the one that was loaded."""
        body = fields["body"]
        if not isinstance(body, dict):
            raise Refusal(Code.INVALID_REQUEST, "body must be an object.")
        for key in ("custom_id", "url"):
            if not isinstance(fields.get(key), str):
                raise Refusal(Code.MISSING_FIELD, f"The line has no {key}, which must be a text.")
        if fields.get("method", "POST") != "POST":
            raise Refusal(Code.INVALID_REQUEST, "method must be POST.")
        if not isinstance(body.get("model", ""), str):
            raise Refusal(Code.INVALID_REQUEST, "model must be a text.")
        prompt_field, others = "messages", {"model", "messages"}
        prompt: Prompt
        if fields["url"] == CHAT_URL:
            prompt = self._conversation(_needed(body, prompt_field))
        elif fields["url"] == TEXT_URL:
            prompt_field, others = "prompt", {"model", "prompt", "suffix"}
            prompt = _completion(_needed(body, prompt_field), body.get("suffix"))
        else:
            raise Refusal(Code.UNSUPPORTED, f"Only {CHAT_URL} and {TEXT_URL} are possible here.")
        _check_logprobs(body, chat=fields["url"] == CHAT_URL)
        return request(name, prompt, ((k, v) for k, v in body.items() if k not in others), self.base)

    def _column_wishes(self, row: Row) -> Iterable[tuple[str, object]]:
        for name in self.columns:
            value = row.fields.get(name)
            if row.cells is not None and isinstance(value, str):
                value = from_cell(name, value)
            yield name, value


def _wishes(fields: dict[str, object]) -> Iterable[tuple[str, object]]:
    """Of a plain object: the fields that say how to answer; others are the user's own."""
    return ((name, value) for name, value in fields.items() if is_wish(name))


def _needed(body: dict[str, object], key: str) -> object:
    if body.get(key) is None:
        raise Refusal(Code.MISSING_FIELD, f"body has no {key}.")
    return body[key]


def _check_logprobs(body: dict[str, object], *, chat: bool) -> None:
    value = body.get("logprobs")
    if value is not None and isinstance(value, bool) is not chat:
        expected = "true or false" if chat else "a whole number"
        raise Refusal(Code.INVALID_REQUEST, f"logprobs must be {expected} for this url.")
    if not chat and body.get("top_logprobs") is not None:
        raise Refusal(Code.INVALID_REQUEST, "top_logprobs is for chats; a completion says the number in logprobs.")


def _completion(value: object, suffix: object) -> Prompt:
    if suffix is not None and not isinstance(suffix, str):
        raise Refusal(Code.INVALID_REQUEST, "suffix must be a text.")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], (str, list)):
        value = value[0]
    if isinstance(value, str):
        after = whole_text("suffix", suffix).encode() if suffix else None
        return TextPrompt(whole_text("prompt", value).encode(), after)
    if isinstance(value, list) and value and all(type(token) is int and 0 <= token < 1 << 31 for token in value):
        if suffix:
            raise Refusal(Code.UNSUPPORTED, "A prompt of token ids with a suffix is not possible here.")
        return TokenPrompt(tuple(value))
    if isinstance(value, list) and len(value) > 1 and all(isinstance(item, (str, list)) for item in value):
        raise Refusal(Code.UNSUPPORTED, "Several prompts in one line are not possible here; give each its own line.")
    raise Refusal(Code.INVALID_REQUEST, "prompt must be a text or a list of token ids.")


def _message(number: int, value: object) -> Message:
    if not isinstance(value, dict):
        raise Refusal(Code.INVALID_REQUEST, f"messages[{number}] must be an object.")
    role = value.get("role")
    if not isinstance(role, str):
        raise Refusal(Code.INVALID_REQUEST, f"messages[{number}] has no role.")
    if role not in _ROLES:
        raise Refusal(Code.UNSUPPORTED, f"messages[{number}]: the role {role[:20]!r} is not possible here.")
    for key, other in value.items():
        if key not in ("role", "content") and other is not None:
            raise Refusal(Code.UNSUPPORTED, f"messages[{number}]: {key[:40]!r} is not possible here.")
    return Message(_ROLES[role], whole_text(f"messages[{number}]", _content(number, value.get("content"))))


def _content(number: int, value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise Refusal(Code.INVALID_REQUEST, f"messages[{number}]: content must be a text.")
    texts = []
    for part in value:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise Refusal(Code.INVALID_REQUEST, f"messages[{number}]: a part of content must be an object with a type.")
        if part["type"] != "text" or part.keys() - {"type", "text"}:
            raise Refusal(Code.UNSUPPORTED, f"messages[{number}]: only plain text parts are possible here.")
        if not isinstance(part.get("text"), str):
            raise Refusal(Code.INVALID_REQUEST, f"messages[{number}]: a text part without a text.")
        texts.append(part["text"])
    return "".join(texts)
