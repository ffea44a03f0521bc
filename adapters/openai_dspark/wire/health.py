"""How a server is."""

from __future__ import annotations

from typing import Literal

from openai_dspark.wire.body import Reply


class Health(Reply):
    """``ok`` serves; ``draining`` ends its requests and takes no new ones; ``dead`` must go."""

    status: Literal["ok", "draining", "dead"]
    model: str
    running: int
    waiting: int
