"""Parse the bodies of OpenAI requests, chat completions and text completions, into a `Request`.

Every field is honoured or refused by name. https://platform.openai.com/docs/api-reference"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gptcli.errors import InvalidRequest
from gptcli.openai.constraints import CONSTRAINTS
from gptcli.params import REQUEST_PARAMS, SAMPLING_PARAMS, Param, ParamError, find_param
from gptcli.types import ChatPrompt, Message, Prompt, Request, TextPrompt, TokenPrompt

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

_DEFAULTS: dict[str, tuple[object, ...]] = {
    "stream": (False,),
    "store": (False,),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
}
"""Values of fields that change nothing; any other value of these fields is not supported."""

_LABELS = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key"})
"""Fields that identify the sender and do not change the answer; they are ignored."""

_COMBINED = {"best_of": REQUEST_PARAMS["n"], "top_logprobs": REQUEST_PARAMS["logprobs"]}
"""Fields that only have a meaning beside another one, and the parameter whose range they have."""


def parse_chat_completion(request_id: str, body: Mapping[str, object], base: Request) -> Request:
    """The request in a body of `/v1/chat/completions`, with the fields of `base` it lacks. Raises InvalidRequest."""
    prompt = ChatPrompt(parse_messages(_required(body, "messages")))
    if body.get("echo"):
        raise _unsupported("echo in a chat completion", "echo")
    if not isinstance(body.get("logprobs"), (bool, type(None))):
        raise InvalidRequest("logprobs must be true or false in a chat completion.", param="logprobs")
    return build_request(request_id, prompt, _without(body, "model", "messages"), base)


def parse_completion(request_id: str, body: Mapping[str, object], base: Request) -> Request:
    """The same for `/v1/completions`."""
    prompt = parse_prompt(_required(body, "prompt"), body.get("suffix"))
    if isinstance(body.get("logprobs"), bool):
        raise InvalidRequest("logprobs must be a whole number in a text completion.", param="logprobs")
    if body.get("top_logprobs") is not None:
        message = "top_logprobs belongs to chat completions; logprobs is the number in a text completion."
        raise InvalidRequest(message, param="top_logprobs")
    return build_request(request_id, prompt, _without(body, "model", "prompt", "suffix"), base)


def build_request(request_id: str, prompt: Prompt, fields: Iterable[tuple[str, object]], base: Request) -> Request:
    """`base` with another id and prompt, changed by `fields`; null changes nothing.

    Raises InvalidRequest for an unknown name and for a value that cannot be honoured."""
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, value in ((name, value) for name, value in fields if value is not None):
        if (param := request_param(name)) is not None:
            key = name if name in _COMBINED else param.name
            valid = _validate(param, name, value)
            if key in values and values[key] != valid:
                raise InvalidRequest(f"{names[key]} and {name} contradict each other.", param=name)
            values[key], names[key] = valid, name
        elif name == "echo":
            if not isinstance(value, bool):
                raise InvalidRequest("echo must be true or false.", param="echo")
            values["echo"] = value
        elif name in CONSTRAINTS:
            constraint = CONSTRAINTS[name](name, value)
            if None not in (constraint, values.get("constraint")):
                raise InvalidRequest(f"{names['constraint']} and {name} contradict each other.", param=name)
            values["constraint"], names["constraint"] = constraint or values.get("constraint"), name
        elif name in _DEFAULTS:
            if value not in _DEFAULTS[name]:
                raise _unsupported(f"{name} {json.dumps(value, default=str)[:60]}", name)
        elif name not in _LABELS:
            raise _unsupported(f"The field {json.dumps(name[:40])}", name)
    _combine(values, base)
    constraint = values.get("constraint", base.constraint)
    if constraint is not None and constraint.is_json and values.get("stop", base.stop):
        raise InvalidRequest("stop could cut the JSON that the request wants.", param="stop")
    sampling = base.sampling.with_params({name: values.pop(name) for name in [*values] if name in SAMPLING_PARAMS})
    request = replace(base, id=request_id, prompt=prompt, sampling=sampling, **values)
    return with_echo(request) if request.echo else request


def with_echo(request: Request) -> Request:
    """The same with its prompt before the answer, and the prompt's log-probabilities where the answer has them.

    Raises InvalidRequest for a prompt that cannot be shown as one text."""
    if isinstance(request.prompt, TextPrompt) and request.prompt.suffix is not None:
        raise InvalidRequest("echo and suffix contradict each other: the text goes between two parts.", param="echo")
    if isinstance(request.prompt, ChatPrompt):
        raise _unsupported("echo in a chat", "echo")
    return replace(request, echo=True, prompt_logprobs=request.logprobs)


def request_param(name: str) -> Param | None:
    """The parameter that a field of that name sets, or whose range it has; None for any other field."""
    return _COMBINED.get(name) or find_param(name)


def parse_messages(value: object) -> tuple[Message, ...]:
    """The messages of a conversation, at least one. Raises InvalidRequest."""
    if not isinstance(value, (list, tuple)) or not value:
        raise InvalidRequest("messages must be a list of at least one message.", param="messages")
    return tuple(_parse_message(f"messages[{number}]", message) for number, message in enumerate(value))


def parse_prompt(value: object, suffix: object) -> Prompt:
    """The one prompt of a text completion: a text or token ids, alone or in a list. Raises InvalidRequest."""
    if suffix is not None and not isinstance(suffix, str):
        raise InvalidRequest("suffix must be a text.", param="suffix")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], (str, list)):
        value = value[0]
    if isinstance(value, str):
        after = check_text("suffix", suffix, "suffix").encode() if suffix else None
        return TextPrompt(check_text("prompt", value, "prompt").encode(), after)
    if isinstance(value, list) and value and all(type(token) is int and 0 <= token < 1 << 31 for token in value):
        if suffix:
            raise _unsupported("suffix with a prompt of token ids", "suffix")
        return TokenPrompt(tuple(value))
    if isinstance(value, list) and len(value) > 1 and all(isinstance(item, (str, list)) for item in value):
        raise _unsupported("More than one prompt in a request", "prompt")
    raise InvalidRequest("prompt must be a text or a list of token ids.", param="prompt")


def check_text(label: str, text: str, param: str) -> str:
    """`text`, if UTF-8 can encode it; JSON's escapes can write half a character. Raises InvalidRequest."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{label} holds half a character (a lone surrogate).", param=param) from None
    return text


def _validate(param: Param, name: str, value: object) -> object:
    if name == "logprobs" and isinstance(value, bool):  # a chat completion's; the number is in top_logprobs
        return 0 if value else None
    try:
        valid = param.validate(value, name)
    except ParamError as problem:
        raise InvalidRequest(str(problem), param=name) from None
    return None if param.name == "max_tokens" and valid == -1 else valid


def _combine(values: dict[str, Any], base: Request) -> None:
    """Resolve the fields that only have a meaning beside another one."""
    if values.pop("best_of", None) not in (None, values.get("n", base.n)):
        raise _unsupported("best_of other than n", "best_of")
    if "top_logprobs" in values:
        if values.get("logprobs") is None:
            raise InvalidRequest("top_logprobs needs logprobs to be true.", param="top_logprobs")
        values["logprobs"] = values.pop("top_logprobs")


def _required(body: Mapping[str, object], name: str) -> object:
    if not isinstance(body.get("model"), (str, type(None))):
        raise InvalidRequest("model must be a text.", param="model")
    if body.get(name) is None:
        raise InvalidRequest(f"The body has no {name}.", code="missing_field", param=name)
    return body[name]


def _without(body: Mapping[str, object], *names: str) -> Iterable[tuple[str, object]]:
    return ((name, value) for name, value in body.items() if name not in names)


def _parse_message(label: str, value: object) -> Message:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{label} must be an object.", param="messages")
    role = value.get("role")
    if not isinstance(role, str):
        raise InvalidRequest(f"{label} has no role.", param="messages")
    if role not in _ROLES:
        raise _unsupported(f"{label}: the role {role[:20]!r}", "messages")
    for name, other in value.items():
        if name not in ("role", "content") and other is not None:
            raise _unsupported(f"{label}: the field {name[:40]!r}", "messages")
    return Message(_ROLES[role], check_text(label, _parse_content(label, value.get("content")), "messages"))


def _parse_content(label: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise InvalidRequest(f"{label}: content must be a text.", param="messages")
    texts = []
    for part in value:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InvalidRequest(f"{label}: each part of content must be an object with a type.", param="messages")
        if part["type"] != "text" or part.keys() - {"type", "text"}:
            raise _unsupported(f"{label}: content other than text", "messages")
        if not isinstance(part.get("text"), str):
            raise InvalidRequest(f"{label}: a part of content has no text.", param="messages")
        texts.append(part["text"])
    return "".join(texts)


def _unsupported(what: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"{what} is not supported.", code="unsupported", param=param)
