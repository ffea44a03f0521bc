"""From what HTTP says to errors, and which of them are worth another try."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from tenacity import RetryCallState, retry_if_exception
from tenacity.wait import wait_random_exponential

from agentspark.errors import RemoteConnectionError, RemoteStatusError, RequestTimeoutError
from openai_dspark.client.deadline import Deadline
from openai_dspark.client.problems import Problem, problem_in, problem_of

Answer = TypeVar("Answer", bound=BaseModel)

_RETRIED = frozenset((408, 409, 429))
_LONGEST_WAIT_S = 60.0
_SHOWN = 200
# As much of a body that is no stream is looked at.
START_BYTES = 1 << 14
_HINT = "does base_url end in /v1?"


def status_error(response: httpx.Response) -> RemoteStatusError:
    """The error that a read response with an error status holds."""
    problem = problem_in(response.content)
    said = response.text.strip()[:_SHOWN] or response.reason_phrase
    message = said if problem is None else problem.message
    return RemoteStatusError(
        f"The server answered {response.status_code}: {message}",
        status=response.status_code,
        code=None if problem is None else problem.code,
        param=None if problem is None else problem.param,
        request_id=response.headers.get("x-request-id"),
        retry_after_s=_retry_after(response.headers.get("retry-after")),
    )


def answer_of(kind: type[Answer], content: bytes | str) -> Answer:
    """``content`` as ``kind``; ``RemoteStatusError`` where the server answers something else.

    An event of a stream that is an error, or has one beside its choices, is raised as one.
    """
    try:
        answer = kind.model_validate_json(content)
    except ValidationError as error:
        raise (_stream_error(problem_in(content)) or _no_answer(error, content)) from error
    failed = _stream_error(problem_of(answer.model_extra or {}))
    if failed is not None:
        raise failed
    return answer


@contextmanager
def http_errors(deadline: Deadline, http: httpx.Client | httpx.AsyncClient) -> Iterator[None]:
    """Make HTTP's errors ours: ``RequestTimeoutError`` once the time is over, else a connection's.

    Its own timeouts are only some of those errors: a connection may have been hung up, or ``http``
    closed by another thread.
    """
    try:
        yield
    except TimeoutError as error:
        raise deadline.error() from error
    except (httpx.HTTPError, RuntimeError) as error:
        if http.is_closed:
            raise closed() from error
        if isinstance(error, RuntimeError):
            raise
        raise (deadline.error() if deadline.over else _connection_error(error)) from error


def cut(
    deadline: Deadline, response: httpx.Response, start: bytes | None
) -> RequestTimeoutError | RemoteConnectionError | RemoteStatusError:
    """What to say of a stream that ended before its answer did.

    ``start`` is what came of it, ``None`` where that was an event.
    """
    if deadline.over:
        return deadline.error()
    if start is not None and not _is_stream(response):
        return _no_stream(response, start)
    return RemoteConnectionError("The stream ended before it was complete.")


def _is_stream(response: httpx.Response) -> bool:
    return "text/event-stream" in response.headers.get("content-type", "").lower()


def _no_stream(response: httpx.Response, start: bytes) -> RemoteStatusError:
    kind = response.headers.get("content-type", "something")
    said = start.decode("utf-8", "replace").strip()[:_SHOWN]
    return _stream_error(problem_in(start)) or RemoteStatusError(
        f"The server answered with {kind} instead of a stream of events ({_HINT}): {said!r}",
        status=response.status_code,
    )


class _ClosedError(RemoteConnectionError):
    """A call on a client that was closed: no other try helps."""


def closed() -> RemoteConnectionError:
    """What to say of a call on a client that was closed."""
    return _ClosedError("This client was closed, it calls nobody any more: make another.")


def _no_answer(error: ValidationError, content: bytes | str) -> RemoteStatusError:
    first = error.errors()[0]
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    where = ".".join(map(str, first["loc"]))
    what = f"{where}: {first['msg']}" if where else f"{first['msg']} ({_HINT}): {text[:_SHOWN]!r}"
    return RemoteStatusError(
        f"The server does not answer as OpenAI's API does: {what}.", status=None
    )


def _connection_error(error: httpx.HTTPError) -> RemoteConnectionError:
    """What to say of a request that got no answer."""
    if isinstance(error, httpx.PoolTimeout):
        what = "was not asked: no connection of this client became free in time"
    elif isinstance(error, httpx.TimeoutException):
        what = "did not answer in time"
    elif isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError)):
        what = f"ended the connection before its answer was whole ({error})"
    else:
        what = f"cannot be reached ({error})"
    try:
        where = str(error.request.url.copy_with(query=None))
    except RuntimeError:
        where = "The server"
    return RemoteConnectionError(f"{where} {what}.")


def _stream_error(problem: Problem | None) -> RemoteStatusError | None:
    if problem is None:
        return None
    return RemoteStatusError(
        f"The server ended the stream: {problem.message}",
        status=None,
        code=problem.code,
        param=problem.param,
    )


def is_passing(error: BaseException) -> bool:
    """Whether another try may succeed; not where the time the caller gave is over."""
    if isinstance(error, RemoteStatusError):
        status = error.status
        if status is None or error.code == "deadline_exceeded":
            return False
        return status in _RETRIED or status >= 500
    return isinstance(error, RemoteConnectionError) and not isinstance(error, _ClosedError)


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
    with suppress(ValueError):
        seconds = float(header)
        return seconds if 0 <= seconds < math.inf else None
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None
