"""Parse whole bodies as servers get them: several prompts, streams and echoes, beside what `request.py` parses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gptcli.errors import InvalidRequest
from gptcli.openai.request import parse_chat_completion, parse_completion, parse_prompt
from gptcli.types import ChatPrompt, Request

MAX_PROMPTS = 2048
"""Prompts in one body; OpenAI's limit for lists of inputs."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a client asks for; with several prompts, their choices follow each other in one object."""

    requests: tuple[Request, ...]
    chat: bool
    model: str | None = None
    """The name of the model as the client has it."""
    stream: bool = False
    include_usage: bool = False
    """Whether a stream ends with the usage."""


def parse_json(data: bytes) -> dict[str, object]:
    """The object that `data` is. Raises InvalidRequest."""
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None
    except ValueError as error:  # also for bytes that are no UTF-8 and numbers with thousands of digits
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


def parse_body(key: str, body: Mapping[str, object], base: Request, *, chat: bool) -> Body:
    """The requests in a body of `/v1/chat/completions` or `/v1/completions`; their ids begin with `key`.

    Fields that the body lacks are those of `base`. Raises InvalidRequest."""
    stream = _boolean(body, "stream")
    include_usage = _parse_stream_options(body.get("stream_options"), stream=stream)
    rest = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
    requests = _parse_chat(key, rest, base) if chat else _parse_completions(key, rest, base)
    model = body.get("model")
    requests = tuple(replace(request, stream=stream) for request in requests)
    return Body(requests, chat, model if isinstance(model, str) else None, stream, include_usage)


def _parse_completions(key: str, body: dict[str, object], base: Request) -> tuple[Request, ...]:
    prompts = body.get("prompt")
    if not isinstance(prompts, list) or not prompts or not all(isinstance(one, (str, list)) for one in prompts):
        return (parse_completion(f"{key}-0", body, base),)
    if len(prompts) > MAX_PROMPTS:
        raise InvalidRequest(f"prompt has {len(prompts):,} prompts; {MAX_PROMPTS:,} are allowed.", param="prompt")
    first = parse_completion(f"{key}-0", {**body, "prompt": prompts[0]}, base)
    others = enumerate(prompts[1:], 1)
    suffix = body.get("suffix")
    return first, *(replace(first, id=f"{key}-{at}", prompt=parse_prompt(one, suffix)) for at, one in others)


def _parse_chat(key: str, body: dict[str, object], base: Request) -> tuple[Request, ...]:
    """A chat completion; `chat_template_kwargs` are llama-server's and vLLM's variables for the template."""
    options = body.pop("chat_template_kwargs", None)
    request = parse_chat_completion(f"{key}-0", body, base)
    if options is None:
        return (request,)
    if not isinstance(options, dict):
        raise InvalidRequest("chat_template_kwargs must be an object.", param="chat_template_kwargs")
    assert isinstance(request.prompt, ChatPrompt)
    return (replace(request, prompt=replace(request.prompt, template_options=tuple(options.items()))),)


def _parse_stream_options(value: object, *, stream: bool) -> bool:
    """Whether the usage is to be included. Obfuscation, OpenAI's padding of chunks, may only be declined."""
    if value is None:
        return False
    if not stream:
        raise InvalidRequest("stream_options is only for a stream.", param="stream_options")
    if not isinstance(value, dict):
        raise InvalidRequest("stream_options must be an object.", param="stream_options")
    for name in value:
        if name not in ("include_usage", "include_obfuscation"):
            message = f"The field stream_options.{name[:40]} is not supported."
            raise InvalidRequest(message, code="unsupported", param="stream_options")
    if _boolean(value, "include_obfuscation"):
        message = "stream_options.include_obfuscation true is not supported."
        raise InvalidRequest(message, code="unsupported", param="stream_options")
    return _boolean(value, "include_usage")


def _boolean(body: Mapping[str, object], name: str) -> bool:
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"{name} must be true or false.", param=name)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
