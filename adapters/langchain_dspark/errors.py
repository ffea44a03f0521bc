"""Errors of calls that are LangChain's too, so that its agents know what to do about them.

``SummarizationMiddleware`` shortens what overflowed a context, and retries leave out what would
fail again, by the classes of ``langchain_core.exceptions``. Each error here is one of
``agentspark.errors`` (``RemoteStatusError`` by its status) and of LangChain's class; a
langchain-core that does not know the class yet gets the plain error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core import exceptions

from agentspark import errors
from agentspark.errors import AgentSparkError


def _both(name: str, own: type[AgentSparkError], theirs: str) -> type[AgentSparkError]:
    known = getattr(exceptions, theirs, None)
    if known is None:
        return own
    # Under a name of this module, by which pickles find it.
    return type(name, (own, known), {"__module__": __name__, "__doc__": own.__doc__})


InvalidRequestError = _both(
    "InvalidRequestError", errors.InvalidRequestError, "ModelInvalidRequestError"
)
ContextLengthError = _both("ContextLengthError", errors.ContextLengthError, "ContextOverflowError")
KVCapacityError = _both("KVCapacityError", errors.KVCapacityError, "ContextOverflowError")
RequestTimeoutError = _both("RequestTimeoutError", errors.RequestTimeoutError, "ModelTimeoutError")
ModelNotFoundError = _both("ModelNotFoundError", errors.ModelNotFoundError, "ModelNotFoundError")
RemoteConnectionError = _both(
    "RemoteConnectionError", errors.RemoteConnectionError, "ModelConnectionError"
)
RemoteKeyError = _both("RemoteKeyError", errors.RemoteStatusError, "ModelAuthenticationError")
RemoteDeniedError = _both(
    "RemoteDeniedError", errors.RemoteStatusError, "ModelPermissionDeniedError"
)
RemoteBusyError = _both("RemoteBusyError", errors.RemoteStatusError, "ModelRateLimitError")
RemoteFailedError = _both("RemoteFailedError", errors.RemoteStatusError, "ModelAPIError")

_KINDS: dict[type[AgentSparkError], type[AgentSparkError]] = {
    errors.InvalidRequestError: InvalidRequestError,
    errors.ContextLengthError: ContextLengthError,
    errors.KVCapacityError: KVCapacityError,
    errors.RequestTimeoutError: RequestTimeoutError,
    errors.ModelNotFoundError: ModelNotFoundError,
    errors.RemoteConnectionError: RemoteConnectionError,
}
_STATUSES = {401: RemoteKeyError, 403: RemoteDeniedError, 429: RemoteBusyError}


@contextmanager
def langchain_errors() -> Iterator[None]:
    """Raise errors of the block as LangChain's, with all they said and where they came from."""
    try:
        yield
    except AgentSparkError as error:
        kind = _kind(error)
        if kind is None:
            raise
        made = kind.__new__(kind, *error.args)
        vars(made).update(vars(error))
        raise made.with_traceback(error.__traceback__) from error.__cause__


def _kind(error: AgentSparkError) -> type[AgentSparkError] | None:
    if not isinstance(error, errors.RemoteStatusError):
        return _KINDS.get(type(error))
    if error.status is None or error.status >= 500:
        return RemoteFailedError
    return _STATUSES.get(error.status)
