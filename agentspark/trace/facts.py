"""What records say of the engine that wrote them."""

from __future__ import annotations

from dataclasses import dataclass

from agentspark.trace.environment import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What is the same for every record of one engine; ``None`` is unknown."""

    exact: bool | None = None
    dtype: str | None = None
    device: str | None = None
    environment: Environment | None = None
