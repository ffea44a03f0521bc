"""What is known of an HTTP request so far: its id, and what the log will say of it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

REQUEST_ID_HEADER = "x-request-id"
LEFT_OUT_HEADER = "x-agentspark-left-out-tools"
_PLAIN_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


@dataclass(slots=True)
class Facts:
    """``log`` holds further fields of the request's log line.

    ``left_out`` are the kinds of tools that the model was not offered.
    """

    request_id: str
    log: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @classmethod
    def begin(cls, given_id: str | None) -> Facts:
        """Facts of a request; the client's own id is kept where it is plain text."""
        if given_id is not None and _PLAIN_ID.fullmatch(given_id):
            return cls(given_id)
        return cls(uuid.uuid4().hex)


def facts_of(request: Request) -> Facts:
    """The facts that the gate put into the request's scope."""
    facts: Facts = request.scope["agentspark"]
    return facts
