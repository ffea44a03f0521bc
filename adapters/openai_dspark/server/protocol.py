"""HTTP/1.1 as uvicorn speaks it, with errors in OpenAI's shape where a request is no HTTP."""

from __future__ import annotations

from uvicorn.protocols.http.h11_impl import H11Protocol

from openai_dspark.server.errors import ApiError


class HttpProtocol(H11Protocol):
    """One connection. h11 parses it, whatever else is installed."""

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with the bytes that came, unless an answer has begun, and hang up."""
        if self.cycle is None or not self.cycle.response_started:
            body = ApiError(400, msg).reply().to_json()
            head = (
                "HTTP/1.1 400 Bad Request\r\n"
                "content-type: application/json\r\n"
                "cache-control: no-store\r\n"
                f"content-length: {len(body)}\r\n"
                "connection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
