"""Endpoints that tell about the server: its models, its health, its figures."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from openai_dspark.server.dependencies import CallerOf, ServiceOf
from openai_dspark.server.errors import ApiError
from openai_dspark.server.metrics import CONTENT_TYPE
from openai_dspark.server.openapi import document, errors
from openai_dspark.server.service import Service
from openai_dspark.wire.health import Health
from openai_dspark.wire.model import Model, ModelList

router = APIRouter()

_STARTED = int(time.time())


@router.get("/v1/models", response_model=ModelList, responses=errors(401, 403, 500))
async def models(service: ServiceOf, _caller: CallerOf) -> ModelList:
    """List the names that requests may give: the model, and the model in each arm."""
    return ModelList(object="list", data=[_model(service, name) for name in service.names.all])


@router.get("/v1/models/{name:path}", response_model=Model, responses=errors(401, 403, 404, 500))
async def model(name: str, service: ServiceOf, _caller: CallerOf) -> Model:
    """Describe one model."""
    service.names.arm(name)
    return _model(service, name)


@router.get("/health", response_model=Health, responses=errors(403, 500, 503))
@router.get("/health/ready", response_model=Health, responses=errors(403, 500, 503))
async def ready(service: ServiceOf) -> Health:
    """Whether new requests are taken; 503 if not."""
    health = _health(service)
    if health.status != "ok":
        raise ApiError(503, f"The server is {health.status}.", code=health.status)
    return health


@router.get("/health/live", response_model=Health, responses=errors(403, 500, 503))
async def live(service: ServiceOf) -> Health:
    """Whether the server works at all; 503 once its engine has died."""
    health = _health(service)
    if health.status == "dead":
        raise ApiError(503, "The engine has failed: restart the server.", code="dead")
    return health


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **errors(401, 403, 500)},
)
async def metrics(service: ServiceOf, _caller: CallerOf) -> Response:
    """Give all meters in Prometheus' text format."""
    return Response(service.meters.text(), headers={"content-type": CONTENT_TYPE})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request, service: ServiceOf) -> Response:
    """Describe all endpoints."""
    return JSONResponse(document(request.app, keys=bool(service.settings.api_keys)))


def _health(service: Service) -> Health:
    stats = service.engine.stats()
    status = "draining" if service.draining else "ok"
    return Health(
        status=status if service.engine.alive else "dead",  # type: ignore[arg-type]
        model=service.names.name,
        running=stats.running,
        waiting=stats.waiting,
    )


def _model(service: Service, name: str) -> Model:
    return Model(
        id=name,
        object="model",
        created=_STARTED,
        owned_by="agentspark",
        max_model_len=service.engine.max_context,
    )
