"""From exceptions to OpenAI-shaped errors, whatever went wrong and wherever."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from agentspark.errors import (
    AgentSparkError,
    ContextLengthError,
    EngineError,
    InvalidRequestError,
    KVCapacityError,
    RequestCancelledError,
)
from openai_dspark.wire.anthropic_request import NO_THREADS
from openai_dspark.wire.error import ErrorDetail, ErrorReply

_log = logging.getLogger(__name__)

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    504: "timeout_error",
}

# What the engine calls some fields of a request.
_NAMES = {
    "regex": "structured_outputs.regex",
    "choice": "structured_outputs.choice",
    "grammar": "structured_outputs.grammar",
    "json_schema": "structured_outputs.json",
    "template_args": "chat_template_kwargs",
}


class ApiError(Exception):
    """An error a client is told: its status, and which parameter and case it is.

    A parameter that is refused (400) without a ``code`` of its own has an ``invalid_value``.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        refused = status == HTTPStatus.BAD_REQUEST and param is not None
        self.code = code or ("invalid_value" if refused else None)
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        """The kind of error, by its status."""
        default = "invalid_request_error" if self.status < 500 else "server_error"
        return _TYPES.get(self.status, default)

    def reply(self) -> ErrorReply:
        """The error as it is sent."""
        detail = ErrorDetail(message=str(self), type=self.type, param=self.param, code=self.code)
        return ErrorReply(error=detail)

    def response(self, path: str = "") -> Response:
        """The error as an HTTP response to a request of ``path``."""
        headers = dict(self.headers)
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        reply = self.reply()
        if path.startswith("/v1/messages"):
            reply.type = "error"  # in Anthropic's API every object has its type
            if self.code == NO_THREADS:
                reply.error.details = {"error_code": self.code, "unsupported": [self.param]}
        return Response(reply.to_json(), self.status, headers, media_type="application/json")


def to_api_error(error: BaseException, prompt: str = "messages") -> ApiError:
    """What to tell a client of ``error``; ``prompt`` is what its API calls the prompt."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextLengthError):
        return ApiError(400, str(error), param=prompt, code="context_length_exceeded")
    if isinstance(error, KVCapacityError):
        return ApiError(400, str(error), param=prompt, code="context_length_exceeded")
    if isinstance(error, InvalidRequestError):
        return _invalid(error, {"prompt_token_ids": prompt, **_NAMES})
    if isinstance(error, RequestCancelledError):
        return ApiError(503, str(error), code="cancelled")
    if isinstance(error, EngineError):
        return ApiError(503, str(error), code="engine_unavailable")
    if isinstance(error, AgentSparkError):
        return ApiError(500, str(error), code="engine_error")
    _log.error("A request failed unexpectedly.", exc_info=error)
    return ApiError(500, "The server failed to handle this request.", code="internal_error")


def _invalid(error: InvalidRequestError, names: Mapping[str, str]) -> ApiError:
    """The error in the API's ``names``, which its message begins with too."""
    text, param = str(error), error.param
    part, dot, rest = (param or "").partition(".")
    if param is not None and part in names:
        named = names[part] + dot + rest
        text = named + text[len(param) :] if text.startswith(param) else text
        param = named
    return ApiError(400, text, param=param, code="invalid_value")


def install(app: FastAPI) -> None:
    """Make every error of ``app`` OpenAI-shaped, unknown paths and methods included."""

    async def known(request: Request, error: Exception) -> Response:
        return to_api_error(error).response(request.url.path)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        words = {404: "There is nothing at this path.", 405: "This path has no such method."}
        text = words.get(error.status_code, str(error.detail))
        failed = ApiError(error.status_code, text, headers=error.headers)
        return failed.response(request.url.path)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        param = str(first["loc"][-1])
        failed = ApiError(422, f"{param}: {first['msg']}", param=param)
        return failed.response(request.url.path)

    app.add_exception_handler(ApiError, known)
    app.add_exception_handler(AgentSparkError, known)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, known)
