"""The application: which path is answered by which function, and what an error looks like."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gptcli.errors import GptcliError
from gptcli.openai.error import make_error
from gptcli.server import models, tokens
from gptcli.server.access import Access, Keys
from gptcli.server.completions import create_chat_completion, create_completion
from gptcli.server.errors import describe
from gptcli.server.service import Service

ROUTES = (
    Route("/v1/completions", create_completion, methods=["POST"]),
    Route("/v1/chat/completions", create_chat_completion, methods=["POST"]),
    Route("/v1/models", models.list_models),
    Route("/v1/models/{name:path}", models.retrieve_model),
    Route("/tokenize", tokens.tokenize, methods=["POST"]),
    Route("/detokenize", tokens.detokenize, methods=["POST"]),
    Route("/tokenizer_info", tokens.tokenizer_info),
    Route("/health", models.health),
    Route("/metrics", models.metrics),
)


def make_app(
    service: Service,
    *,
    keys: Keys | None = None,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    private_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application. `private_routes` are those of gptcli's own commands: they begin with `access.PRIVATE_PATHS`, and
    exist on the Unix socket only. `access.Access` documents the rest."""
    app = Starlette(
        routes=[*ROUTES, *private_routes],
        middleware=[
            Middleware(CountResponses, service=service),
            Middleware(Access, keys=keys, hosts=hosts, origins=origins),
        ],
        exception_handlers={GptcliError: answer_error, HTTPException: answer_http_error},
    )
    app.state.service = service
    return app


class CountResponses:
    """Middleware that counts responses by path and status, for /metrics."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._metrics = service.metrics
        self._paths = {route.path for route in ROUTES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"] if scope["path"] in self._paths else "other"  # anybody can invent paths
                self._metrics.response(path, message["status"])
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)


def answer_error(request: HttpRequest, error: Exception) -> Response:
    """The response for an error of gptcli."""
    assert isinstance(error, GptcliError)
    status, value, headers = describe(error)
    return JSONResponse(value, status, headers)


def answer_http_error(request: HttpRequest, error: Exception) -> Response:
    """The response for an error of HTTP itself, such as a path that does not exist."""
    assert isinstance(error, HTTPException)
    message = {404: "There is no such path.", 405: "This path has no such method."}.get(error.status_code, error.detail)
    return JSONResponse(make_error(message, "invalid_request_error"), error.status_code, error.headers)
