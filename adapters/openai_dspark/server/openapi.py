"""What the OpenAPI document says of endpoints that read their bodies themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.responses import Response

from openai_dspark.wire.anthropic_request import AnthropicPrompt, AnthropicRequest
from openai_dspark.wire.chat_request import ChatRequest
from openai_dspark.wire.completion_request import CompletionRequest
from openai_dspark.wire.error import ErrorReply
from openai_dspark.wire.response_request import ResponseRequest

BODIES: tuple[type[BaseModel], ...] = (
    ChatRequest,
    CompletionRequest,
    ResponseRequest,
    AnthropicRequest,
    AnthropicPrompt,
)

_REFS = "#/components/schemas/{model}"
_ERRORS = {
    400: "A parameter is wrong; `param` names it.",
    401: "The API key is missing or wrong.",
    403: "The server does not go by this name.",
    404: "There is no such model.",
    408: "The body arrived too slowly.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    429: "The queue is full; `Retry-After` says when to come back.",
    500: "The server failed.",
    503: "The server is stopping, or its engine has failed.",
    504: "The answer took longer than it may.",
}

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_EITHER: tuple[dict[str, list[str]], ...] = tuple({name: []} for name in _SCHEMES)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of an endpoint, all of them for none."""
    chosen = statuses or tuple(_ERRORS)
    return {status: {"model": ErrorReply, "description": _ERRORS[status]} for status in chosen}


def post(body: type[BaseModel], reply: type[BaseModel]) -> dict[str, Any]:
    """Arguments of a route that takes ``body`` and gives ``reply`` or a stream."""
    schema = {"$ref": _REFS.format(model=body.__name__)}
    content = {"application/json": {"schema": schema}}
    done = {
        "model": reply,
        "description": "The answer, or its stream as server-sent events.",
        "content": {"text/event-stream": {}},
    }
    return {
        "response_class": Response,
        "response_model": None,
        "responses": {200: done, **errors()},
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
    }


def document(app: FastAPI, *, keys: bool) -> dict[str, Any]:
    """The OpenAPI document of ``app``, made once; ``keys`` is whether it asks for them."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        parts = schema.setdefault("components", {}).setdefault("schemas", {})
        for body in BODIES:
            own = body.model_json_schema(ref_template=_REFS)
            parts.update(own.pop("$defs", {}))
            parts[body.__name__] = own
        for unsent in ("HTTPValidationError", "ValidationError"):
            parts.pop(unsent, None)
        schema["components"]["securitySchemes"] = _SCHEMES
        for methods in schema["paths"].values():
            for operation in methods.values():
                # FastAPI adds it to every path with a parameter; one of any text is never wrong.
                operation["responses"].pop("422", None)
                if "401" in operation["responses"]:
                    operation["security"] = [*_EITHER, *(() if keys else ({},))]
        app.openapi_schema = schema
    return app.openapi_schema
