"""What a call is given beside its messages, each checked for a type that can be obeyed.

Numbers of sampling and options are left to the engine or the server, which check them by value.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from numbers import Real
from pathlib import PurePath
from typing import Any

from agentspark.errors import InvalidRequestError

# LangChain's own switch; by the time a call arrives here it has been obeyed.
_OBEYED = frozenset(("stream",))
_LONG, _PLAIN = "max_completion_tokens", "max_tokens"


def arguments(kwargs: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """A call's keyword arguments by their plain names; one that is not ``known`` is refused."""
    given = {name: value for name, value in kwargs.items() if name not in _OBEYED}
    if _LONG in given:
        value, plain = given.pop(_LONG), given.get(_PLAIN)
        if value is not None and plain is not None and value != plain:
            raise _reject(_LONG, value, f"either this or {_PLAIN}={plain!r}, not both")
        given[_PLAIN] = plain if value is None else value
    for name in given:
        if name not in known:
            raise InvalidRequestError(
                f"ChatDSpark takes no argument {name!r} per call: leave it out, or use one of "
                + ", ".join(sorted(known))
                + ".",
                param=name,
            )
    return given


def stop_texts(stop: object) -> tuple[str, ...]:
    """The texts that end an answer: of one, of a sequence, or none of ``None``."""
    texts = [stop] if isinstance(stop, str) else stop if stop is not None else []
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise _reject("stop", stop, "a string or a list of strings")
    return tuple(texts)


def timeout_s(timeout: object) -> float | None:
    """Seconds, ``None`` for no limit."""
    if timeout is None:
        return None
    number = isinstance(timeout, Real) and not isinstance(timeout, bool)
    if not number or not 0 < timeout <= threading.TIMEOUT_MAX:  # type: ignore[operator]
        raise _reject("timeout", timeout, "a number of seconds above 0, or None")
    return float(timeout)  # type: ignore[arg-type]


def name_of(param: str, name: object) -> str:
    """The name or path of a model or a drafter."""
    if not isinstance(name, str | PurePath):
        raise _reject(param, name, "a name or a path")
    return str(name)


def predicted(text: object) -> str | None:
    """The text that an answer may repeat."""
    if text is not None and not isinstance(text, str):
        raise _reject("prediction", text, "the text that the answer may repeat, or None")
    return text


def biases(given: Mapping[Any, float] | None) -> dict[int, float]:
    """``logit_bias`` by token id."""
    try:
        return {int(token): float(bias) for token, bias in (given or {}).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise _reject("logit_bias", given, "a mapping of token ids to numbers") from error


def _reject(param: str, value: object, want: str) -> InvalidRequestError:
    return InvalidRequestError(f"{param}={value!r} cannot be used: give {want}.", param=param)
