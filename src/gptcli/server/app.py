"""The application: which path is answered by which module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from gptcli.server.engine_thread import EngineThread


@dataclass(slots=True)
class Service:
    """What the routes share."""

    engine: EngineThread


def make_app(service: Service, private_routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The application. `private_routes` are for gptcli's own commands and exist on the Unix socket only."""
    routes = [Route("/health", health), *private_routes]
    app = Starlette(routes=routes)
    app.state.service = service
    return app


async def health(request: Request) -> Response:
    """Whether requests can be answered now; for load balancers, without a key."""
    return JSONResponse({"status": "ok"})
