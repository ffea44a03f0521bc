"""What the arms of a comparison ask of the engine; they differ in nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from agentspark.trace.record import ARMS, Arm

if TYPE_CHECKING:
    from agentspark.engine.params import RequestOptions


def arm_options(arm: Arm, cache_salt: str | None = None) -> RequestOptions:
    """The baseline drafts nothing and shares no prefix; the accelerated arm does both."""
    from agentspark.engine.params import RequestOptions

    if arm == "baseline":
        return RequestOptions(speculation="off", share_prefix=False, cache_salt=cache_salt)
    return RequestOptions(cache_salt=cache_salt)


def parse_arms(value: str) -> tuple[Arm, ...]:
    """Arms separated by commas, each once; anything else is a usage error."""
    names = [name.strip() for name in value.split(",")]
    arms = tuple(arm for name in names for arm in ARMS if arm == name)
    if len(arms) != len(names) or len(set(arms)) != len(arms):
        raise typer.BadParameter(f"{value!r} must name each arm once, of: {', '.join(ARMS)}")
    return arms


def in_turn(arms: tuple[Arm, ...], turn: int) -> tuple[Arm, ...]:
    """The arms in the order of this turn: every other turn the other way round, against drift."""
    return arms if turn % 2 == 0 else arms[::-1]
