"""Which web pages may call, asked by their browsers before they do."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from openai_dspark.server.errors import ApiError


class Cors(CORSMiddleware):
    """Starlette's rules, with a refusal in OpenAI's shape."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a page's browser."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        headers = {
            name: value for name, value in answer.headers.items() if not name.startswith("content-")
        }
        text = f"{bytes(answer.body).decode()}: see --cors-origin."
        return ApiError(answer.status_code, text, code="cors_refused", headers=headers).response()
