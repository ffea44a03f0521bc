"""Every error agentspark raises on purpose. Each message says what happened and what to do.

AgentSparkError
├── ConfigError                 a setting that cannot be
├── ModelError                  the target cannot be used
│   ├── ModelNotFoundError      no such name, folder or file
│   ├── ModelFormatError        a file is broken, truncated or of an unreadable kind
│   └── UnsupportedModelError   a readable model that this engine cannot run
├── DrafterError                the drafter cannot be used
│   ├── DrafterFormatError      a checkpoint is broken, or a field or tensor is missing
│   └── DrafterMismatchError    a checkpoint that was made for another target
├── RequestError                one request is wrong or ended early; others go on
│   ├── InvalidRequestError     a field has a value that cannot be served (``param`` names it)
│   ├── ContextLengthError      prompt plus output do not fit the model's context
│   ├── KVCapacityError         the request alone needs more KV blocks than the pool has
│   ├── RequestCancelledError   the caller cancelled it
│   └── RequestTimeoutError     it took longer than the time the caller gave it
├── RemoteError                 a server somewhere else
│   ├── RemoteStatusError       it answered with an error (``status``, ``code``, ``param``)
│   └── RemoteConnectionError   it cannot be reached, or the connection broke or took too long
├── EngineError                 the engine as a whole
│   ├── EngineClosedError       used after ``close``
│   ├── EngineDiedError         the loop ended with an error; every handle gets it
│   ├── KVExhaustedError        no free block right now (the loop preempts and retries)
│   └── KVIntegrityError        KV bookkeeping contradicts itself, or was misused: a bug
├── TraceError                  traces cannot be written, read or paired
│   ├── TraceWriteError         the trace file cannot be written (disk full, no permission)
│   ├── TraceFormatError        a line is not a record of a known schema version
│   ├── PairingError            the arms of a comparison do not match
│   ├── ArmFailedError          a compared script failed, or recorded nothing, in one arm
│   └── SpanExportError         a collector did not take the spans of a trace
├── DataError                   an input file (prompts, transcripts, prices) is wrong
└── TrainError                  training cannot start or go on
    ├── DivergedError           the loss is not finite; the last good checkpoint is kept
    ├── LostRankError           another process of a shared training has ended
    └── NotBetterError          an adapted drafter does not beat the one it would replace
"""

from __future__ import annotations

# What to do about an ``UnsupportedModelError``.
CHOOSE_ANOTHER_MODEL = (
    "Choose a decoder-only text model such as SmolLM2, Llama, Qwen3, Mistral or Gemma 4."
)


class AgentSparkError(Exception):
    """Root of the tree."""


class ConfigError(AgentSparkError):
    """A setting that cannot be."""


class ModelError(AgentSparkError):
    """The target cannot be used."""


class ModelNotFoundError(ModelError):
    """No such model name, folder or file."""


class ModelFormatError(ModelError):
    """A model file is broken, truncated or of an unreadable kind."""


class UnsupportedModelError(ModelError):
    """A readable model that this engine cannot run."""


class DrafterError(AgentSparkError):
    """The drafter cannot be used."""


class DrafterFormatError(DrafterError):
    """A drafter checkpoint is broken, or a field or tensor is missing."""


class DrafterMismatchError(DrafterError):
    """A drafter checkpoint that was made for another target."""


class RequestError(AgentSparkError):
    """One request is wrong or ended early; the engine and its other requests go on."""


class InvalidRequestError(RequestError):
    """A request field has a value that cannot be served.

    ``param`` names the field, in the caller's terms.
    """

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ContextLengthError(InvalidRequestError):
    """Prompt plus output do not fit the model's context."""


class KVCapacityError(RequestError):
    """The request alone needs more KV blocks than the pool has."""


class RequestCancelledError(RequestError):
    """The caller cancelled the request."""


class RequestTimeoutError(RequestError):
    """The request took longer than the time its caller gave it."""


class RemoteError(AgentSparkError):
    """A server somewhere else did not do its part."""


class RemoteStatusError(RemoteError):
    """A server answered with an error.

    ``status`` is ``None`` for an error in the middle of a stream. ``code`` and ``param`` are the
    error's own, ``retry_after_s`` is when the server wants to be asked again.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,  # so that pickles can be read: they give the rest afterwards
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class RemoteConnectionError(RemoteError):
    """A server cannot be reached, or the connection broke or took too long."""


class EngineError(AgentSparkError):
    """The engine as a whole cannot go on."""


class EngineClosedError(EngineError):
    """The engine was used after it was closed."""


class EngineDiedError(EngineError):
    """The engine's loop ended with an error; every handle gets this one."""


class KVExhaustedError(EngineError):
    """No free KV block right now; the loop preempts a request and retries."""


class KVIntegrityError(EngineError):
    """The bookkeeping of KV blocks contradicts itself or was misused: a bug, please report it."""


class TraceError(AgentSparkError):
    """Traces cannot be written, read or paired."""


class TraceWriteError(TraceError):
    """The trace file cannot be written (disk full, no permission)."""


class TraceFormatError(TraceError):
    """A line is not a trace record of a known schema version."""


class PairingError(TraceError):
    """The arms of a comparison do not match."""


class ArmFailedError(TraceError):
    """A compared script failed, or recorded no model call, in one arm."""


class SpanExportError(TraceError):
    """An OpenTelemetry collector did not take the spans of a trace."""


class DataError(AgentSparkError):
    """An input file (prompts, transcripts, prices) is wrong."""


class TrainError(AgentSparkError):
    """Training cannot start or go on."""


class DivergedError(TrainError):
    """The loss is not finite; the last good checkpoint is kept."""


class LostRankError(TrainError):
    """Another process of a shared training has ended; what was saved is gone on from."""


class NotBetterError(TrainError):
    """An adapted drafter does not beat the one it would replace; nothing was replaced."""
