"""Reading a request's body: within its size and time, off the event loop, with clear errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect

from openai_dspark.server.disconnect import ClientGoneError
from openai_dspark.server.errors import ApiError
from openai_dspark.wire.anthropic_request import NO_THREADS

if TYPE_CHECKING:
    from openai_dspark.server.service import Service
    from openai_dspark.server.settings import ServerSettings

Model = TypeVar("Model", bound=BaseModel)

_CODES = {
    "missing": "missing_required_parameter",
    "unknown_parameter": "unknown_parameter",
    NO_THREADS: NO_THREADS,
}


async def read_body(request: Request, service: Service) -> bytes:
    """The whole body. ``ApiError`` 413, 415 or 408 for one too large, no JSON, or too slow.

    503 where the server stops meanwhile; ``ClientGoneError`` where the client goes away.
    """
    settings = service.settings
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise ApiError(415, "Send JSON, with the header 'Content-Type: application/json'.")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise ApiError(415, f"Send the body as it is, without 'Content-Encoding: {coding}'.")
    size = request.headers.get("content-length", "")
    if size.isdigit() and int(size) > settings.max_body_bytes:
        raise _too_large(settings)
    late = ApiError(
        408,
        f"The body did not arrive within {settings.body_timeout_s:g} s.",
        headers={"connection": "close"},
    )
    body = bytearray()
    try:
        async with service.arrival(settings.body_timeout_s, late):
            async for chunk in request.stream():
                body += chunk
                if len(body) > settings.max_body_bytes:
                    raise _too_large(settings)
    except ClientDisconnect as error:
        raise ClientGoneError from error
    return bytes(body)


def parse(body: bytes, model: type[Model]) -> Model:
    """``body`` as ``model``; ``ApiError`` 400 names the parameter that is wrong.

    Takes a while for large bodies: call it off the event loop.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        if problem["type"] == "json_invalid":
            raise ApiError(400, f"The body is no valid JSON: {problem['ctx']['error']}.") from None
        raise explain(error, from_json(body)) from None


def explain(error: ValidationError, given: Any) -> ApiError:
    """The one problem of ``given`` that tells most, as an error that names its parameter."""
    problems: Sequence[Mapping[str, Any]] = error.errors(include_url=False)
    found = [(_path(problem, given), problem) for problem in problems]
    param, problem = max(found, key=_telling)
    kind, text = problem["type"], str(problem["msg"])
    if not param:
        return ApiError(400, "The body must be a JSON object.", code="invalid_value")
    if kind != "unknown_parameter":
        text = f"{param}: {text}"
    return ApiError(400, f"{text}.", param=param, code=_CODES.get(kind, "invalid_value"))


def _telling(found: tuple[str, Mapping[str, Any]]) -> tuple[bool, int, bool]:
    """How much a problem says: a wrong ``type`` explains what else is wrong with a part.

    Of a union's branches, the one that got furthest is what was meant.
    """
    path, problem = found
    return path.endswith(".type"), len(path), not problem["type"].endswith("_type")


def _path(problem: Mapping[str, Any], given: Any) -> str:
    """Where in the body a problem is, such as ``messages[0].content``.

    Locations also name the branches of unions; those are not in the body.
    """
    path, here = "", given
    for part in problem["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
            here = here[part] if isinstance(here, list) and part < len(here) else None
        elif isinstance(here, dict) and part in here:
            path += f".{part}"
            here = here[part]
    if problem["type"] == "missing":
        path += f".{problem['loc'][-1]}"
    elif problem["type"] == "unknown_parameter":
        path += f".{problem['ctx']['parameter']}"
    return path.removeprefix(".")


def _too_large(settings: ServerSettings) -> ApiError:
    limit = settings.max_body_bytes
    return ApiError(
        413,
        f"The body is larger than the {limit} bytes this server takes.",
        code="request_too_large",
        headers={"connection": "close"},
    )
