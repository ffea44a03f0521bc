"""One HTTP request of the client, before it is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic_core import PydanticSerializationError, to_json

from agentspark.engine.params import Labels
from agentspark.errors import InvalidRequestError

LABEL_HEADERS = {
    "run": "x-agentspark-run",
    "step": "x-agentspark-step",
    "step_name": "x-agentspark-step-name",
    "step_kind": "x-agentspark-step-kind",
    "parent": "x-agentspark-parent",
    "arm": "x-agentspark-arm",
}


@dataclass(frozen=True, slots=True)
class Order:
    """Where to, what, and how long to wait (``None``: as long as the client waits).

    ``labels`` are in the headers as well; ``streamed`` is in the body.
    """

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    labels: Labels | None = None
    streamed: bool = False

    def headers_in(self, left_s: float | None) -> httpx.Headers:
        """The headers of an attempt for which ``left_s`` seconds are left: the server is told."""
        told = {} if left_s is None else {"x-agentspark-timeout": f"{left_s:g}"}
        return httpx.Headers({**self.headers, **told}, encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What every generation is sent with. A stream always asks for its usage.

    ``timeout_s`` bounds the call; what is left of it is told to the server, which then ends the
    request itself. ``plain`` leaves out what asks for acceleration. ``place`` completes the labels
    of a call that can be sent.
    """

    model: str | None
    labels: Labels | None
    timeout_s: float | None
    stream: bool = False
    plain: bool = False
    place: Callable[[Labels | None], Labels | None] = lambda labels: labels

    def chat(self, messages: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> Order:
        """The order to answer a chat."""
        return self._order("/chat/completions", {"messages": list(messages), **params})

    def completion(self, prompt: str | Sequence[int], params: Mapping[str, Any]) -> Order:
        """The order to continue a prompt."""
        given = prompt if isinstance(prompt, str) else list(prompt)
        return self._order("/completions", {"prompt": given, **params})

    def _order(self, path: str, fields: Mapping[str, Any]) -> Order:
        if not self.model:
            raise InvalidRequestError(
                "Say which model: model=... of the client or the call.", param="model"
            )
        given = {name: value for name, value in fields.items() if value is not None}
        if self.plain:
            given.pop("agentspark", None)
        body: dict[str, Any] = {"model": self.model, **given}
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        content = _json(body)
        if self.timeout_s is not None and not 0 < self.timeout_s <= threading.TIMEOUT_MAX:
            raise InvalidRequestError(
                f"timeout={self.timeout_s!r} cannot be used: give a number of seconds above 0, or "
                "None.",
                param="timeout",
            )
        _label_headers(self.labels)  # before they are placed, which takes a number of the run's
        labels = self.place(self.labels)
        headers = {"content-type": "application/json", **_label_headers(labels)}
        return Order("POST", path, content, headers, self.timeout_s, labels, self.stream)


def _json(body: Mapping[str, Any]) -> bytes:
    try:
        return to_json(body)
    except PydanticSerializationError as error:
        param = next(name for name, value in body.items() if not _fits(value))
        raise InvalidRequestError(
            f"{param} cannot be sent: it is no JSON ({error}). Give texts that are whole Unicode, "
            "numbers, and lists and mappings of them.",
            param=param,
        ) from error


def _fits(value: object) -> bool:
    try:
        to_json(value)
    except PydanticSerializationError:
        return False
    return True


def _label_headers(labels: Labels | None) -> dict[str, str]:
    if labels is None:
        return {}
    found: dict[str, str] = {}
    for name, header in LABEL_HEADERS.items():
        value = getattr(labels, name)
        if value is None:
            continue
        try:
            text = str(value)
        except ValueError as error:  # Python writes no whole numbers of thousands of digits
            raise InvalidRequestError(
                f"label {name} cannot be sent: {error}. Give a smaller number.", param=name
            ) from error
        if not text.isprintable():
            raise InvalidRequestError(
                f"label {name}={value!r} cannot be sent: use printable characters.", param=name
            )
        found[header] = text
    return found
