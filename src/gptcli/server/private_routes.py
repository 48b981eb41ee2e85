"""The routes for gptcli's own commands: `types.Engine` over HTTP, in the lines of `runtime/wire.py`.

They exist on the Unix socket only. What they send has no limits of its own, for it comes from the same user."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields, replace
from typing import Any

from starlette.requests import Request as HTTPRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from gptcli.errors import GptcliError, InvalidRequest
from gptcli.params import PARAMS, Kind, ParamError
from gptcli.runtime.remote import ServerInfo
from gptcli.runtime.wire import WireError, dump, load
from gptcli.server.engine_thread import EngineThread, EventStream
from gptcli.server.errors import Busy, Stopping
from gptcli.types import Prompt, Request

Handler = Callable[[HTTPRequest], Awaitable[Response]]
_JSON = "application/json"


def private_routes(engine: EngineThread, info: ServerInfo) -> list[BaseRoute]:
    """The routes. `info`: what is known of the server before its model is loaded."""
    routes = PrivateRoutes(engine, info)
    return [
        Route("/gptcli/info", _private(routes.info), methods=["GET"]),
        Route("/gptcli/encode", _private(routes.encode), methods=["POST"]),
        Route("/gptcli/tokenize", _private(routes.tokenize), methods=["POST"]),
        Route("/gptcli/token_texts", _private(routes.token_texts), methods=["POST"]),
        Route("/gptcli/stream", _private(routes.stream), methods=["POST"]),
        Route("/gptcli/cancel", _private(routes.cancel), methods=["POST"]),
    ]


class PrivateRoutes:
    """Answers the methods of `types.Engine`."""

    def __init__(self, engine: EngineThread, info: ServerInfo) -> None:
        self._engine = engine
        self._info = info

    async def info(self, http: HTTPRequest) -> Response:
        """What this server is."""
        loaded = await self._engine.loaded()
        info = replace(
            self._info,
            device=loaded.device,
            chat_template=loaded.chat_template,
            limit=loaded.engine.limit,
            parallel=loaded.engine.parallel,
            cells=loaded.cache_tokens(),
            capabilities=loaded.engine.capabilities,
        )
        return Response(dump(info), media_type=_JSON)

    async def encode(self, http: HTTPRequest) -> Response:
        """The tokens of a prompt."""
        prompt: Prompt = load(Prompt, await http.body())
        return Response(dump(await self._engine.encode(prompt)), media_type=_JSON)

    async def tokenize(self, http: HTTPRequest) -> Response:
        """The tokens of a text without control tokens."""
        text: bytes = load(bytes, await http.body())
        begins = http.query_params.get("begins") == "1"
        tokens = (await self._engine.loaded()).engine.tokenize(text, begins=begins)
        return Response(dump(tokens), media_type=_JSON)

    async def token_texts(self, http: HTTPRequest) -> Response:
        """Tokens as a reader would want them shown."""
        tokens: tuple[int, ...] = load(tuple[int, ...], await http.body())
        text = (await self._engine.loaded()).engine.token_text
        return Response(dump(tuple(text(token) for token in tokens)), media_type=_JSON)

    async def stream(self, http: HTTPRequest) -> Response:
        """The events of one request, a line each. Its id must be one that no other request has."""
        request: Request = load(Request, await http.body())
        _check_params(request)
        events = await self._engine.submit([request])
        return StreamingResponse(_lines(events), media_type="application/jsonl")

    async def cancel(self, http: HTTPRequest) -> Response:
        """End the request with this id within a step."""
        request_id: str = load(str, await http.body())
        self._engine.cancel(request_id)
        return Response(dump(None), media_type=_JSON)


def _private(handler: Handler) -> Handler:
    """The handler on the Unix socket, and nothing on any other; errors are answered as the lines that they are."""

    @functools.wraps(handler)
    async def answer(http: HTTPRequest) -> Response:
        server = http.scope["server"]
        if server is None or server[1] is not None:  # it has a port
            return Response(status_code=404)
        try:
            return await handler(http)
        except WireError as error:
            return Response(dump(InvalidRequest(f"the body is not what this route takes: {error}.")), status_code=400)
        except GptcliError as error:
            return Response(dump(error), status_code=503 if isinstance(error, Busy | Stopping) else 400)

    return answer


async def _lines(stream: EventStream) -> AsyncIterator[bytes]:
    """The events as lines; those that came together are sent together."""
    async with stream:
        async for events in stream:
            yield b"".join(map(dump, events))


def _check_params(request: Request) -> None:
    """Raises InvalidRequest for a number that the engine must not be given."""
    values: dict[str, Any] = {}
    for part in (request.sampling, request):
        values |= {field.name: (getattr(part, field.name), field.default) for field in fields(part)}
    for name, param in PARAMS.items():
        value, default = values[name]
        if value is None or value == default:
            continue
        try:
            for one in _bias(value) if param.kind is Kind.BIAS else [value]:
                param.validate(one)
        except ParamError as problem:
            raise InvalidRequest(str(problem), param=name) from None


def _bias(pairs: tuple[tuple[int | str, float], ...]) -> list[dict[str, float]]:
    """Each bias as a body of OpenAI's has it; the number for a text needs the same range."""
    return [{str(what) if isinstance(what, int) else "0": amount} for what, amount in pairs]
