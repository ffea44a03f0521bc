"""What a server says went wrong, in any of the shapes that servers have for it.

OpenAI's is ``{"error": {"message", "type", "param", "code"}}``. Others have a text in its place, a
number as the code, the fields without the object around them, or FastAPI's ``detail``. A prompt
that is too long for the context gets OpenAI's code: agents shorten theirs then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

# OpenAI's, which agentspark's server gives too.
TOO_LONG = "context_length_exceeded"
# As vLLM, SGLang and llama.cpp say it. A limit of max_tokens that is too high is told apart.
_LONG_PROMPT = re.compile(
    r"maximum context length is .*(?:prompt|messages)|exceeds the available context size|"
    r"longer than the (?:maximum model length|model's context length)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """``code`` is the case, ``param`` the parameter that is to blame; where the server says so."""

    message: str
    code: str | None
    param: str | None


def problem_in(content: bytes | str) -> Problem | None:
    """The problem that ``content`` (JSON) tells of, ``None`` if it tells of none."""
    try:
        given = from_json(content)
    except ValueError:
        return None
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    return problem_of(given) if isinstance(given, dict) else None


def problem_of(given: Mapping[str, Any]) -> Problem | None:
    """The problem that an object tells of, ``None`` if it tells of none."""
    for name in ("error", "detail"):
        if found := given.get(name):
            outer = {key: given.get(key) for key in ("code", "param")}
            return _problem(
                {**outer, **found} if isinstance(found, dict) else {**outer, name: found}
            )
    plain = "message" in given and "choices" not in given
    return _problem(given) if plain or given.get("object") == "error" else None


def _problem(told: Mapping[str, Any]) -> Problem:
    known = (told.get(name) for name in ("message", "msg", "error", "detail", "type", "code"))
    message = next((_text(value) for value in known if value), None)
    code, param = told.get("code"), told.get("param")
    if not isinstance(code, str) and message is not None and _LONG_PROMPT.search(message):
        code = TOO_LONG
    return Problem(
        message=message or _text(dict(told)),
        code=None if code is None else _text(code),
        param=None if param is None else _text(param),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else to_json(value).decode()
