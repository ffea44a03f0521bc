"""One model call with everything decided: the model's fields, overridden by the call's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentspark.config import EngineConfig
from agentspark.engine.params import Labels, RequestOptions, SamplingParams
from agentspark.errors import InvalidRequestError
from langchain_dspark.engines import EngineKey
from langchain_dspark.labels import labels_of

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
_OVERRIDES = frozenset((*SAMPLING, *OPTIONS, "model", "drafter", "timeout", "labels"))
# LangChain's own switch; by the time a call arrives here it has been obeyed.
_OBEYED = frozenset(("stream",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one call asks of the engine. ``timeout_s`` covers the call without loading."""

    key: EngineKey
    messages: list[dict[str, str]]
    sampling: SamplingParams
    options: RequestOptions
    labels: Labels
    timeout_s: float | None
    max_retries: int


def engine_key(chat: ChatDSpark, model: str, drafter: str | None) -> EngineKey:
    """The engine that serves ``model`` with ``drafter`` as ``chat`` configures it."""
    return EngineKey(
        model=_absolute(model),
        drafter=None if drafter is None else _absolute(drafter),
        config=chat.engine_config or EngineConfig(),
        trace=None if chat.trace is None else Path(chat.trace).expanduser().absolute(),
        trace_tokens=chat.trace_tokens,
    )


def build_call(
    chat: ChatDSpark,
    messages: list[dict[str, str]],
    stop: str | Sequence[str] | None,
    metadata: Mapping[str, Any],
    kwargs: Mapping[str, Any],
) -> Call:
    """Merge ``chat``'s fields with the call's ``stop`` and keyword arguments.

    An argument that nothing would obey is an ``InvalidRequestError`` that names it.
    """
    given = {_plain_name(name): value for name, value in kwargs.items() if name not in _OBEYED}
    for name in given:
        if name not in _OVERRIDES:
            raise InvalidRequestError(
                f"ChatDSpark takes no argument {name!r} per call: leave it out, or use one of "
                + ", ".join(sorted(_OVERRIDES))
                + ".",
                param=name,
            )
    if isinstance(stop, str):
        stop = [stop]
    timeout = given.get("timeout", chat.timeout)
    if timeout is not None and not timeout > 0:
        raise InvalidRequestError(
            f"timeout={timeout!r} cannot be used: give a number of seconds above 0, or None.",
            param="timeout",
        )
    sampling = {name: given.get(name, getattr(chat, name)) for name in SAMPLING}
    options = {name: given.get(name, getattr(chat, name)) for name in OPTIONS}
    options["cache_salt"] = options["cache_salt"] or _tenant(chat)
    return Call(
        key=engine_key(
            chat, str(given.get("model", chat.model)), given.get("drafter", chat.drafter)
        ),
        messages=messages,
        sampling=SamplingParams(
            **{name: value for name, value in sampling.items() if value is not None},
            stop=tuple(stop if stop is not None else chat.stop or ()),
        ),
        options=RequestOptions(**options),
        labels=labels_of(given.get("labels"), metadata),
        timeout_s=timeout,
        max_retries=chat.max_retries,
    )


def _absolute(name: str) -> str:
    """A path in full, so that one model has one engine whatever the caller's folder; else as is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name


def _plain_name(name: str) -> str:
    return "max_tokens" if name == "max_completion_tokens" else name


def _tenant(chat: ChatDSpark) -> str | None:
    """A salt that keeps callers with different keys out of each other's cached prefixes."""
    key = chat.api_key.get_secret_value() if chat.api_key is not None else ""
    return hashlib.sha256(key.encode()).hexdigest()[:32] if key else None
