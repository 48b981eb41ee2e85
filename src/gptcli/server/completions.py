"""`/v1/completions` and `/v1/chat/completions`."""

from __future__ import annotations

import time
import uuid

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from gptcli.openai.body import Body, parse_body, parse_json
from gptcli.openai.response import ResponseBuilder
from gptcli.params import Sampling
from gptcli.server.answers import Answering, Part, StreamedAnswer
from gptcli.server.bodies import read_body
from gptcli.server.service import Service
from gptcli.types import Request, TextPrompt

_COMPLETION = Request("", TextPrompt(b""), Sampling(), max_tokens=16)
"""OpenAI's defaults; 16 tokens are its own for a text completion."""
_CHAT = Request("", TextPrompt(b""), Sampling())


async def create_completion(request: HttpRequest) -> Response:
    return await _create(request, chat=False)


async def create_chat_completion(request: HttpRequest) -> Response:
    return await _create(request, chat=True)


async def _create(request: HttpRequest, *, chat: bool) -> Response:
    service: Service = request.app.state.service
    data = await read_body(request, service.limits)
    key = uuid.uuid4().hex
    body = parse_body(key, parse_json(data), service.limited(_CHAT if chat else _COMPLETION), chat=chat)
    service.check_model(body.model)
    for one in body.requests:
        service.check_tokens(one)
    events = await service.engine.submit(body.requests)
    answering = Answering(events, _parts(service.names[0], key, body), service.limits.seconds)
    if body.stream:
        return StreamedAnswer(answering, include_usage=body.include_usage)
    return await answering.whole(request.receive)


def _parts(name: str, key: str, body: Body) -> dict[str, Part]:
    created, parts, index = int(time.time()), {}, 0
    for request in body.requests:
        logprobs = request.logprobs is not None
        builder = ResponseBuilder(
            body.model or name,
            key,
            created,
            body.chat,
            logprobs,
            first_index=index,
            null_fields=True,
        )
        parts[request.id] = Part(builder)
        index += request.n
    return parts
