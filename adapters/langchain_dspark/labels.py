"""Where a model call stands in its agent's work, as LangChain callers say it.

Four ways, the first that names a field wins: the call's own ``labels=``; ``agentspark_run``,
``agentspark_step``, ``agentspark_step_name``, ``agentspark_step_kind``, ``agentspark_parent`` and
``agentspark_arm`` in the config's (or the model's) ``metadata``; tags of the same names, such as
``agentspark_run:report``; and the node name that LangGraph puts into the metadata, as the step's
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, fields
from typing import Any

from langchain_core.callbacks.manager import BaseRunManager

from agentspark.engine.params import Labels
from agentspark.errors import InvalidRequestError
from agentspark.trace.record import ARMS

_PREFIX = "agentspark_"
_STEPS = 10**9
_LONGEST = 256
_NAMES = tuple(item.name for item in fields(Labels))
_asking: ContextVar[BaseRunManager | None] = ContextVar("asking", default=None)


@contextmanager
def asking(manager: BaseRunManager | None) -> Iterator[None]:
    """Let ``manager`` be known to a call that LangChain makes without it.

    ``invoke`` streams inside where somebody listens (LangGraph's ``messages`` mode,
    ``astream_events``), and asks the model for that stream with nothing but the messages.
    """
    token = _asking.set(manager)
    try:
        yield
    finally:
        _asking.reset(token)


def asked(manager: BaseRunManager | None) -> tuple[Mapping[str, Any], Iterable[str]]:
    """Metadata and tags of a call with ``manager``, or of the call around it."""
    manager = _asking.get() if manager is None else manager
    return ({}, ()) if manager is None else (manager.metadata or {}, manager.tags or ())


def labels_of(
    given: Labels | Mapping[str, Any] | None,
    metadata: Mapping[str, Any],
    tags: Iterable[str] = (),
) -> Labels:
    """Merge a call's labels, metadata and tags; ``InvalidRequestError`` names a bad one."""
    tagged = _from_tags(tags)
    found = {name: metadata.get(_PREFIX + name, tagged.get(name)) for name in _NAMES}
    if found["step_name"] is None:
        found["step_name"] = _node(metadata.get("langgraph_node"))
    if not isinstance(given, Labels | Mapping | None):
        raise InvalidRequestError(
            f"labels={given!r} cannot be used: give a mapping or agentspark.Labels.", param="labels"
        )
    own = asdict(given) if isinstance(given, Labels) else dict(given or {})
    for name, value in own.items():
        if name not in _NAMES:
            raise _reject(name, value, "one of " + ", ".join(_NAMES))
        if value is not None:
            found[name] = value
    for name, value in found.items():
        kind = int if name == "step" else str
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise _reject(name, value, "a whole number" if kind is int else "a string")
        if value is not None:
            _check(name, value)
    return Labels(**found)


def _node(name: object) -> str | None:
    """A node's name as a label; nobody chose it to be one, so that it is made to fit."""
    if not isinstance(name, str):
        return None
    return "".join(char for char in name if char.isprintable())[:_LONGEST] or None


def _check(name: str, value: str | int) -> None:
    """Refuse what a server would: what is traced here can be sent there."""
    if isinstance(value, int):
        if not 0 <= value < _STEPS:
            raise _reject(name, value, f"a whole number from 0 to {_STEPS - 1}")
    elif name == "arm":
        if value not in ARMS:
            raise _reject(name, value, " or ".join(ARMS))
    elif not (len(value) <= _LONGEST and value.isprintable()):
        raise _reject(name, value, f"at most {_LONGEST} printable characters")


def named(labels: Labels) -> dict[str, Any]:
    """The labels that are set, as a mapping."""
    return {name: value for name, value in asdict(labels).items() if value is not None}


def _from_tags(tags: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tag in tags:
        name, colon, value = tag.partition(":")
        name = name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else ""
        if colon and value and name in _NAMES:
            number = name == "step" and value.isdecimal() and len(value) <= _LONGEST
            found[name] = int(value) if number else value
    return found


def _reject(name: str, value: object, want: str) -> InvalidRequestError:
    # Of a number with thousands of digits Python makes no text.
    shown = "..." if isinstance(value, int) and abs(value) >= 10**_LONGEST else repr(value)
    if len(shown) > 2 * _LONGEST:
        shown = f"{shown[:_LONGEST]}..."
    return InvalidRequestError(f"label {name}={shown} cannot be used: give {want}.", param=name)
