"""From what HTTP says to errors, and which of them are worth another try."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from tenacity import RetryCallState, retry_if_exception
from tenacity.wait import wait_random_exponential

from agentspark.errors import RemoteConnectionError, RemoteStatusError, RequestTimeoutError
from openai_dspark.client.deadline import Deadline
from openai_dspark.wire.error import ErrorReply

Answer = TypeVar("Answer", bound=BaseModel)

_RETRIED = frozenset((408, 409, 429))
_LONGEST_WAIT_S = 60.0


def status_error(response: httpx.Response) -> RemoteStatusError:
    """The error that a read response with an error status holds."""
    try:
        detail = ErrorReply.model_validate_json(response.content).error
        message, code, param = detail.message, detail.code, detail.param
    except ValidationError:
        message, code, param = response.text.strip()[:200] or response.reason_phrase, None, None
    return RemoteStatusError(
        f"The server answered {response.status_code}: {message}",
        status=response.status_code,
        code=code,
        param=param,
        request_id=response.headers.get("x-request-id"),
        retry_after_s=_retry_after(response.headers.get("retry-after")),
    )


def answer_of(kind: type[Answer], content: bytes | str) -> Answer:
    """``content`` as ``kind``; ``RemoteStatusError`` where the server answers something else.

    An event of a stream that is an error is raised as one.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        problem = _stream_error(content) or RemoteStatusError(
            f"The server does not answer as OpenAI's API does: {error.errors()[0]['msg']}.",
            status=None,
        )
        raise problem from error


@contextmanager
def http_errors(deadline: Deadline) -> Iterator[None]:
    """Make HTTP's errors ours: ``RequestTimeoutError`` once the time is over, else a connection's.

    Its own timeouts are only some of those errors: a connection may have been hung up.
    """
    try:
        yield
    except httpx.HTTPError as error:
        raise (deadline.error() if deadline.over else _connection_error(error)) from error


def cut(deadline: Deadline) -> RequestTimeoutError | RemoteConnectionError:
    """What to say of a stream that ended before its answer did."""
    if deadline.over:
        return deadline.error()
    return RemoteConnectionError("The stream ended before it was complete.")


def closed() -> RemoteConnectionError:
    """What to say of a call on a client that was closed."""
    return RemoteConnectionError("This client was closed, it calls nobody any more: make another.")


def _connection_error(error: httpx.HTTPError) -> RemoteConnectionError:
    """What to say of a request that got no answer."""
    late = isinstance(error, httpx.TimeoutException)
    what = "did not answer in time" if late else f"cannot be reached ({error})"
    try:
        where = str(error.request.url.copy_with(query=None))
    except RuntimeError:
        where = "The server"
    return RemoteConnectionError(f"{where} {what}.")


def _stream_error(content: bytes | str) -> RemoteStatusError | None:
    try:
        detail = ErrorReply.model_validate_json(content).error
    except ValidationError:
        return None
    return RemoteStatusError(
        f"The server ended the stream: {detail.message}",
        status=None,
        code=detail.code,
        param=detail.param,
    )


def is_passing(error: BaseException) -> bool:
    """Whether another try may succeed; not where the time the caller gave is over."""
    if isinstance(error, RemoteStatusError):
        status = error.status
        if status is None or error.code == "deadline_exceeded":
            return False
        return status in _RETRIED or status >= 500
    return isinstance(error, RemoteConnectionError)


def retrying(max_retries: int, deadline: Deadline) -> dict[str, Any]:
    """Arguments of tenacity's controllers: so many more tries, with growing random waits.

    A server's ``Retry-After`` is honoured, up to a minute. A wait that ``deadline`` leaves no time
    for ends the tries.
    """

    def stop(state: RetryCallState) -> bool:
        left = deadline.left_s
        late = left is not None and left <= state.upcoming_sleep
        return late or state.attempt_number > max_retries

    return {
        "stop": stop,
        "wait": _wait(wait_random_exponential(multiplier=0.25, max=8.0)),
        "retry": retry_if_exception(is_passing),
        "reraise": True,
    }


def _wait(usual: Callable[[RetryCallState], float]) -> Callable[[RetryCallState], float]:
    def wait(state: RetryCallState) -> float:
        error = None if state.outcome is None else state.outcome.exception()
        asked = error.retry_after_s if isinstance(error, RemoteStatusError) else None
        own = usual(state)
        return own if asked is None else min(asked, _LONGEST_WAIT_S) + own / 4

    return wait


def _retry_after(header: str | None) -> float | None:
    """Seconds, from a number or a date."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except ValueError:
        return None
