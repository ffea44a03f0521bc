"""What every reply and chunk of one chat or completion begins with."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from openai_dspark.server.call import Call

_FINGERPRINT = f"agentspark-{version('agentspark')}"


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """``created`` is in seconds since 1970, ``model`` the name that the request gave."""

    id: str
    created: int
    model: str

    @classmethod
    def of(cls, kind: str, call: Call, model: str) -> ReplyHead:
        """The head of what ``call`` is answered with; ``kind`` begins its id."""
        return cls(f"{kind}-{call.number}", int(time.time()), model)

    @property
    def fields(self) -> dict[str, Any]:
        """The head as fields of a reply."""
        return {
            "id": self.id,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": _FINGERPRINT,
        }
