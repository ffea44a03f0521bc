"""The transcripts file of ``agentspark replay``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentspark.errors import DataError, InvalidRequestError
from agentspark.models.messages import check_messages as check_chat
from agentspark.models.tools.history import check_calls
from agentspark.prompts.asked import Asked, read_asked
from agentspark.prompts.fields import check_id, check_messages
from agentspark.prompts.lines import naming, read_objects

_FIELDS = ("id", "steps")


@dataclass(frozen=True, slots=True)
class Transcript:
    """One agent's model calls; ``steps[i]`` are the messages of call ``i``.

    ``asked`` is what the line asks of the answers, the same for all calls.
    """

    id: str
    steps: list[list[dict[str, Any]]]
    asked: Asked = field(default_factory=Asked)


def read_transcripts(path: Path) -> list[Transcript]:
    """Read the whole file before anything runs; ``DataError`` names the first wrong line."""
    transcripts: list[Transcript] = []
    seen: set[str] = set()
    for place, value in read_objects(path):
        with naming(place):
            ident = str(check_id(value))
            if ident in seen:
                raise DataError(f"id {ident!r} stands in an earlier line too.")
            seen.add(ident)
            steps = _steps(value.get("steps"))
            transcripts.append(Transcript(ident, steps, _asked(value, str(place))))
    if not transcripts:
        raise DataError(f"{path} holds no transcripts: write one JSON object a line.")
    return transcripts


def _steps(value: object) -> list[list[dict[str, Any]]]:
    if not isinstance(value, list) or not value:
        raise DataError("steps must be a non-empty list of message lists.")
    steps = [check_messages(step, f"steps[{place}]") for place, step in enumerate(value)]
    for place in range(1, len(steps)):
        before = steps[place - 1]
        if steps[place][: len(before)] != before or len(steps[place]) == len(before):
            raise DataError(f"steps[{place}] must extend the messages of steps[{place - 1}].")
    try:
        # The last step holds the messages of all others.
        check_calls(check_chat(steps[-1]))
    except InvalidRequestError as error:
        raise DataError(f"steps[{len(steps) - 1}]: {error}") from error
    return steps


def _asked(value: dict[str, Any], where: str) -> Asked:
    asked = read_asked(value, _FIELDS, where)
    if asked.sampling.get("temperature") and "seed" not in asked.sampling:
        raise DataError(
            "give a seed with the temperature: without one each arm draws its own "
            "answers, and the arms cannot be compared."
        )
    return asked
