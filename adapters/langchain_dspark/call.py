"""One model call with everything decided: the model's fields, overridden by the call's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentspark.config import EngineConfig
from agentspark.engine.params import Labels, RequestOptions
from agentspark.errors import InvalidRequestError
from agentspark.sampling.params import SamplingParams
from langchain_dspark.arguments import (
    arguments,
    biases,
    name_of,
    predicted,
    stop_texts,
    timeout_s,
)
from langchain_dspark.engines import EngineKey
from langchain_dspark.labels import labels_of
from langchain_dspark.tools import choice_of

if TYPE_CHECKING:
    from langchain_dspark.chat_model import ChatDSpark

SAMPLING: tuple[str, ...] = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
OPTIONS: tuple[str, ...] = tuple(item.name for item in fields(RequestOptions))
_OTHERS = ("model", "drafter", "timeout", "labels", "logit_bias")
_SHAPES = ("tools", "tool_choice", "parallel_tool_calls", "response_format", "prediction")
_KNOWN = frozenset((*SAMPLING, *OPTIONS, *_OTHERS, *_SHAPES))
_PLAIN = {item.name: item.default for item in fields(RequestOptions)}
_REMOTE_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Address:
    """A server, and how it is called."""

    base_url: str
    api_key: str | None = field(repr=False)
    timeout_s: float
    max_retries: int
    trace: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one call asks for. ``timeout_s`` covers the call without loading.

    ``sampling_given`` and ``options_given`` hold what was not left to the engine or the server.
    ``tools``, ``tool_choice`` and ``response_format`` are in OpenAI's shapes.
    """

    key: EngineKey
    model: str
    messages: list[dict[str, Any]]
    sampling: SamplingParams
    sampling_given: dict[str, Any]
    options: RequestOptions
    options_given: dict[str, Any]
    labels: Labels
    timeout_s: float | None
    max_retries: int
    tools: list[dict[str, Any]] | None
    tool_choice: str | dict[str, Any] | None
    parallel_tool_calls: bool | None
    response_format: dict[str, Any] | None
    prediction: str | None


def engine_key(chat: ChatDSpark, model: str, drafter: str | None) -> EngineKey:
    """The engine that serves ``model`` with ``drafter`` as ``chat`` configures it."""
    return EngineKey(
        model=_absolute(model),
        drafter=None if drafter is None else _absolute(drafter),
        config=chat.engine_config or EngineConfig(),
        trace=_trace(chat),
        trace_tokens=chat.trace_tokens,
    )


def build_call(
    chat: ChatDSpark,
    messages: list[dict[str, Any]],
    stop: str | Sequence[str] | None,
    metadata: Mapping[str, Any],
    kwargs: Mapping[str, Any],
    tags: Sequence[str] = (),
) -> Call:
    """Merge ``chat``'s fields with the call's ``stop`` and keyword arguments.

    An argument that nothing would obey, or of a wrong type, is an ``InvalidRequestError`` that
    names it.
    """
    given = arguments(kwargs, _KNOWN)
    model, drafter = _names(chat, given)
    sampling = {name: given.get(name, getattr(chat, name)) for name in SAMPLING}
    sampling = {name: value for name, value in sampling.items() if value is not None}
    options = {name: given.get(name, getattr(chat, name)) for name in OPTIONS}
    changed = {name: value for name, value in options.items() if value != _PLAIN[name]}
    if chat.base_url is None:
        options["cache_salt"] = options["cache_salt"] or _tenant(chat)
    bias = biases(given.get("logit_bias"))
    if bias:
        sampling["logit_bias"] = tuple(bias.items())
    return Call(
        key=engine_key(chat, model, drafter),
        model=model,
        messages=messages,
        sampling=SamplingParams(**sampling, stop=stop_texts(chat.stop if stop is None else stop)),
        sampling_given=sampling,
        options=RequestOptions(**options),
        options_given=changed,
        labels=labels_of(given.get("labels"), metadata, tags),
        timeout_s=timeout_s(given.get("timeout", chat.timeout)),
        max_retries=chat.max_retries,
        tools=given.get("tools"),
        tool_choice=_choice(chat, given),
        parallel_tool_calls=given.get("parallel_tool_calls"),
        response_format=given.get("response_format"),
        prediction=predicted(given.get("prediction")),
    )


def address_of(chat: ChatDSpark) -> Address | None:
    """The server that ``chat`` calls, ``None`` for an engine of this process."""
    if chat.base_url is None:
        return None
    key = None if chat.api_key is None else chat.api_key.get_secret_value()
    timeout = chat.timeout or _REMOTE_TIMEOUT_S
    return Address(chat.base_url, key, timeout, chat.max_retries, _trace(chat))


def _names(chat: ChatDSpark, given: Mapping[str, Any]) -> tuple[str, str | None]:
    """The model and the drafter; a server's drafter is not ours to choose."""
    drafter = given.get("drafter", chat.drafter)
    if chat.base_url is not None and drafter != chat.drafter:
        raise InvalidRequestError(
            f"drafter={drafter!r} is the server's to choose: leave it out with base_url.",
            param="drafter",
        )
    model = name_of("model", given.get("model", chat.model))
    return model, None if drafter is None else name_of("drafter", drafter)


def _choice(chat: ChatDSpark, given: Mapping[str, Any]) -> str | dict[str, Any] | None:
    """The call's choice of tools, or the model's own where there are tools to choose from."""
    choice, tools = given.get("tool_choice"), given.get("tools")
    if choice is None and tools:
        choice = chat.tool_choice
    return choice_of(choice, tools or ())


def _trace(chat: ChatDSpark) -> Path | None:
    return None if chat.trace is None else Path(chat.trace).expanduser().absolute()


def _absolute(name: str) -> str:
    """A path in full, so that one model has one engine whatever the caller's folder; else as is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name


def _tenant(chat: ChatDSpark) -> str | None:
    """A salt that keeps callers with different keys out of each other's cached prefixes."""
    key = chat.api_key.get_secret_value() if chat.api_key is not None else ""
    return hashlib.sha256(key.encode()).hexdigest()[:32] if key else None
