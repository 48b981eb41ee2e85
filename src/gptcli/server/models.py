"""`/v1/models`, `/health` and `/metrics`: what the server is and how it does."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from gptcli.server.service import Service


async def list_models(request: HttpRequest) -> Response:
    service: Service = request.app.state.service
    return JSONResponse({"object": "list", "data": [_model(service, name) for name in service.names]})


async def retrieve_model(request: HttpRequest) -> Response:
    service: Service = request.app.state.service
    name = request.path_params["name"]
    service.check_model(name)
    return JSONResponse(_model(service, name))


def _model(service: Service, name: str) -> dict[str, object]:
    """OpenAI's object, with vLLM's field for the size of the context."""
    more = {"created": service.created, "owned_by": "gptcli", "max_model_len": service.loaded.engine.limit}
    return {"id": name, "object": "model", **more}


async def health(request: HttpRequest) -> Response:
    """Whether requests can be answered now; for load balancers, without a key."""
    service: Service = request.app.state.service
    if service.engine.stopping:
        return JSONResponse({"status": "stopping"}, 503)
    return JSONResponse({"status": "ok"})


async def metrics(request: HttpRequest) -> Response:
    service: Service = request.app.state.service
    return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})
